//! When a billed call may be made, for whom, and how many.
//!
//! Pure.

use crate::base::ResolveOn;
use crate::net::Priority;
use crate::tree::principal::Program;

/// Whether an operation of that class resolves what it touches.
pub fn resolves(mode: ResolveOn, operation: Priority) -> bool {
    match operation {
        Priority::Open | Priority::Warm => true,
        Priority::Stat => mode >= ResolveOn::Stat,
        Priority::List => mode >= ResolveOn::List,
    }
}

/// The kernel keeps 15 bytes of a process's name (`TASK_COMM_LEN` less the final zero), so longer patterns are matched on as much.
const COMM_BYTES: usize = 15;
/// Bytes of a pattern's last word that a name that was cut off must still show: `totem-video-thu` matches `*thumbnail*`.
const CUT_BYTES_MIN: usize = 3;

/// Programs by their names (`mount.deny_processes`, `mount.file_managers`, `mount.resolve_on_stat_for`).
#[derive(Clone, Debug, Default)]
pub struct ProgramPatterns {
    patterns: Vec<String>,
}

impl ProgramPatterns {
    /// Patterns with `*` and `?`, compared regardless of case: those with a slash with the path of a program, the others with its name.
    pub fn new(patterns: &[String]) -> ProgramPatterns {
        ProgramPatterns { patterns: patterns.iter().map(|pattern| pattern.to_lowercase()).collect() }
    }

    /// The name by which a program is one of them, as far as that can be told without waiting for it.
    pub fn name_of(&self, program: &Program) -> Option<String> {
        // A program may have named the thread that asks otherwise than itself.
        let mut cut = [Some(&program.comm), program.thread.as_ref()].into_iter().flatten();
        let exe = program.exe.as_ref().filter(|exe| self.matches(exe));
        exe.or_else(|| cut.find(|comm| self.matches_comm(comm))).cloned()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a program that goes by `name`, or was started from that path, is one of them.
    pub fn matches(&self, name: &str) -> bool {
        let path = name.to_lowercase();
        let name = path.rsplit_once('/').map_or(&*path, |(_, name)| name);
        self.patterns.iter().any(|pattern| {
            let compared = if pattern.contains('/') { &*path } else { name };
            glob(pattern.as_bytes(), compared.as_bytes())
        })
    }

    /// The same for a name that the kernel keeps, which may be cut off.
    pub fn matches_comm(&self, comm: &str) -> bool {
        let is_cut = comm.len() >= COMM_BYTES;
        let comm = comm.to_lowercase();
        self.matches(&comm) || is_cut && self.patterns.iter().any(|pattern| matches_cut(pattern, &comm))
    }
}

/// Whether a name that was cut off may have gone on as the pattern says: it is the beginning of the pattern's text before its first wildcard, or shows
/// at least [`CUT_BYTES_MIN`] bytes of the word after the pattern's last star.
fn matches_cut(pattern: &str, comm: &str) -> bool {
    let beginning = pattern.split(['*', '?']).next().unwrap_or_default();
    if beginning.len() > COMM_BYTES && beginning.as_bytes().starts_with(comm.as_bytes()) {
        return true;
    }
    let pattern = pattern.trim_end_matches('*').as_bytes();
    let Some(star) = pattern.iter().rposition(|byte| *byte == b'*') else { return false };
    (star + 1 + CUT_BYTES_MIN..pattern.len()).any(|end| glob(&pattern[..end], comm.as_bytes()))
}

/// `*` for any run of bytes, `?` for one. Backtracks to the last star only, so its time is bounded by the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether a look at a file whose size is not known resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It shows an estimate.
    IsFree,
    Resolves,
    /// It depends on the name under which the program was started, which is not known yet.
    DependsOnArgv0,
}

/// For whom a look resolves where it is free for others (`mount.resolve_on_stat_for`).
#[derive(Clone, Debug, Default)]
pub struct Callers {
    programs: ProgramPatterns,
    uids: Vec<u32>,
}

impl Callers {
    /// Names of programs, and users by name or number; `uid_of` knows the users' names. A text that names both means both.
    pub fn new(words: &[String], uid_of: impl Fn(&str) -> Option<u32>) -> Callers {
        let is_number = |word: &&String| word.parse::<u32>().is_ok();
        let names: Vec<String> = words.iter().filter(|word| !is_number(word)).cloned().collect();
        let uids = words.iter().filter_map(|word| word.parse().ok().or_else(|| uid_of(word))).collect();
        Callers { programs: ProgramPatterns::new(&names), uids }
    }

    /// Whether it means nobody.
    pub fn is_empty(&self) -> bool {
        self.programs.patterns.is_empty() && self.uids.is_empty()
    }

    /// What a look costs a user's program. `argv0` is the name under which it was started, if that was found out.
    pub fn look<'a>(
        &self,
        uid: u32,
        program: impl FnOnce() -> Option<&'a Program>,
        argv0: impl FnOnce() -> Option<Option<&'a str>>,
    ) -> Look {
        if self.uids.contains(&uid) {
            return Look::Resolves;
        }
        if self.programs.patterns.is_empty() {
            return Look::IsFree;
        }
        match (program(), argv0()) {
            (Some(program), _) if self.programs.name_of(program).is_some() => Look::Resolves,
            (_, Some(Some(name))) if self.programs.matches(name) => Look::Resolves,
            (None, _) | (_, Some(_)) => Look::IsFree,
            (Some(_), None) => Look::DependsOnArgv0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_includes_the_one_before() {
        let all = |mode| [Priority::Open, Priority::Stat, Priority::List].map(|operation| resolves(mode, operation));
        assert_eq!(all(ResolveOn::Open), [true, false, false]);
        assert_eq!(all(ResolveOn::Stat), [true, true, false]);
        assert_eq!(all(ResolveOn::List), [true, true, true]);
    }

    #[test]
    fn scanners_are_told_by_their_names() {
        let patterns =
            ["updatedb", "tracker-*", "*thumbnail*", "a-very-long-daemon-name", "/opt/av/*"].map(String::from);
        let scanners = ProgramPatterns::new(&patterns);
        for comm in
            ["updatedb", "tracker-miner-f", "ffmpegthumbnail", "Thumbnailer", "a-very-long-dae", "totem-video-thu"]
        {
            assert!(scanners.matches_comm(comm), "{comm}");
        }
        for comm in
            ["updatedb2", "restic", "xtracker-", "", "a-very", "totem-video-th", "totem-video-xth", "totem-video-plt"]
        {
            assert!(!scanners.matches_comm(comm), "{comm}");
        }
        for path in ["/usr/bin/updatedb", "updatedb", "/usr/sbin/A-Very-Long-Daemon-Name", "/opt/av/bin/scan"] {
            assert!(scanners.matches(path), "{path}");
        }
        for path in ["/usr/bin/updatedb/restic", "a-very-long-dae", "/home/thumbnails/restic", "scan", "/opt/av"] {
            assert!(!scanners.matches(path), "{path}");
        }
    }

    #[test]
    fn callers_are_told_by_user_exe_comm_and_the_name_they_were_started_by() {
        let words = ["bsdtar", "7", "backup", "a-very-long-program"].map(String::from);
        let callers = Callers::new(&words, |name| (name == "backup").then_some(34));
        let program =
            |comm: &str, exe: &str| Program { comm: comm.to_owned(), exe: Some(exe.to_owned()), ..Program::default() };
        let look = |uid, program: Option<&Program>, argv0: Option<Option<&'static str>>| {
            callers.look(uid, || program.map(|program| Box::leak(Box::new(program.clone())) as &Program), || argv0)
        };
        let other = program("cat", "/usr/bin/cat");
        assert_eq!(look(7, None, None), Look::Resolves);
        assert_eq!(look(34, Some(&other), None), Look::Resolves, "a user's name");
        assert_eq!(look(8, None, None), Look::IsFree, "a program that cannot be seen");
        assert_eq!(look(8, Some(&other), None), Look::DependsOnArgv0);
        assert_eq!(look(8, Some(&other), Some(None)), Look::IsFree);
        assert_eq!(look(8, Some(&other), Some(Some("cat"))), Look::IsFree);
        assert_eq!(look(8, Some(&other), Some(Some("/opt/bsdtar"))), Look::Resolves);
        assert_eq!(look(8, Some(&program("x", "/usr/bin/bsdtar")), None), Look::Resolves);
        assert_eq!(look(8, Some(&program("a-very-long-pro", "/x")), None), Look::Resolves);
        assert_eq!(look(8, Some(&program("backup", "/x")), None), Look::Resolves, "also a program's");
        let only_users = Callers::new(&["7".to_owned()], |_| None);
        assert_eq!(only_users.look(8, || panic!("asked for"), || panic!("asked for")), Look::IsFree);
    }

    #[test]
    fn a_glob_with_many_stars_ends() {
        assert!(!glob(b"*a*a*a*a*a*a*b", &[b'a'; 2000]));
        assert!(glob(b"*", b""));
        assert!(!glob(b"?", b""));
    }
}
