//! The store on a real directory.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bytes::Bytes;

use super::files::Unreadable;
use super::*;
use crate::base::crypt::MasterKey;
use crate::media::geometry::BLOCK_SIZE;

fn header(byte: u8, blocks: u64) -> Header {
    let version = Version { size: blocks * BLOCK_SIZE - 10, validator: "e".into() };
    Header { hash: KeyHash([byte; 32]), version, created_s: 5, sealing: None }
}

fn create(store: &Store, header: &Header) -> Files {
    store.create(header.hash, &header.version, header.created_s).unwrap()
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &Keys::default(), Duration::ZERO).unwrap()
}

fn keys(current: u8, previous: u8) -> Keys {
    let key = |byte: u8| (byte > 0).then(|| MasterKey::parse(&[byte; 32]).unwrap());
    Keys { current: key(current), previous: key(previous) }
}

#[test]
fn the_block_that_cannot_be_read_is_named_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let header = header(7, 4);
    let files = create(&store, &header);
    files.data.set_len(2 * BLOCK_SIZE + 100).unwrap();
    for (offset, len) in [(0, 4 * BLOCK_SIZE - 10), (BLOCK_SIZE + 5, 2 * BLOCK_SIZE), (2 * BLOCK_SIZE + 200, 10)] {
        let mut out = vec![9];
        assert_eq!(files.read_into(offset, len as usize, &mut out), Err(Unreadable(2)), "{len} bytes at {offset}");
    }
}

#[test]
fn encrypted_blocks_come_back_and_are_not_what_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
    let header = header(7, 3);
    let files = create(&store, &header);
    let bytes: Vec<u8> = (0..header.version.size).map(|byte| (byte % 251) as u8).collect();
    let blocks: Vec<[Bytes; 1]> =
        bytes.chunks(BLOCK_SIZE as usize).map(|block| [Bytes::from(block.to_vec())]).collect();
    let run: Vec<&[Bytes]> = blocks.iter().map(<[Bytes; 1]>::as_slice).collect();
    files.write_run(0, &run, &[0, 0, 0]).unwrap();
    for files in [files, store.load(&header.hash).unwrap().0, store.reopen(&header.hash, header.version.size).unwrap()]
    {
        for (offset, len) in [(0, bytes.len()), (5, 10), (BLOCK_SIZE as usize - 1, 2), (2 * BLOCK_SIZE as usize, 100)] {
            let mut out = vec![9];
            files.read_into(offset as u64, len, &mut out).unwrap();
            assert!(out[1..] == bytes[offset..offset + len], "{len} bytes at {offset}");
        }
    }
    let raw = fs::read(store.paths(&header.hash).0).unwrap();
    assert!(!raw.windows(16).any(|window| window == &bytes[..16]));
    let mut raw = raw;
    raw[BLOCK_SIZE as usize + 77] ^= 1;
    fs::write(store.paths(&header.hash).0, raw).unwrap();
    let files = store.load(&header.hash).unwrap().0;
    assert_eq!(files.read_into(0, bytes.len(), &mut Vec::new()), Err(Unreadable(1)));
    files.remove_block(1).unwrap();
    assert_eq!(store.peek(&header.hash).unwrap().1, [Some(0), None, Some(0)]);
}

#[test]
fn keys_come_and_go_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let holds = |keys: &Keys| {
        let store = Store::open(dir.path(), keys, Duration::ZERO)?;
        let held = !store.scan().unwrap().0.is_empty();
        create(&store, &header(1, 1));
        Ok::<bool, StoreError>(held)
    };
    // In the clear, then encrypted, rotated, and in the clear again: each starts empty, and keeps what it has.
    for (current, previous) in [(0, 0), (1, 0), (2, 1), (0, 2)] {
        assert!(!holds(&keys(current, previous)).unwrap());
        assert!(holds(&keys(current, previous)).unwrap());
        let others = if current == 0 { vec![] } else { vec![(9, 0), (0, 0), (0, 9)] };
        for (other, before) in others {
            assert!(matches!(holds(&keys(other, before)), Err(StoreError::OtherKey { .. })), "{other} after {current}");
        }
        assert!(holds(&keys(current, previous)).unwrap(), "a refused key touched something");
    }
}

#[test]
fn blocks_come_back_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let header = header(7, 3);
    let files = create(&store, &header);
    let block = vec![9; BLOCK_SIZE as usize];
    let pieces = [Bytes::new(), Bytes::from(block[..7].to_vec()), Bytes::from(block[7..].to_vec())];
    files.write_run(1, &[&pieces], &[77]).unwrap();
    let (loaded, read, entries) = store.load(&header.hash).unwrap();
    assert_eq!((read, entries), (header.clone(), vec![None, Some(77), None]));
    let mut out = vec![1];
    loaded.read_into(BLOCK_SIZE, BLOCK_SIZE as usize, &mut out).unwrap();
    assert_eq!(out[1..], block);
    assert!(loaded.read_into(header.version.size - 1, 2, &mut out).is_err());
    assert!(files.data_bytes().unwrap() >= BLOCK_SIZE);
    files.remove_block(1).unwrap();
    assert_eq!(files.data_bytes().unwrap(), 0);
    assert_eq!(store.peek(&header.hash).unwrap().1, [None, None, None]);
    store.unlink(&header.hash).unwrap();
    assert!(store.load(&header.hash).is_err());
}

#[test]
fn everything_is_private() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(dir.path());
    let hash = create(&store, &header(1, 1)).data.meta().map(|_| header(1, 1).hash).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let (data, index) = store.paths(&hash);
    assert_eq!([mode(dir.path()), mode(&store.root), mode(data.parent().unwrap())], [0o700; 3]);
    assert_eq!([mode(&data), mode(&index), mode(&dir.path().join("lock"))], [0o600; 3]);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(Store::open(dir.path(), &Keys::default(), Duration::ZERO), Err(StoreError::InUse { .. })));
    drop(store);
    open(dir.path());
}

#[test]
fn a_scan_pairs_files_and_orders_them_by_use() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("v0")).unwrap();
    fs::create_dir(dir.path().join("vault")).unwrap();
    let store = open(dir.path());
    assert!(!dir.path().join("v0").exists() && dir.path().join("vault").exists());
    for (byte, used) in [(1, 300), (2, 100), (3, 200)] {
        create(&store, &header(byte, 1)).note_used(used).unwrap();
    }
    let (data, index) = store.paths(&KeyHash([3; 32]));
    fs::remove_file(index).unwrap();
    let (found, directories) = store.scan().unwrap();
    assert_eq!(found.iter().map(|found| found.hash.0[0]).collect::<Vec<_>>(), [2, 1]);
    assert!(directories > 0 && found.iter().all(|found| found.bytes >= 4096));
    assert!(!data.exists());
}

#[test]
fn a_note_stands_beside_the_bytes_and_a_torn_one_is_none() {
    for keys in [Keys::default(), keys(1, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &keys, Duration::ZERO).unwrap();
        let header = header(1, 2);
        let files = create(&store, &header);
        assert_eq!((store.note(&header.hash).unwrap().1, files.note_len()), (None, 0));
        for note in [b"a note that is long".as_slice(), b"a short note"] {
            files.write_note(note).unwrap();
            let (read, found) = store.note(&header.hash).unwrap();
            assert_eq!((read.version, found.as_deref()), (header.version.clone(), Some(note)));
        }
        assert_eq!(store.load(&header.hash).unwrap().2, [None, None], "blocks are what they were");
        let path = store.paths(&header.hash).1;
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.windows(12).any(|bytes| bytes == b"a short note"), keys.current.is_none());
        for len in whole.len() - 12..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(store.note(&header.hash).unwrap().1, None, "{len} bytes");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        assert_eq!(store.note(&header.hash).unwrap().1, None);
    }
}

/// What is on disk today must be readable by every later version.
#[test]
fn golden_bytes_of_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let header = header(1, 2);
    create(&store, &header).write_note(b"note").unwrap();
    let index = fs::read(store.paths(&header.hash).1).unwrap();
    assert_eq!(index[528..], *b"\x01\0\0\0\x7b\x62\x81\xc9note");
}

#[test]
fn damaged_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let header = header(1, 2);
    let (data, index) = store.paths(&header.hash);
    create(&store, &header);
    OpenOptions::new().write(true).open(&data).unwrap().set_len(5).unwrap();
    assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
    create(&store, &header);
    OpenOptions::new().write(true).open(&index).unwrap().set_len(520).unwrap();
    assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
    fs::write(&index, b"").unwrap();
    assert!(matches!(store.load(&header.hash), Err(Unusable::Io(_))));
    fs::write(&index, vec![3; 600]).unwrap();
    assert!(matches!(store.load(&header.hash), Err(Unusable::Index(BadIndex::Magic))));
}
