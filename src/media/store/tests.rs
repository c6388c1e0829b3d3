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
    // In the clear, then encrypted, rotated, and in the clear again: each keeps what it has, and all but a rotation start empty.
    for (current, previous) in [(0, 0), (1, 0), (2, 1), (3, 2), (0, 3)] {
        assert_eq!(holds(&keys(current, previous)).unwrap(), current > 1);
        assert!(holds(&keys(current, previous)).unwrap());
        let others = if current == 0 { vec![] } else { vec![(9, 0), (0, 0), (0, 9)] };
        for (other, before) in others {
            assert!(matches!(holds(&keys(other, before)), Err(StoreError::OtherKey { .. })), "{other} after {current}");
        }
        assert!(holds(&keys(current, previous)).unwrap(), "a refused key touched something");
    }
}

/// A recording with its first block and a note.
fn put(store: &Store, key: &RecordingKey) -> Header {
    let version = Version { size: 2 * BLOCK_SIZE, validator: "e".into() };
    let files = store.create(store.name(key), &version, 5).unwrap();
    let bytes = Bytes::from(vec![7; BLOCK_SIZE as usize]);
    files.write_run(0, &[std::slice::from_ref(&bytes)], &[crc32c::crc32c(&bytes)]).unwrap();
    files.write_note(b"a note").unwrap();
    store.header(&store.name(key)).unwrap()
}

#[track_caller]
fn assert_put(store: &Store, key: &RecordingKey) {
    let (files, header, entries) = store.load(&store.name(key)).unwrap();
    assert_eq!((header.created_s, entries.len(), entries[1]), (5, 2, None));
    let mut bytes = Vec::new();
    files.read_into(0, BLOCK_SIZE as usize, &mut bytes).unwrap();
    assert!(bytes == vec![7; BLOCK_SIZE as usize] && files.read_note().as_deref() == Some(b"a note"));
}

#[test]
fn a_replaced_key_rewrites_keys_and_no_block_wherever_it_is_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<RecordingKey> = (0..20).map(|number| RecordingKey(format!("{number}/0").into())).collect();
    let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
    for key in &names {
        put(&store, key);
    }
    let data: Vec<_> = names.iter().map(|key| fs::read(store.paths(&store.name(key)).0).unwrap()).collect();
    // Broken off after half of them: the directory still says the former key.
    let renewed = Seal::of(&MasterKey::parse(&[1; 32]).unwrap()).renewed(&MasterKey::parse(&[2; 32]).unwrap());
    for key in &names[..10] {
        let (path, header) = (store.paths(&store.name(key)).1, store.header(&store.name(key)).unwrap());
        let header = renewed.rewrapped(store.seal.as_ref().unwrap(), &header).unwrap().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[..512].copy_from_slice(&index::encode_header(&header));
        fs::write(&path, bytes).unwrap();
    }
    drop(store);
    for (current, previous) in [(2, 1), (2, 0), (3, 2), (3, 0)] {
        let store = Store::open(dir.path(), &keys(current, previous), Duration::ZERO).unwrap();
        for (key, bytes) in names.iter().zip(&data) {
            assert_put(&store, key);
            assert!(fs::read(store.paths(&store.name(key)).0).unwrap() == *bytes);
        }
    }
}

#[test]
fn the_former_format_is_read_and_becomes_this_one_when_the_key_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let key = RecordingKey("1/0".into());
    let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
    let (path, id) = (store.paths(&store.name(&key)).1, store.seal.as_ref().unwrap().id());
    // As the version before made it: another header, in another directory, and no key of names.
    let sealing = Some(index::Sealing { key_id: id, own: index::OwnKey::Derived { salt: [4; 32] } });
    let header = Header { sealing, ..put(&store, &key) };
    let mut bytes = fs::read(&path).unwrap();
    bytes[..512].copy_from_slice(&index::encode_header(&header));
    fs::write(&path, bytes).unwrap();
    let files = store.load(&store.name(&key)).unwrap().0;
    files.write_run(0, &[&[Bytes::from(vec![7; BLOCK_SIZE as usize])]], &[0]).unwrap();
    files.write_note(b"a note").unwrap();
    drop(store);
    fs::rename(dir.path().join("v3"), dir.path().join("v2")).unwrap();
    fs::write(dir.path().join("key"), format!("{id}\n")).unwrap();
    for (current, previous) in [(1, 0), (1, 0), (2, 1), (2, 0)] {
        let store = Store::open(dir.path(), &keys(current, previous), Duration::ZERO).unwrap();
        assert_put(&store, &key);
    }
}

#[test]
fn what_is_in_the_clear_is_encrypted_by_command_and_dropped_otherwise() {
    for by_command in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<RecordingKey> = (0..3).map(|number| RecordingKey(format!("{number}/0").into())).collect();
        let store = open(dir.path());
        for key in &names {
            put(&store, key);
        }
        drop(store);
        if by_command {
            let mut known = names[..2].iter().cloned();
            assert_eq!(Store::encrypt(dir.path(), &keys(1, 0), &mut known, Duration::ZERO).unwrap(), 2);
        }
        let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
        assert_eq!(store.scan().unwrap().0.len(), if by_command { 2 } else { 0 });
        if by_command {
            for key in &names[..2] {
                assert_put(&store, key);
            }
        }
        assert!(!dir.path().join("v1").exists());
    }
}

#[test]
fn a_recording_whose_key_was_overwritten_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
    let [one, other] = ["1/0", "2/0"].map(|key| RecordingKey(key.into()));
    let header = put(&store, &one);
    put(&store, &other);
    store.forget_keys(&[store.name(&one), KeyHash([9; 32])]).unwrap();
    assert!(store.load(&store.name(&one)).is_err());
    assert_put(&store, &other);
    // The header's checksum put right does not bring it back.
    let path = store.paths(&header.hash).1;
    let mut bytes = fs::read(&path).unwrap();
    index::seal(&mut bytes);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(store.load(&header.hash), Err(Unusable::OtherKey)));
}

#[test]
fn an_index_that_somebody_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
    let key = RecordingKey("1/0".into());
    let header = put(&store, &key);
    let path = store.paths(&header.hash).1;
    let before = fs::read(&path).unwrap();
    let version = Version { validator: "f".into(), ..header.version.clone() };
    for changed in [Header { created_s: 6, ..header.clone() }, Header { version, ..header.clone() }] {
        let mut bytes = before.clone();
        bytes[..512].copy_from_slice(&index::encode_header(&changed));
        fs::write(&path, bytes).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::OtherKey)));
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
