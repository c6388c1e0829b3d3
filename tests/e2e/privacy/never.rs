//! `cache.never`: recordings of some skills are read as all others are, and no byte of them is on disk.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Drive, Place, assert_same_bytes, cxonefs, eventually, plain, tool, true_bytes};

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

/// Bytes of a piece by which a recording is looked for, and of the part of it that is looked up.
const PIECE: usize = 48;
const HEAD: usize = 8;

/// Pieces of recordings that stand in no other one.
struct Telltales(HashMap<[u8; HEAD], Vec<(i64, Vec<u8>)>>);

impl Telltales {
    fn of(drive: &Drive, masters: &[i64]) -> Telltales {
        let recordings: Vec<(i64, Vec<u8>)> =
            masters.iter().map(|master| (*master, true_bytes(&drive.tenant, *master, 1))).collect();
        let mut all = Telltales(HashMap::new());
        for (master, bytes) in &recordings {
            for at in (bytes.len() / 4..bytes.len() - PIECE).step_by(bytes.len() / 40) {
                let piece = bytes[at..at + PIECE].to_vec();
                all.0.entry(piece[..HEAD].try_into().unwrap()).or_default().push((*master, piece));
            }
        }
        let mut shared = HashSet::new();
        for (master, bytes) in &recordings {
            all.each(bytes, |of, piece| {
                if of != *master {
                    shared.insert(piece.to_vec());
                }
            });
        }
        for pieces in all.0.values_mut() {
            pieces.retain(|(_, piece)| !shared.contains(piece));
        }
        let known: BTreeSet<i64> = all.0.values().flatten().map(|(master, _)| *master).collect();
        assert_eq!(known.len(), masters.len(), "recordings that cannot be told apart");
        all
    }

    fn each(&self, bytes: &[u8], mut found: impl FnMut(i64, &[u8])) {
        for at in 0..bytes.len().saturating_sub(PIECE) {
            let head: [u8; HEAD] = bytes[at..at + HEAD].try_into().unwrap();
            for (master, piece) in self.0.get(&head).into_iter().flatten() {
                if bytes[at..at + PIECE] == piece[..] {
                    found(*master, piece);
                }
            }
        }
    }

    /// Which recordings have bytes somewhere in the sandbox.
    fn on_disk(&self, drive: &Drive) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        for dir in [drive.sandbox.cache(), drive.sandbox.state(), drive.sandbox.home()] {
            for path in files_below(&dir) {
                self.each(&std::fs::read(path).unwrap_or_default(), |master, _| {
                    found.insert(master);
                });
            }
        }
        found
    }
}

#[test]
fn what_may_not_be_on_disk_is_read_and_never_there() {
    let mut drive = Drive::with(plain(2, 8), &[]);
    let places: Vec<_> = drive.tree.places.clone();
    let (never, others): (Vec<_>, Vec<_>) = places.iter().partition(|place| skill(&drive, &place.path) == SKILL);
    assert!(never.len() >= 2 && others.len() >= 2, "{} and {}", never.len(), others.len());
    let masters: Vec<i64> = places.iter().map(|place| place.master).collect();
    let telltales = Telltales::of(&drive, &masters);
    let of = |places: &[&Place]| places.iter().map(|place| place.master).collect::<BTreeSet<i64>>();

    // Cached before the skill was named: gone with the next mount.
    let first = drive.at(&never[0].path).join("recording.mp4");
    std::fs::read(&first).unwrap();
    assert_eq!(telltales.on_disk(&drive), BTreeSet::from([never[0].master]), "the search can find them");
    drive.mount.terminate();
    let text = std::fs::read_to_string(drive.sandbox.config()).unwrap();
    std::fs::write(drive.sandbox.config(), text.replace("[cache]\n", "[cache]\nnever = [\"ib billing\"]\n")).unwrap();
    drive.mount.start_again();
    eventually("what was cached before is gone", Duration::from_secs(20), || telltales.on_disk(&drive).is_empty());

    let warmed = cxonefs(&drive.sandbox.home()).args(["warm", "--yes"]).arg(drive.path()).ok();
    let line = format!("{} recordings left out, for cache.never", never.len());
    assert!((warmed.stdout.clone() + &warmed.stderr).contains(&line), "{}{}", warmed.stdout, warmed.stderr);
    assert_eq!(telltales.on_disk(&drive), of(&others));

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
        assert_eq!(telltales.on_disk(&drive), of(&others), "while it is open");
    }
    drive.mount.terminate();
    assert_eq!(telltales.on_disk(&drive), of(&others));
}
