//! Opening a state directory: as a mount's, as it is found, or to encrypt it.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::db::{self, Db};
use super::error::CatalogError;
use super::field_cipher::FieldCipher;
use super::handle::{Catalog, Inner};
use super::highest::Highest;
use super::inode::InodeNumbers;
use super::known_days::KnownDays;
use super::marks::Marks;
use super::model::CatalogSettings;
use super::recent::Recent;
use super::rows::Checked;
use super::unsaid::Unsaid;
use super::{sealing, zone};
use crate::base::crypt::Keys;

impl Catalog {
    /// Opens or creates `cxonefs.db` in `dir` (0700, the file 0600) and migrates it.
    ///
    /// Refuses a directory or file of someone else, one that is in use, and a database of a newer version. A damaged or foreign
    /// database is moved aside with a warning, and a new one is begun with what could be salvaged.
    pub fn open(dir: &Path, settings: CatalogSettings) -> Result<Catalog, CatalogError> {
        Catalog::open_sealed(dir, settings, &Keys::default())
    }

    /// As [`Catalog::open`], with what is said of people encrypted if there is a current key. A database encrypted with the previous key is
    /// encrypted anew; without a current key, it is decrypted. Any other key is refused before anything is touched, and so is a
    /// database in the clear if there is a current key.
    pub fn open_sealed(dir: &Path, settings: CatalogSettings, keys: &Keys) -> Result<Catalog, CatalogError> {
        Catalog::open_with(dir, settings, keys, InodeNumbers::default())
    }

    /// Opens what is there, for looking after it: nothing is listed by it, so that it needs no time zone. Its
    /// encryption stays as it is; one of `keys` must fit. `None` where there is no database.
    pub fn open_existing(dir: &Path, keys: &Keys) -> Result<Option<Catalog>, CatalogError> {
        if !db::file_in(dir).exists() {
            return Ok(None);
        }
        let (db, field_cipher) = sealing::open_as_found(dir, keys)?;
        Catalog::over(db, field_cipher, TimeZone::UTC, InodeNumbers::default()).map(Some)
    }

    /// Encrypts a state directory with the current key, without checking its origin. Returns whether there was anything to do.
    pub fn encrypt(dir: &Path, keys: &Keys) -> Result<bool, CatalogError> {
        sealing::take_over(dir, keys)
    }

    pub(super) fn open_with(
        dir: &Path,
        settings: CatalogSettings,
        keys: &Keys,
        numbers: InodeNumbers,
    ) -> Result<Catalog, CatalogError> {
        let (db, field_cipher) = sealing::open(dir, keys)?;
        zone::adopt(&db, &settings.timezone)?;
        Catalog::over(db, field_cipher, settings.timezone, numbers)
    }

    fn over(
        db: Db,
        field_cipher: FieldCipher,
        timezone: TimeZone,
        numbers: InodeNumbers,
    ) -> Result<Catalog, CatalogError> {
        let (known_days, recent) = (KnownDays::default(), Recent::new());
        let (highest, marks) = (Highest::default(), Marks::load(&db, &field_cipher)?);
        let (checked, unsaid) = (Checked::default(), Unsaid::default());
        let inner = Inner { db, recent, timezone, numbers, field_cipher, known_days, highest, marks, checked, unsaid };
        Ok(Catalog { inner: Arc::new(inner) })
    }
}
