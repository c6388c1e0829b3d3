//! `cache.never`: recordings of some skills are read as all others are, and no byte of them is on disk.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Drive, Mount, Place, assert_same_bytes, cxonefs, eventually, plain, tool, true_bytes};

const SKILL: &str = "IB Billing";

/// The skill of an interaction, as its `contact.json` says.
fn skill(drive: &Drive, place: &Path) -> String {
    let records: Value = serde_json::from_slice(&std::fs::read(drive.at(place).join("contact.json")).unwrap()).unwrap();
    records[0]["skillName"].as_str().unwrap_or_default().to_owned()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok);
    files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// Which recordings have bytes somewhere in the sandbox, by a piece from the middle of each.
fn on_disk(drive: &Drive, masters: &[i64]) -> BTreeSet<i64> {
    let contents: Vec<Vec<u8>> = [drive.sandbox.cache(), drive.sandbox.state(), drive.sandbox.home()]
        .iter()
        .flat_map(|dir| files_below(dir))
        .map(|path| std::fs::read(path).unwrap_or_default())
        .collect();
    let found = masters.iter().copied().filter(|master| {
        let bytes = true_bytes(&drive.tenant, *master, 1);
        let pieces = [bytes.len() / 3, bytes.len() / 2, bytes.len() - 64].map(|at| bytes[at..at + 48].to_vec());
        contents.iter().any(|content| pieces.iter().any(|piece| content.windows(48).any(|window| window == piece)))
    });
    found.collect()
}

#[test]
fn what_may_not_be_on_disk_is_read_and_never_there() {
    let mut drive = Drive::with(plain(2, 8), &[]);
    let places: Vec<_> = drive.tree.places.clone();
    let (never, others): (Vec<_>, Vec<_>) = places.iter().partition(|place| skill(&drive, &place.path) == SKILL);
    assert!(never.len() >= 2 && others.len() >= 2, "{} and {}", never.len(), others.len());
    let masters: Vec<i64> = places.iter().map(|place| place.master).collect();
    let of = |places: &[&Place]| places.iter().map(|place| place.master).collect::<BTreeSet<i64>>();

    // Cached before the skill was named: gone with the next mount.
    let first = drive.at(&never[0].path).join("recording.mp4");
    std::fs::read(&first).unwrap();
    assert_eq!(on_disk(&drive, &masters), BTreeSet::from([never[0].master]), "the search can find them");
    drive.mount.terminate();
    let text = std::fs::read_to_string(drive.sandbox.config()).unwrap();
    std::fs::write(drive.sandbox.config(), text.replace("[cache]\n", "[cache]\nnever = [\"ib billing\"]\n")).unwrap();
    drop(std::mem::replace(&mut drive.mount, Mount::start(&drive.sandbox, &[])));
    eventually("what was cached before is gone", Duration::from_secs(20), || on_disk(&drive, &masters).is_empty());

    let warmed = cxonefs(&drive.sandbox.home()).args(["warm", "--yes"]).arg(drive.path()).ok();
    let line = format!("{} recordings left out, for cache.never", never.len());
    assert!((warmed.stdout.clone() + &warmed.stderr).contains(&line), "{}{}", warmed.stdout, warmed.stderr);
    assert_eq!(on_disk(&drive, &masters), of(&others));

    for place in &never {
        let path = drive.at(&place.path).join("recording.mp4");
        let truth = true_bytes(&drive.tenant, place.master, 1);
        assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
        let copy = drive.sandbox.path("copy");
        tool("cp").arg(&path).arg(&copy).ok();
        assert_same_bytes(&std::fs::read(&copy).unwrap(), &truth, &path);
        std::fs::remove_file(&copy).unwrap();
        let mut file = std::fs::File::open(&path).unwrap();
        for at in [truth.len() - 100, 10, truth.len() / 2] {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut bytes = vec![0; 90];
            file.read_exact(&mut bytes).unwrap();
            assert!(bytes == truth[at..at + 90], "{} at {at}", path.display());
        }
        tool("ffprobe").args(["-v", "error"]).arg(&path).ok();
        // What Media Playback said of it is kept as of any other.
        assert!(!std::fs::read(path.with_file_name("metadata.json")).unwrap().is_empty());
        assert_eq!(on_disk(&drive, &masters), of(&others), "while it is open");
    }
    drive.mount.terminate();
    assert_eq!(on_disk(&drive, &masters), of(&others));
}
