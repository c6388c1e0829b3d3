//! Taking the cache directory: whose it is, that nobody else uses it, and with which key what is in it was encrypted. Knows no recording.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::crypt::{self, KeyId, Keys, MasterKey};
use crate::base::lock::lock_exclusively;
use crate::media::index::Form;
use crate::media::seal::Seal;
use crate::media::{index, key};

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

/// With what a directory is encrypted.
struct Note {
    id: KeyId,
    /// The key of names, encrypted; none as long as it is that of the first key.
    names: Option<Vec<u8>>,
}

impl Note {
    fn parse(text: &str) -> Option<Note> {
        let mut lines = text.lines();
        let id = KeyId::from_hex(lines.next()?)?;
        let names = match lines.next() {
            Some(line) => Some(crypt::bytes_of_hex(line.trim())?),
            None => None,
        };
        Some(Note { id, names })
    }
}

/// Reads which key a directory is encrypted with; none if it is not.
fn noted(dir: &Path, keys: &Keys) -> Result<Option<(Note, MasterKey)>, StoreError> {
    let path = dir.join(KEY_FILE);
    let found = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    let note = Note::parse(&found);
    let fitting = note.and_then(|note| keys.with_id(&note.id).cloned().map(|key| (note, key)));
    let shown =
        || found.lines().next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    fitting.map(Some).ok_or_else(|| StoreError::OtherKey { path: dir.to_owned(), found: shown() })
}

/// Whether a directory can be used with these keys, before anything in it is touched.
pub(super) fn check_key(dir: &Path, keys: &Keys) -> Result<(), StoreError> {
    noted(dir, keys).map(drop)
}

/// Takes the directory for this process, and removes from it what cannot be used with these keys. Gives the lock, where recordings are, and what
/// encrypts them.
pub(super) fn hold(dir: &Path, keys: &Keys, patience: Duration) -> Result<(File, PathBuf, Option<Seal>), StoreError> {
    hold_keeping(dir, keys, patience, |_| false)
}

/// The same, leaving other formats that `is_kept`.
pub(super) fn hold_keeping(
    dir: &Path,
    keys: &Keys,
    patience: Duration,
    is_kept: impl Fn(&str) -> bool,
) -> Result<(File, PathBuf, Option<Seal>), StoreError> {
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
    // Again, now that nobody else can change it.
    let before = noted(dir, keys)?;
    let seal = sealed_by(dir, before.as_ref(), keys)?;
    let root = dir.join(format!("v{}", form(seal.as_ref()).number()));
    if seal.is_some() && before.is_some() && !root.exists() {
        let _ = fs::rename(dir.join("v2"), &root);
    }
    drop_formats(dir, |name| !root.ends_with(name) && !is_kept(name)).map_err(at(dir))?;
    match (&before, &seal) {
        (Some((note, key)), Some(seal)) if note.id != seal.id() => {
            let former = former(dir, note, key)?;
            renew(&root, &former, seal).map_err(at(&root))?;
        }
        _ => {}
    }
    note_key(dir, seal.as_ref()).map_err(at(dir))?;
    Ok((lock, root, seal))
}

/// What encrypts a directory from now on.
fn sealed_by(dir: &Path, before: Option<&(Note, MasterKey)>, keys: &Keys) -> Result<Option<Seal>, StoreError> {
    let Some(current) = &keys.current else { return Ok(None) };
    match before {
        None => Ok(Some(Seal::of(current))),
        Some((note, key)) => {
            former(dir, note, key).map(|seal| Some(if note.id == current.id() { seal } else { seal.renewed(current) }))
        }
    }
}

fn former(dir: &Path, note: &Note, key: &MasterKey) -> Result<Seal, StoreError> {
    let seal = match &note.names {
        None => Some(Seal::of(key)),
        Some(names) => Seal::naming(key, names),
    };
    seal.ok_or_else(|| StoreError::OtherKey { path: dir.to_owned(), found: note.id.to_string() })
}

/// Encrypts the key of every recording with another of the owner's. May be broken off at any point and done again: each says with which it is
/// encrypted, and the directory says the former one until all are done.
fn renew(root: &Path, before: &Seal, after: &Seal) -> io::Result<()> {
    let (mut renewed, mut useless) = (0u64, 0u64);
    let shards = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        shards => shards?,
    };
    for shard in shards {
        let shard = shard?.path();
        if !shard.is_dir() {
            continue;
        }
        for entry in fs::read_dir(shard)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                let is_renewed = renew_one(&path, before, after)?;
                renewed += u64::from(is_renewed);
                useless += u64::from(!is_renewed);
            }
        }
    }
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(root)?)?;
    tracing::warn!(renewed, useless, "the key of the cache was replaced");
    Ok(())
}

/// False: the file is of no use, and will be dropped when it is opened.
fn renew_one(path: &Path, before: &Seal, after: &Seal) -> io::Result<bool> {
    let index = private_file().open(path)?;
    let mut bytes = [0; index::HEADER_LEN];
    if index.read_exact_at(&mut bytes, 0).is_err() {
        return Ok(false);
    }
    let Ok(header) = index::decode_header(&bytes) else { return Ok(false) };
    if header.sealing.as_ref().is_some_and(|sealing| sealing.key_id == after.id()) {
        return Ok(true);
    }
    let Some(header) = after.rewrapped(before, &header).map_err(io::Error::other)? else { return Ok(false) };
    let used = index.metadata()?.modified()?;
    index.write_all_at(&index::encode_header(&header), 0)?;
    // Which recordings go first depends on it.
    index.set_modified(used)?;
    Ok(true)
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
            let names = seal.sealed_names().map_err(io::Error::other)?;
            writeln!(file, "{}\n{}", seal.id(), key::hex(&names))?;
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
/// In which form index files are written.
pub(super) fn form(seal: Option<&Seal>) -> Form {
    if seal.is_some() { Form::Sealed } else { Form::Plain }
}
