//! Taking the cache directory: whose it is, that nobody else uses it, and with which key what is in it was encrypted. Knows no recording.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::crypt::{KeyId, Keys};
use crate::base::lock::lock_exclusively;
use crate::media::seal::Seal;

const KEY_FILE: &str = "key";

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the cache directory {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the cache directory {path} belongs to another user")]
    Owner { path: PathBuf },
    #[error("the cache directory {path} is in use by another process")]
    InUse { path: PathBuf },
    #[error(
        "the cache directory {path} is encrypted with the key {found}, which is not the one that is configured: set \
        cache.encryption_key_file (or, to do without it, cache.encryption_previous_key_file) to that key, or empty the directory, \
        and recordings are fetched again"
    )]
    OtherKey { path: PathBuf, found: String },
}

/// Whether a directory can be used with these keys, before anything in it is touched. True: not without dropping what is in it.
pub(super) fn check_key(dir: &Path, keys: &Keys) -> Result<bool, StoreError> {
    let path = dir.join(KEY_FILE);
    let found = match fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(keys.current.is_some());
        }
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    let id = KeyId::from_hex(&found);
    if id.is_some() && id == keys.current.as_ref().map(crate::base::crypt::MasterKey::id) {
        return Ok(false);
    }
    if id.is_none_or(|id| keys.with_id(&id).is_none()) {
        return Err(StoreError::OtherKey { path: dir.to_owned(), found });
    }
    Ok(true)
}

/// Takes the directory for this process, and removes from it what cannot be used with these keys. Gives the lock and where recordings are.
pub(super) fn hold(
    dir: &Path,
    keys: &Keys,
    seal: Option<&Seal>,
    patience: Duration,
) -> Result<(File, PathBuf), StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { path, source }
    };
    check_key(dir, keys)?;
    create_dir(dir).map_err(at(dir))?;
    let metadata = fs::metadata(dir).map_err(at(dir))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(StoreError::Owner { path: dir.to_owned() });
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(at(dir))?;
    }
    let lock_path = dir.join("lock");
    let lock = private_file().create(true).truncate(false).open(&lock_path).map_err(at(&lock_path))?;
    if !lock_exclusively(&lock, patience).map_err(at(&lock_path))? {
        return Err(StoreError::InUse { path: dir.to_owned() });
    }
    let format_dir = format!("v{}", super::form(seal).number());
    // Again, now that nobody else can change it.
    let dropped = check_key(dir, keys)?;
    drop_formats(dir, |name| dropped || name != format_dir).map_err(at(dir))?;
    note_key(dir, seal).map_err(at(dir))?;
    Ok((lock, dir.join(format_dir)))
}

fn drop_formats(dir: &Path, is_dropped: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_format = name.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if is_format && is_dropped(&name) && entry.file_type()?.is_dir() {
            tracing::warn!(format = %name, "a cache of another format or key ({name}) is dropped: recordings will be fetched again");
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Notes with which key the directory is encrypted. In one step, and only when nothing of another key is there any more.
fn note_key(dir: &Path, seal: Option<&Seal>) -> io::Result<()> {
    let path = dir.join(KEY_FILE);
    match seal {
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Some(seal) => {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            writeln!(file, "{}", seal.id())?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        }
    }
}

fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
