//! Fills a cache directory with small recordings that nobody asked for: `fill_cache DIR COUNT`. For `scripts/bench` (how long does a
//! mount take over a full cache?).

use std::fs;
use std::path::Path;

use cxonefs::media::geometry::BLOCK_SIZE;
use cxonefs::media::index::{Header, encode_header, encode_present};
use cxonefs::media::{KeyHash, RecordingKey, Version};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: fill_cache DIR COUNT");
    let (dir, count): (String, u32) = (next()?, next()?.parse()?);
    let root = Path::new(&dir).join("v1");
    // As small as a file can be that takes room on the disk.
    let bytes = vec![1; 4096];
    for number in 0..count {
        let hash = KeyHash::of(&RecordingKey(format!("filler/{number}").into()));
        let version = Version { size: bytes.len() as u64, validator: String::new() };
        let mut index = encode_header(&Header { hash, version, created_s: i64::from(number), sealing: None }).to_vec();
        index.extend(encode_present(crc32c::crc32c(&bytes)));
        let shard = root.join(&hash.hex()[..2]);
        fs::create_dir_all(&shard)?;
        fs::write(shard.join(format!("{}.data", hash.hex())), &bytes)?;
        fs::write(shard.join(format!("{}.idx", hash.hex())), &index)?;
    }
    assert!(BLOCK_SIZE >= bytes.len() as u64, "one block each");
    Ok(())
}
