//! Between our words and SQLite's integers.

use jiff::Timestamp;

use super::error::CatalogError;
use crate::base::Channel;

/// Microseconds since 1970; every instant that jiff knows fits.
pub(super) fn from_time(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(super) fn to_time(micros: i64) -> Result<Timestamp, CatalogError> {
    Timestamp::from_microsecond(micros).map_err(|_| CatalogError::Damaged("a time out of range"))
}

pub(super) fn to_optional_time(micros: Option<i64>) -> Result<Option<Timestamp>, CatalogError> {
    micros.map(to_time).transpose()
}

pub(super) fn to_unsigned(number: i64) -> Result<u64, CatalogError> {
    u64::try_from(number).map_err(|_| CatalogError::Damaged("a negative size or number"))
}

/// For sizes and 63-bit inode numbers.
pub(super) fn from_unsigned(number: u64) -> Result<i64, CatalogError> {
    i64::try_from(number).map_err(|_| CatalogError::Refused("a number above 2^63"))
}

pub(super) fn to_channel(id: i64) -> Channel {
    Channel::from_media_type_id(id)
}
