//! When a billed call may be made, for whom, and how many.
//!
//! Pure.

use crate::base::ResolveOn;
use crate::cxone::Priority;

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

/// Processes that may look but never cause a billed call (`mount.deny_processes`).
#[derive(Clone, Debug, Default)]
pub struct Scanners {
    patterns: Vec<String>,
}

impl Scanners {
    /// Patterns with `*` and `?`, compared regardless of case: those with a slash with the path of a program, the others with its name.
    pub fn new(patterns: &[String]) -> Scanners {
        Scanners { patterns: patterns.iter().map(|pattern| pattern.to_lowercase()).collect() }
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
        let cut = |pattern: &&String| pattern.len() > COMM_BYTES && glob_prefix(pattern, &comm);
        self.matches(&comm) || is_cut && self.patterns.iter().any(|pattern| cut(&pattern))
    }
}

/// A pattern without wildcards that is longer than the kernel's name matches on the bytes that the kernel kept.
fn glob_prefix(pattern: &str, comm: &str) -> bool {
    !pattern.contains(['*', '?']) && pattern.as_bytes().starts_with(comm.as_bytes())
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

/// Billed calls per UTC day (`limits.daily_budget`); `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyBudget(pub Option<u64>);

impl DailyBudget {
    /// Whether one more call may be made after `spent` of today's.
    pub fn allows(self, spent: u64) -> bool {
        self.0.is_none_or(|limit| spent < limit)
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
        let scanners = Scanners::new(&patterns);
        for comm in ["updatedb", "tracker-miner-f", "ffmpegthumbnail", "Thumbnailer", "a-very-long-dae"] {
            assert!(scanners.matches_comm(comm), "{comm}");
        }
        for comm in ["updatedb2", "restic", "xtracker-", "", "a-very"] {
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
    fn a_glob_with_many_stars_ends() {
        assert!(!glob(b"*a*a*a*a*a*a*b", &[b'a'; 2000]));
        assert!(glob(b"*", b""));
        assert!(!glob(b"?", b""));
    }

    #[test]
    fn a_budget_ends_where_it_says() {
        assert!(DailyBudget(Some(10)).allows(9));
        assert!(!DailyBudget(Some(10)).allows(10));
        assert!(DailyBudget(None).allows(u64::MAX));
    }
}
