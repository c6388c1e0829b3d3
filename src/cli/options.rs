//! Mount options, as `-o` and fstab write them: separated by commas, a value with commas in double quotes. Pure.

use std::path::PathBuf;

use crate::base::failure::Failure;
use crate::config::{Assignment, Profile};

/// Who wrote the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A person, on our command line.
    Person,
    /// mount(8), which says `rw` whenever nobody says `ro`, and passes on what fstab says to everyone.
    MountHelper,
}

/// What the options say.
#[derive(Debug, Default)]
pub struct MountOptions {
    pub config: Option<PathBuf>,
    pub profile: Option<Profile>,
    pub assignments: Vec<Assignment>,
}

/// Options that say what is so anyway, or that are for mount(8), systemd or the kernel.
const WITHOUT_EFFECT: [&str; 31] = [
    "ro",
    "defaults",
    "nodev",
    "nosuid",
    "noexec",
    "noatime",
    "nodiratime",
    "relatime",
    "_netdev",
    "auto",
    "noauto",
    "nofail",
    "user",
    "users",
    "owner",
    "nouser",
    "async",
    "sync",
    "dirsync",
    "diratime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "silent",
    "loud",
    "group",
    "nogroup",
    "noowner",
    "nousers",
];

/// Options that ask for what cannot be had.
const REFUSED: [&str; 4] = ["dev", "suid", "exec", "remount"];

impl MountOptions {
    /// Adds the options of one comma-separated text.
    pub fn add(&mut self, text: &str, writer: Writer, flag: &str) -> Result<(), Failure> {
        for option in split(text)? {
            self.add_one(&option, writer, flag)?;
        }
        Ok(())
    }

    fn add_one(&mut self, option: &str, writer: Writer, flag: &str) -> Result<(), Failure> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let set =
            |key: &str, value: &str| Assignment { key: key.to_owned(), value: value.to_owned(), flag: flag.to_owned() };
        match (name, value) {
            (name, _) if name.starts_with("x-") || name.starts_with("X-") || name.starts_with("comment") => {}
            (name, None) if WITHOUT_EFFECT.contains(&name) => {}
            ("rw", None) if writer == Writer::MountHelper => {}
            ("rw", None) => return Err(Failure::usage("-o rw: the tree is read-only").remedy("leave rw out")),
            (name, None) if REFUSED.contains(&name) => {
                return Err(Failure::usage(format!("{flag} {name}: cxonefs does not do that")).remedy("leave it out"));
            }
            ("allow_other", None) => self.assignments.push(set("mount.allow_other", "true")),
            ("config", Some(path)) => self.config = Some(PathBuf::from(path)),
            ("profile", Some(word)) => {
                let profile = Profile::parse(word);
                let unknown = || Failure::usage(format!("{flag} profile={word}: there is no such profile"));
                self.profile = Some(profile.ok_or_else(|| unknown().remedy("the only profile is backup"))?);
            }
            ("uid" | "gid" | "resolve_on", Some(value)) => self.assignments.push(set(&format!("mount.{name}"), value)),
            (key, Some(value)) if key.contains('.') => self.assignments.push(set(key, value)),
            _ => {
                return Err(Failure::usage(format!("{flag}: unknown mount option \"{name}\"")).remedy(
                    "known are ro, allow_other, uid=, gid=, resolve_on=, profile=, config= and section.key=value",
                ));
            }
        }
        Ok(())
    }
}

/// Splits at commas that are not between double quotes; the quotes go.
fn split(text: &str) -> Result<Vec<String>, Failure> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => options.push(String::new()),
            c => {
                if let Some(option) = options.last_mut() {
                    option.push(c);
                }
            }
        }
    }
    if quoted {
        return Err(Failure::usage("mount options: a double quote is not closed"));
    }
    options.retain(|option| !option.trim().is_empty());
    Ok(options.into_iter().map(|option| option.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, writer: Writer) -> Result<MountOptions, String> {
        let mut options = MountOptions::default();
        options.add(text, writer, "-o").map_err(|failure| failure.render())?;
        Ok(options)
    }

    #[test]
    fn what_every_file_system_may_be_told_is_taken() {
        let text =
            "ro,lazytime,strictatime,norelatime,diratime,silent,sync,group,nousers,X-mount.mkdir,x-systemd.automount";
        assert!(read(text, Writer::MountHelper).unwrap().assignments.is_empty());
    }

    #[test]
    fn what_fstab_says() {
        let text = "rw,allow_other,uid=1000,gid=100,_netdev,nofail,x-systemd.automount,config=/etc/c.toml,profile=backup,\
                    resolve_on=stat,limits.daily_budget=5,tree.media_types=\"call,chat\"";
        let options = read(text, Writer::MountHelper).unwrap();
        assert_eq!(options.config, Some("/etc/c.toml".into()));
        assert_eq!(options.profile, Some(Profile::Backup));
        let pairs: Vec<_> = options.assignments.iter().map(|a| (a.key.as_str(), a.value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("mount.allow_other", "true"),
                ("mount.uid", "1000"),
                ("mount.gid", "100"),
                ("mount.resolve_on", "stat"),
                ("limits.daily_budget", "5"),
                ("tree.media_types", "call,chat"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        assert!(read("rw", Writer::Person).unwrap_err().contains("read-only"));
        assert!(read("exec", Writer::MountHelper).is_err());
        assert!(read("frobnicate", Writer::Person).unwrap_err().contains("unknown mount option \"frobnicate\""));
        assert!(read("profile=fast", Writer::Person).is_err());
        assert!(read("tree.media_types=\"call", Writer::Person).is_err());
        assert!(read("", Writer::Person).is_ok());
    }
}
