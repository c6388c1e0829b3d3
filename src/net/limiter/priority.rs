//! How urgent a call is. Plain.

/// Why a billed call is wanted, most urgent first. Also the reason that the ledger records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Open,
    Stat,
    List,
    Warm,
}

impl Priority {
    /// Every class, most urgent first.
    pub const ALL: [Priority; 4] = [Priority::Open, Priority::Stat, Priority::List, Priority::Warm];

    /// The word that the ledger and `status` use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Priority::Open => "open",
            Priority::Stat => "stat",
            Priority::List => "list",
            Priority::Warm => "warm",
        }
    }
}
