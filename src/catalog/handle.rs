//! The handle that everything else in this folder has methods on.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::db::Db;
use super::field_cipher::FieldCipher;
use super::highest::Highest;
use super::inode::InodeNumbers;
use super::known_days::KnownDays;
use super::marks::Marks;
use super::recent::Recent;
use super::rows::Checked;
use super::unsaid::Unsaid;

/// The state database. All methods block for microseconds (reads) or a disk flush (writes). Cheap to clone.
///
/// A state directory belongs to one catalog at a time, across processes, until its last clone is dropped.
#[derive(Clone)]
pub struct Catalog {
    pub(super) inner: Arc<Inner>,
}

/// What all clones share: the file, and what is kept in memory of it.
pub(super) struct Inner {
    pub(super) db: Db,
    pub(super) recent: Recent,
    pub(super) timezone: TimeZone,
    pub(super) numbers: InodeNumbers,
    pub(super) field_cipher: FieldCipher,
    pub(super) known_days: KnownDays,
    pub(super) highest: Highest,
    pub(super) marks: Marks,
    pub(super) checked: Checked,
    pub(super) unsaid: Unsaid,
}
