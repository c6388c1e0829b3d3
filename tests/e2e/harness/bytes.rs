//! Comparing what is read with what is true.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cxonefs::base::MasterId;

use super::tenant::Tenant;

/// All bytes of a recording, by its number as the truth counts.
pub fn true_bytes(tenant: &Tenant, master: i64, number: u8) -> Vec<u8> {
    let recording = tenant.world().recording(MasterId(master), number).expect("there is such a recording");
    let mut bytes = vec![0; recording.len() as usize];
    assert_eq!(recording.read_at(0, &mut bytes), bytes.len());
    bytes
}

/// Compares without printing megabytes.
#[track_caller]
pub fn assert_same_bytes(read: &[u8], expected: &[u8], what: &Path) {
    if let Some(at) = read.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("{}: byte {at} is {:#04x} and must be {:#04x}", what.display(), read[at], expected[at]);
    }
    assert_eq!(read.len(), expected.len(), "bytes of {}", what.display());
}

/// What `pread` gives, until the end of the file or `len` bytes.
#[track_caller]
pub fn read_at(file: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64).unwrap() {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    bytes
}
