//! `mount.cxonefs SOURCE DIR [-sfnv] [-t TYPE] [-o OPTIONS]`: how mount(8) and fstab call us. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::options::{MountOptions, Writer};
use crate::base::failure::Failure;

/// The name under which mount(8) looks for us.
const NAME: &str = "mount.cxonefs";

/// Sources that name no configuration file.
const NO_SOURCE: [&str; 3] = ["none", "cxonefs", ""];

/// What mount(8) asks for.
#[derive(Debug)]
pub struct HelperRequest {
    pub mount_point: PathBuf,
    pub options: MountOptions,
    /// Only check; do not mount (`mount --fake`).
    pub fake: bool,
}

/// Whether the program was called by that name.
#[must_use]
pub fn is_helper(program: &OsString) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: &[OsString]) -> Result<HelperRequest, Failure> {
    let mut places: Vec<&OsString> = Vec::new();
    let mut options = MountOptions::default();
    let mut fake = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
            places.push(argument);
            continue;
        };
        match flag {
            "-o" | "-t" => {
                let value = rest.next().and_then(|value| value.to_str());
                let value = value.ok_or_else(|| usage(&format!("{flag} needs a value")))?;
                if flag == "-o" {
                    options.add(value, Writer::MountHelper, "-o")?;
                }
            }
            _ if flag.starts_with("-o") => options.add(&flag[2..], Writer::MountHelper, "-o")?,
            _ => fake |= letters(flag)?,
        }
    }
    let [source, mount_point] = places[..] else {
        return Err(usage(&format!("expected a source and a directory, found {} arguments", places.len())));
    };
    if !NO_SOURCE.iter().any(|word| source == word) && options.config.is_none() {
        options.config = Some(PathBuf::from(source));
    }
    Ok(HelperRequest { mount_point: PathBuf::from(mount_point), options, fake })
}

/// Whether the letters of a flag ask for a fake mount. Sloppy, no mtab, verbose, read-only and read-write change nothing here.
fn letters(flag: &str) -> Result<bool, Failure> {
    let mut fake = false;
    for letter in flag.chars().skip(1) {
        match letter {
            'f' => fake = true,
            's' | 'n' | 'v' | 'r' | 'w' => {}
            _ => return Err(usage(&format!("unknown flag {flag}"))),
        }
    }
    Ok(fake)
}

fn usage(problem: &str) -> Failure {
    Failure::usage(problem.to_owned())
        .while_doing(NAME)
        .remedy("usage: mount.cxonefs CONFIG|none DIR [-fnsv] [-o OPTIONS]; or call it as cxonefs mount")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<HelperRequest, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&words).map_err(|failure| failure.render())
    }

    #[test]
    fn the_name_decides() {
        assert!(is_helper(&"/sbin/mount.cxonefs".into()));
        assert!(!is_helper(&"/usr/bin/cxonefs".into()));
    }

    #[test]
    fn as_mount_calls_it() {
        let request = read("/etc/c.toml /srv/calls -o rw,allow_other,_netdev").unwrap();
        assert_eq!(request.mount_point, PathBuf::from("/srv/calls"));
        assert_eq!(request.options.config, Some("/etc/c.toml".into()));
        assert!(!request.fake);
        let request = read("none /srv/calls -fnv -t fuse.cxonefs -oro,config=/x").unwrap();
        assert_eq!(request.options.config, Some("/x".into()));
        assert!(request.fake);
        assert_eq!(read("cxonefs /srv/calls").unwrap().options.config, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["", "none", "a b c", "none /m -o", "none /m -N ns", "none /m -o frobnicate"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
