//! Eight readers at once at random offsets and sizes, against the recordings as they are.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use cxonefs::base::MasterId;
use cxonefs::sim::SimSettings;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Drive, Tenant, assert_same_bytes, plain, read_at};

const READERS: usize = 8;
const FILES: usize = 8;
const FILE_BYTES: u64 = 5 * 1024 * 1024 + 12_345;
const CASES: u32 = 20;

#[derive(Clone, Debug)]
struct Read {
    file: usize,
    offset: u64,
    len: usize,
    /// Past the kernel's page cache.
    direct: bool,
}

fn read() -> impl Strategy<Value = Read> {
    let anywhere = 0..FILE_BYTES + 100_000;
    // Block sizes are powers of two from 64 KiB to 1 MiB; mistakes live at their edges and at the end.
    let edge = (0..=FILE_BYTES / 65_536, -2_i64..=2).prop_map(|(block, by)| (block * 65_536).saturating_add_signed(by));
    let end = (0_u64..70_000).prop_map(|before| FILE_BYTES - before);
    let offset = prop_oneof![anywhere, edge, end];
    let len = prop_oneof![1_usize..5000, 1_usize..400_000, Just(65_536), Just(131_072)];
    (0..FILES, offset, len, any::<bool>()).prop_map(|(file, offset, len, direct)| Read { file, offset, len, direct })
}

/// What each reader reads, one after the other.
fn plans() -> impl Strategy<Value = Vec<Vec<Read>>> {
    proptest::collection::vec(proptest::collection::vec(read(), 1..6), READERS)
}

#[test]
fn eight_readers_read_what_is_true() {
    check(&["--set", "cache.whole_file_below=64KiB"]);
}

/// Blocks are thrown out and fetched again all the time.
#[test]
fn eight_readers_read_what_is_true_with_hardly_any_cache() {
    check(&["--set", "cache.whole_file_below=64KiB", "--cache-size", "8MiB"]);
}

fn check(flags: &[&str]) {
    let settings = SimSettings { bulk_bytes: Some(FILE_BYTES), ..plain(2, 4) };
    let drive = Drive::with(settings, flags);
    let files: Vec<(i64, PathBuf)> =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    assert_eq!(files.len(), FILES);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&plans(), |plans| {
        let (files, tenant) = (&files, &drive.tenant);
        std::thread::scope(|scope| {
            let readers: Vec<_> = plans
                .iter()
                .map(|plan| scope.spawn(move || plan.iter().for_each(|read| one(tenant, files, read))))
                .collect();
            let failed = readers.into_iter().filter_map(|reader| reader.join().err()).count();
            prop_assert_eq!(failed, 0, "readers that read something else");
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn one(tenant: &Tenant, files: &[(i64, PathBuf)], read: &Read) {
    let (master, path) = &files[read.file];
    let file = open(path, read.direct);
    let bytes = read_at(&file, read.offset, read.len);
    let recording = tenant.world().recording(MasterId(*master), 1).unwrap();
    let mut expected = vec![0; read.len];
    let there = recording.read_at(read.offset, &mut expected);
    expected.truncate(there);
    assert_same_bytes(&bytes, &expected, path);
}

fn open(path: &PathBuf, direct: bool) -> File {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap()
}
