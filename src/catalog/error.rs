//! What can go wrong with the state database, in words that name the remedy where there is one.
//!
//! Knows no errno: the table from errors to errno is the adapter's.

use std::io;
use std::path::PathBuf;

/// How the message of a row that is not genuine begins, in SQLite's words and in ours.
pub(super) const NOT_GENUINE: &str = "row not genuine in table ";

/// Why the catalog could not answer. The cause chain holds SQLite's or the system's own words, never a row's contents.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite refused; the source says why.
    #[error("the state database cannot be used")]
    Sqlite(#[source] rusqlite::Error),
    /// The state directory or a file in it could not be used.
    #[error("cannot {doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Someone else could have put anything there, or could read what we put there.
    #[error("{} belongs to user {owner}, not to user {us}: choose another state directory", path.display())]
    Owner { path: PathBuf, owner: u32, us: u32 },
    /// Others may write to the directory. It may be one that must stay so (`/tmp`), so it is refused, not changed.
    #[error("others can write to {}: choose another state directory or `chmod 700` it", path.display())]
    Writable { path: PathBuf },
    /// Something else than a directory or a regular file stands there.
    #[error("{} is not a {expected}", path.display())]
    NotA { path: PathBuf, expected: &'static str },
    /// Another daemon holds the state directory.
    #[error("the state directory {} is in use by another cxonefs: stop that one, or set `state.dir`", path.display())]
    InUse { path: PathBuf },
    /// Written by a later version of this program, whose schema this one cannot read.
    #[error("{} was written by a newer cxonefs (schema {found}, this one knows {known}): upgrade", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// Encrypted with a key that is not configured.
    #[error(
        "{} is encrypted with the key {found}, which is not configured: set cache.encryption_key_file to that key, or name it as \
        cache.encryption_previous_key_file to replace it (or, without a new key, to decrypt the state)", path.display()
    )]
    OtherKey { path: PathBuf, found: String },
    /// A key is configured, and nothing shows that the rows are not somebody else's.
    #[error("{} {what}, and a key is configured: nothing in it can be told from what somebody else wrote there", path.display())]
    Unsealed { path: PathBuf, what: &'static str },
    /// Somebody without the key wrote to it.
    #[error("the state database was changed without its key: {0}")]
    Forged(String),
    /// A value could not be encrypted.
    #[error("a value could not be encrypted")]
    Crypt(#[from] crate::base::crypt::CryptError),
    /// A stored value makes no sense.
    #[error("the state database is damaged: {0}")]
    Damaged(&'static str),
    /// The caller asked for something that cannot be stored.
    #[error("cannot be stored: {0}")]
    Refused(&'static str),
    /// A tenant's record could not be written as JSON.
    #[error("a contact record could not be encoded")]
    Encode(#[from] serde_json::Error),
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> CatalogError {
        if let rusqlite::Error::SqliteFailure(_, Some(said)) = &error
            && said.starts_with(NOT_GENUINE)
        {
            return CatalogError::Forged(said.clone());
        }
        CatalogError::Sqlite(error)
    }
}

impl CatalogError {
    /// What to do about it, where the message alone does not say.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            CatalogError::Unsealed { .. } => Some(
                "if you trust what is there, take it over once: cxonefs cache encrypt; else name another state.dir",
            ),
            CatalogError::Forged(_) => Some(
                "restore the state directory from a backup; or move its cxonefs.db away, and a new one is begun (what was resolved is paid for again)",
            ),
            _ => None,
        }
    }

    /// Whether the file itself is bad, so that trying again will not help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            CatalogError::Damaged(_) => true,
            CatalogError::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }

    /// For `map_err` at a system call.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CatalogError {
        let path = path.into();
        move |source| CatalogError::Io { doing, path, source }
    }
}
