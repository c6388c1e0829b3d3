//! What can go wrong with a request, by what the caller is told. `fuse::errno` has the one table from kinds to errnos.

use std::error::Error;
use std::sync::Arc;

use jiff::Timestamp;

use crate::book::BookError;
use crate::catalog::{CatalogError, IndexError, Obstacle, ObstacleKind};
use crate::media::{MediaError, StorageRefusal};
use crate::net::{ApiError, ApiErrorKind};

/// The kinds of failure that programs can tell apart (docs/SEMANTICS.md, errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    NotADirectory,
    NoAttribute,
    Denied,
    /// The recording is being restored from the archive.
    Busy,
    BudgetSpent,
    /// Too many requests of this user wait, and another user waits.
    Crowded,
    TimedOut,
    Interrupted,
    Changed,
    ReadOnly,
    Io,
}

impl ErrorKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [ErrorKind; 12] = [
        ErrorKind::NotFound,
        ErrorKind::NotADirectory,
        ErrorKind::NoAttribute,
        ErrorKind::Denied,
        ErrorKind::Busy,
        ErrorKind::BudgetSpent,
        ErrorKind::Crowded,
        ErrorKind::TimedOut,
        ErrorKind::Interrupted,
        ErrorKind::Changed,
        ErrorKind::ReadOnly,
        ErrorKind::Io,
    ];

    /// Its name in logs and the audit log, which is that of the error that a program is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "ENOENT",
            ErrorKind::NotADirectory => "ENOTDIR",
            ErrorKind::NoAttribute => "ENODATA",
            ErrorKind::Denied => "EACCES",
            ErrorKind::Busy => "EBUSY",
            ErrorKind::BudgetSpent => "EDQUOT",
            ErrorKind::Crowded => "EAGAIN",
            ErrorKind::TimedOut => "ETIMEDOUT",
            ErrorKind::Interrupted => "EINTR",
            ErrorKind::Changed => "ESTALE",
            ErrorKind::ReadOnly => "EROFS",
            ErrorKind::Io => "EIO",
        }
    }
}

/// Nobody needs more of a time that is hours away.
pub(super) fn to_the_second(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}

type Cause = Arc<dyn Error + Send + Sync>;

/// What the log has had a line about, so that a failed request needs none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Outage,
    Obstacle,
    Program,
}

/// A failed request. Cloneable, because those who waited for the same billed call share its failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TreeError {
    kind: ErrorKind,
    message: Arc<str>,
    said: Option<Said>,
    #[source]
    cause: Option<Cause>,
}

impl TreeError {
    /// An error without a cause below it.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> TreeError {
        TreeError { kind, message: message.into(), said: None, cause: None }
    }

    /// No such name, or no recording.
    pub fn not_found() -> TreeError {
        TreeError::new(ErrorKind::NotFound, "no such file or directory")
    }

    /// The caller has gone, or was asked to stop.
    pub(super) fn interrupted() -> TreeError {
        TreeError::new(ErrorKind::Interrupted, "the caller gave up")
    }

    /// An obstacle is in the way.
    pub(super) fn hindered(obstacle: &Obstacle) -> TreeError {
        let kind = match obstacle.kind {
            ObstacleKind::Denied => ErrorKind::Denied,
            ObstacleKind::Restoring => ErrorKind::Busy,
            ObstacleKind::Withdrawn => ErrorKind::NotFound,
            ObstacleKind::Refused | ObstacleKind::Archived | ObstacleKind::Failed => ErrorKind::Io,
        };
        let message = format!("{}; not asked again before {}", obstacle.reason, to_the_second(obstacle.again_at));
        TreeError { said: Some(Said::Obstacle), ..TreeError::new(kind, message) }
    }

    /// The same with what caused it.
    pub(super) fn because_of(self, error: &ApiError) -> TreeError {
        TreeError { cause: Some(Arc::new(error.clone())), ..self }
    }

    /// Whether an obstacle is in the way, of which the log had a line when it was met first.
    pub fn is_hindered(&self) -> bool {
        self.said == Some(Said::Obstacle)
    }

    /// The same, of whose program the log has been told.
    pub(super) fn told(self) -> TreeError {
        TreeError { said: Some(Said::Program), ..self }
    }

    /// Whether the log has been told of the program that is refused.
    pub fn is_told(&self) -> bool {
        self.said == Some(Said::Program)
    }

    fn because(kind: ErrorKind, message: &str, cause: Cause) -> TreeError {
        TreeError { cause: Some(cause), ..TreeError::new(kind, message) }
    }

    fn during_outage(mut self, outage: bool) -> TreeError {
        self.said = outage.then_some(Said::Outage).or(self.said);
        self
    }

    /// Whether this is but one more consequence of an outage that the log has a line about.
    pub fn is_outage(&self) -> bool {
        self.said == Some(Said::Outage)
    }

    /// By what the tenant's operator finds the request that failed, if one was made.
    pub fn correlation_id(&self) -> Option<&str> {
        let mut cause: Option<&(dyn Error + 'static)> = self.source();
        while let Some(error) = cause {
            let api =
                error.downcast_ref::<ApiError>().or_else(|| error.downcast_ref::<Arc<ApiError>>().map(|api| &**api));
            if let Some(api) = api {
                return api.correlation_id.as_deref();
            }
            cause = error.source();
        }
        None
    }

    /// What the caller is told.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

fn kind_of_api(error: &ApiError) -> ErrorKind {
    match error.kind {
        ApiErrorKind::Denied => ErrorKind::Denied,
        ApiErrorKind::Timeout | ApiErrorKind::RateLimited { .. } => ErrorKind::TimedOut,
        ApiErrorKind::Configuration | ApiErrorKind::Unavailable | ApiErrorKind::BadAnswer => ErrorKind::Io,
    }
}

impl From<Arc<ApiError>> for TreeError {
    fn from(error: Arc<ApiError>) -> TreeError {
        let outage = error.is_outage();
        TreeError::because(kind_of_api(&error), "asking CXone failed", error).during_outage(outage)
    }
}

impl From<BookError> for TreeError {
    fn from(error: BookError) -> TreeError {
        match error {
            BookError::Spent(_) => TreeError::new(ErrorKind::BudgetSpent, error.to_string()),
            BookError::Crowded(crowded) => TreeError::new(ErrorKind::Crowded, crowded.to_string()),
            BookError::Catalog(error) => {
                TreeError::because(ErrorKind::Io, "reading or writing what is known failed", error)
            }
            BookError::Closed => TreeError::new(ErrorKind::Io, error.to_string()),
        }
    }
}

impl From<CatalogError> for TreeError {
    fn from(error: CatalogError) -> TreeError {
        TreeError::because(ErrorKind::Io, "reading or writing what is known failed", Arc::new(error))
    }
}

impl From<IndexError> for TreeError {
    fn from(error: IndexError) -> TreeError {
        let kind = match &error {
            IndexError::Api(api) => kind_of_api(api),
            IndexError::Catalog(_) | IndexError::Interrupted => ErrorKind::Io,
        };
        let outage = matches!(&error, IndexError::Api(api) if api.is_outage());
        TreeError::because(kind, "listing the day failed", Arc::new(error)).during_outage(outage)
    }
}

impl From<MediaError> for TreeError {
    fn from(error: MediaError) -> TreeError {
        let kind = match &error {
            // The link source is ours: its own error says best what happened.
            MediaError::Link(cause) => match cause.downcast_ref::<TreeError>() {
                Some(ours) => return ours.clone(),
                None => ErrorKind::Io,
            },
            MediaError::Changed(_) | MediaError::Erased => ErrorKind::Changed,
            MediaError::Refused(StorageRefusal::Denied) => ErrorKind::Denied,
            MediaError::Refused(StorageRefusal::Restoring) => ErrorKind::Busy,
            MediaError::Timeout | MediaError::SlowDisk => ErrorKind::TimedOut,
            MediaError::Refused(_)
            | MediaError::Unsigned
            | MediaError::Failed(_)
            | MediaError::Source(_)
            | MediaError::Down(_) => ErrorKind::Io,
        };
        let outage = matches!(error, MediaError::Down(_));
        TreeError::because(kind, "reading the recording failed", Arc::new(error)).during_outage(outage)
    }
}
