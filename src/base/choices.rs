//! Choices that a user makes once and several layers act on.

use super::ids::Day;

/// Which operations may resolve an interaction (`mount.resolve_on`), each including the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResolveOn {
    /// Opening a billed file.
    #[default]
    Open,
    /// Also `stat` of a billed file.
    Stat,
    /// Also listing an interaction's folder.
    List,
}

impl ResolveOn {
    /// Every mode.
    pub const ALL: [ResolveOn; 3] = [ResolveOn::Open, ResolveOn::Stat, ResolveOn::List];

    /// The word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ResolveOn::Open => "open",
            ResolveOn::Stat => "stat",
            ResolveOn::List => "list",
        }
    }
}

/// Where lines of the audit log go besides the log (`audit.export`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Export {
    #[default]
    None,
    /// The journal, in its own protocol.
    Journald,
    /// The syslog socket.
    Syslog,
}

impl Export {
    /// Every choice.
    pub const ALL: [Export; 3] = [Export::None, Export::Journald, Export::Syslog];

    /// The word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Export::None => "none",
            Export::Journald => "journald",
            Export::Syslog => "syslog",
        }
    }
}

/// Where the tree begins (`tree.since`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// That day and later.
    Day(Day),
    /// So many days before today, and later; moves on with today.
    DaysAgo(u32),
}

impl Since {
    /// The first day that is shown when today is `today`.
    #[must_use]
    pub fn first_day(self, today: Day) -> Day {
        match self {
            Since::Day(day) => day,
            Since::DaysAgo(days) => Day(today.0.saturating_sub_unsigned(days)),
        }
    }
}
