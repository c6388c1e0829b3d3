//! Encrypting a cache that is in the clear: blocks are read, compared with their checksums, and written again. Knows what recordings are called
//! from whom it is told.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Store, StoreError, directory};
use crate::base::crypt::Keys;
use crate::media::disk::RealDisk;
use crate::media::geometry::{block_len, block_start};
use crate::media::key::{KeyHash, RecordingKey};

impl Store {
    /// Encrypts those recordings of `named` that are in the clear. What else is in the clear is dropped when the directory is opened next.
    /// Returns how many there were.
    pub fn encrypt(
        dir: &Path,
        keys: &Keys,
        named: &mut dyn Iterator<Item = RecordingKey>,
        patience: Duration,
    ) -> Result<u64, StoreError> {
        let plain_root = dir.join("v1");
        if !plain_root.is_dir() {
            return Ok(0);
        }
        let (_lock, root, seal) = directory::hold_keeping(dir, keys, patience, |name| name == "v1")?;
        let failed = |source| StoreError::Io { path: dir.to_owned(), source };
        let plain = Store::on(Arc::new(RealDisk::unknown()), plain_root.clone(), None).map_err(failed)?;
        let sealed = Store::on(Arc::new(RealDisk::unknown()), root, seal).map_err(failed)?;
        let mut encrypted = 0;
        for key in named {
            let hash = KeyHash::of(&key);
            if copy(&plain, &hash, &sealed, sealed.name(&key)).map_err(failed)? {
                encrypted += 1;
            }
            plain.unlink(&hash).map_err(failed)?;
        }
        std::fs::remove_dir_all(&plain_root).map_err(failed)?;
        Ok(encrypted)
    }
}

/// Copies one recording with its note. False: there is nothing of it, or it is damaged.
fn copy(plain: &Store, hash: &KeyHash, sealed: &Store, name: KeyHash) -> io::Result<bool> {
    let Ok((from, header, entries)) = plain.load(hash) else { return Ok(false) };
    let into = sealed.create(name, &header.version, header.created_s)?;
    for (block, crc) in (0..).zip(entries).filter_map(|(block, crc)| Some((block, crc?))) {
        let mut bytes = Vec::new();
        let len = block_len(header.version.size, block) as usize;
        let read = from.read_into(block_start(block), len, &mut bytes);
        if read.is_ok() && crc32c::crc32c(&bytes) == crc {
            into.write_run(block, &[&[Bytes::from(bytes)]], &[crc])?;
        }
    }
    if let Some(note) = from.read_note() {
        into.write_note(&note)?;
    }
    Ok(true)
}
