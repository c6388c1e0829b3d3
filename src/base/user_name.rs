//! Names of local users, for messages: a number tells an administrator little. Best effort: a directory service may take seconds to answer,
//! so nobody waits for it; its users are looked up by one thread, once, and named from then on.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

/// Users that are remembered. A machine with more of them has its later ones shown by number.
const KNOWN_MAX: usize = 4096;
/// Users that may wait to be looked up; more are looked up when they are met again.
const WAITING_MAX: usize = 64;
const LOCAL_USERS: &str = "/etc/passwd";

type Names = HashMap<u32, Option<Arc<str>>>;

fn known() -> MutexGuard<'static, Names> {
    static KNOWN: OnceLock<Mutex<Names>> = OnceLock::new();
    KNOWN.get_or_init(Mutex::default).lock()
}

fn remember(uid: u32, name: Option<Arc<str>>) {
    let mut known = known();
    if known.len() < KNOWN_MAX {
        known.insert(uid, name);
    }
}

/// Learns the users of this machine's own table. Reads a file: not for a thread that others need.
pub fn learn_local() {
    for (uid, name) in users(&std::fs::read_to_string(LOCAL_USERS).unwrap_or_default()) {
        remember(uid, Some(name.into()));
    }
}

fn users(table: &str) -> impl Iterator<Item = (u32, &str)> {
    table.lines().rev().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
        Some((fields.nth(1)?.parse().ok()?, name))
    })
}

/// Has a user looked up whose name is not known yet. Never waits.
pub fn learn(uid: u32) {
    static ASKED: OnceLock<Option<SyncSender<u32>>> = OnceLock::new();
    if known().contains_key(&uid) {
        return;
    }
    let asked = ASKED.get_or_init(|| {
        let (sender, receiver) = sync_channel::<u32>(WAITING_MAX);
        let look_up = move || {
            for uid in receiver {
                if !known().contains_key(&uid) {
                    remember(uid, look_up(uid));
                }
            }
        };
        std::thread::Builder::new().name(String::from("user-names")).spawn(look_up).ok().map(|_| sender)
    });
    if let Some(asked) = asked {
        let _ = asked.try_send(uid);
    }
}

/// Asks the system, which may ask a directory service.
fn look_up(uid: u32) -> Option<Arc<str>> {
    Some(super::accounts::user_name(uid)?.into())
}

/// A user as messages name them: `user 1000 (anna)`, or `user 1000` where no name is known. Never waits.
#[must_use]
pub fn user_words(uid: u32) -> String {
    match known().get(&uid) {
        Some(Some(name)) => format!("user {uid} ({name})"),
        _ => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let table = "root:x:0:0:root:/root:/bin/sh\n# comment\ntoor:x:0:0::/:\n+::::::\nbroken\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        let names: HashMap<u32, &str> = users(table).collect();
        assert_eq!(names, HashMap::from([(0, "root"), (1000, "anna")]));
    }

    #[test]
    fn users_are_named_once_they_were_looked_up_and_numbered_before() {
        learn_local();
        assert_eq!(user_words(0), "user 0 (root)");
        // Nobody has this number.
        learn(4_123_456_789);
        assert_eq!(user_words(4_123_456_789), "user 4123456789");
        assert_eq!(look_up(0).as_deref(), Some("root"));
    }
}
