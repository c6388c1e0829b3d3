//! Names that the kernel was told do not exist, so that it does not ask again; and who has to be told when one appears.
//!
//! Programs look for what is not there far more often than one would think (sidecar files, `.git`, `desktop.ini`), and without this each
//! look is a request. The kernel keeps such an answer as long as it was told to, so every name is remembered by its directory
//! until that directory changes. Knows no kernel: whoever changes a directory takes its names from here and has them dropped.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

/// Names remembered. The one that was answered longest ago makes room, and the kernel drops it.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Whether a name has the form of an agent's or an interaction's folder or of a recording. Such a name may be that of a contact that was erased, so
/// it is not remembered.
pub fn may_name_somebody(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let digits = stem.rsplit_once('_').map_or("", |(_, number)| number);
    digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The names that the kernel may hold as absent.
pub struct Absent(Mutex<State>);

struct State {
    names: LruCache<(u64, Box<str>), ()>,
    /// Raised by every change of any directory, so that what was looked up before a change is not remembered after it.
    changes: u64,
}

/// How far changes had come before a name was looked up.
#[derive(Clone, Copy, Debug)]
pub struct Before(u64);

/// Whether an absent name may be kept by the kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It must ask again.
    No,
    /// It may keep it; the name that made room for it, with its directory, must be dropped.
    Yes(Option<(u64, Box<str>)>),
}

impl Absent {
    /// None.
    pub fn new() -> Absent {
        Absent(Mutex::new(State { names: LruCache::new(NAMES_MAX), changes: 0 }))
    }

    /// To be taken before a name is looked up.
    pub fn before(&self) -> Before {
        Before(self.lock().changes)
    }

    /// `name` is not in `directory`, by a look that began at `before`.
    pub fn remember(&self, before: Before, directory: u64, name: &str) -> Remembered {
        let mut state = self.lock();
        if state.changes != before.0 {
            return Remembered::No;
        }
        let key = (directory, Box::from(name));
        let pushed_out = state.names.push(key.clone(), ()).map(|(old, ())| old).filter(|old| *old != key);
        Remembered::Yes(pushed_out)
    }

    /// `directory` changed, and the change can be seen by whoever looks now: the names to be dropped.
    pub fn changed(&self, directory: u64) -> Vec<Box<str>> {
        let mut state = self.lock();
        state.changes += 1;
        let gone: Vec<(u64, Box<str>)> =
            state.names.iter().map(|(key, ())| key).filter(|(parent, _)| *parent == directory).cloned().collect();
        gone.into_iter()
            .map(|key| {
                state.names.pop(&key);
                key.1
            })
            .collect()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_changes_gives_back_its_names() {
        let absent = Absent::new();
        for (directory, name) in [(7, "a"), (7, "b"), (8, "a")] {
            assert_eq!(absent.remember(absent.before(), directory, name), Remembered::Yes(None));
        }
        let mut names = absent.changed(7);
        names.sort();
        assert_eq!(names, ["a".into(), "b".into()]);
        assert!(absent.changed(7).is_empty());
        assert_eq!(absent.changed(8), ["a".into()]);
    }

    #[test]
    fn names_of_people_and_contacts_are_not_remembered() {
        for name in ["Keller_Rosa_8812345", "085931_call_in_701000000122", "085931_call_in_701000000122.mp4"] {
            assert!(may_name_somebody(name), "{name}");
        }
        for name in [".git", "desktop.ini", "Thumbs.db", "folder_2.jpg", "recording_2.mp4", "._x"] {
            assert!(!may_name_somebody(name), "{name}");
        }
    }

    #[test]
    fn what_was_looked_up_before_a_change_is_not_kept() {
        let absent = Absent::new();
        let before = absent.before();
        absent.changed(7);
        assert_eq!(absent.remember(before, 7, "a"), Remembered::No);
        assert_eq!(absent.remember(absent.before(), 7, "a"), Remembered::Yes(None));
    }

    #[test]
    fn the_oldest_name_makes_room() {
        let absent = Absent::new();
        for n in 0..NAMES_MAX.get() {
            assert_eq!(absent.remember(absent.before(), 7, &n.to_string()), Remembered::Yes(None));
        }
        assert_eq!(absent.remember(absent.before(), 7, "0"), Remembered::Yes(None), "again");
        assert_eq!(absent.remember(absent.before(), 8, "new"), Remembered::Yes(Some((7, "1".into()))));
    }
}
