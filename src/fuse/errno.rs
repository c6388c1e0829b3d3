//! The one table from kinds of errors to what the kernel is told.

use fuser::Errno;

use crate::tree::ErrorKind;

/// Design §5.
pub fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::NoAttribute => Errno::NO_XATTR,
        ErrorKind::Denied => Errno::EACCES,
        ErrorKind::Busy => Errno::EBUSY,
        ErrorKind::BudgetSpent => Errno::EDQUOT,
        ErrorKind::Crowded => Errno::EAGAIN,
        ErrorKind::TimedOut => Errno::ETIMEDOUT,
        ErrorKind::Interrupted => Errno::EINTR,
        ErrorKind::Changed => Errno::ESTALE,
        ErrorKind::ReadOnly => Errno::EROFS,
        ErrorKind::Io => Errno::EIO,
    }
}
