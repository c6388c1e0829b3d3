//! A copy of the state database as one file, while a daemon may be writing to it.
//!
//! Copies pages as they are: what is encrypted stays so, and no key is needed.

use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::db;
use super::error::CatalogError;
use super::rows::Rows;

/// Copies the database of a state directory to a new file of mode 0600, which appears whole or not at all. What is there already is never
/// replaced. Returns its bytes.
pub fn backup(state_dir: &Path, file: &Path) -> Result<u64, CatalogError> {
    let exists = || CatalogError::io("create", file)(io::Error::from(io::ErrorKind::AlreadyExists));
    if file.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let source = db::connection::open_reader(&db::file_in(state_dir), &Rows::of(None))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Mode 0600 from its beginning.
    let copy = tempfile::NamedTempFile::new_in(folder).map_err(CatalogError::io("create a file in", folder))?;
    copy_pages(&source, copy.path())?;
    copy.as_file().sync_all().map_err(CatalogError::io("write", file))?;
    let bytes = copy.as_file().metadata().map_err(CatalogError::io("read", file))?.len();
    copy.persist_noclobber(file).map_err(|error| CatalogError::io("create", file)(error.error))?;
    let folder_is_written = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    folder_is_written.map_err(CatalogError::io("write", folder))?;
    Ok(bytes)
}

/// One state of the database: all pages in one step, under one read lock. Writers do not wait for it (WAL).
fn copy_pages(source: &Connection, path: &Path) -> Result<(), CatalogError> {
    let mut copy = Connection::open(path)?;
    match Backup::new(source, &mut copy)?.step(-1)? {
        StepResult::Done => {}
        _ => return Err(CatalogError::Refused("another program holds the database; try again")),
    }
    // One file, without companions.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(CatalogError::Damaged("its pages contradict each other"));
    }
    copy.close().map_err(|(_, error)| error.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::base::crypt::Keys;
    use crate::catalog::Catalog;
    use crate::catalog::testing::settings;

    #[test]
    fn a_copy_is_private_whole_and_replaces_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let (state, file) = (temp.path().join("state"), temp.path().join("copy.db"));
        let error = backup(&state, &file).unwrap_err();
        assert!(!file.exists(), "{error}");
        let catalog = Catalog::open(&state, settings()).unwrap();
        let bytes = backup(&state, &file).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o7777), (bytes, 0o600));
        assert!(matches!(backup(&state, &file), Err(CatalogError::Io { .. })), "it is not replaced");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2, "nothing is left beside it");
        drop(catalog);
        let restored = temp.path().join("restored");
        std::fs::create_dir(&restored).unwrap();
        std::fs::copy(&file, db::file_in(&restored)).unwrap();
        assert!(Catalog::open_existing(&restored, &Keys::default()).unwrap().is_some());
    }

    #[test]
    fn a_damaged_database_is_no_backup() {
        let temp = tempfile::tempdir().unwrap();
        let (state, file) = (temp.path().join("state"), temp.path().join("copy.db"));
        drop(Catalog::open(&state, settings()).unwrap());
        let path = db::file_in(&state);
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes[4096..half].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        assert!(backup(&state, &file).unwrap_err().is_damage());
        assert!(!file.exists());
    }
}
