//! For whom something is done, as far as turns and budgets need to tell users apart. Knows no door: each makes its own keys.

use std::fmt;
use std::sync::Arc;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserKey {
    /// The daemon itself.
    Own,
    /// A local user, by number.
    Uid(u32),
    /// A user of a door that knows names only.
    Named(Arc<str>),
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserKey::Own => f.write_str("cxonefs itself"),
            UserKey::Uid(uid) => write!(f, "user {uid}"),
            UserKey::Named(name) => write!(f, "user {name}"),
        }
    }
}
