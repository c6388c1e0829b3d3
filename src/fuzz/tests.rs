//! A moment of every fuzz target in the ordinary suite: what a simulated tenant sends, every input that once did harm, and some
//! thousand mutations of both, the same ones in every run.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use rstest::rstest;

use super::{TARGETS, Target, seeds};

/// Mutations of a target in the ordinary suite, and how many times that under `scripts/test --full`.
const MUTATIONS: usize = 4_000;
const FULL: usize = 20;
/// Mutations do not grow beyond this (bytes): what is tried is shapes, not sizes.
const INPUT_BYTES_MAX: usize = 16 << 10;

/// Inputs of fuzzers that once made a target panic, by target.
fn harmful(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

async fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let all = seeds::seeds().await.unwrap();
    all.into_iter().find(|(name, _)| *name == target).unwrap().1
}

fn run(target: Target, input: &[u8]) {
    let went_well = catch_unwind(|| (target.run)(input)).is_ok();
    assert!(went_well, "{} panics at: {}", target.name, input.escape_ascii());
}

#[rstest]
#[tokio::test]
async fn nothing_that_is_sent_does_harm(#[values(0, 1, 2, 3, 4, 5)] index: usize) {
    let target = TARGETS[index];
    let mut inputs = seeds_of(target.name).await;
    assert!(!inputs.is_empty());
    inputs.extend(harmful(target.name));
    inputs.extend([Vec::new(), b"\xff\xfe".to_vec(), b"{".repeat(4096), b"[".repeat(200_000)]);
    for input in &inputs {
        run(target, input);
    }
    let mut rng = fastrand::Rng::with_seed(index as u64);
    let rounds = if std::env::var_os("CXONEFS_TEST_FULL").is_some() { MUTATIONS * FULL } else { MUTATIONS };
    for _ in 0..rounds {
        run(target, &mutated(&inputs, &mut rng));
    }
}

/// An input with a few bytes changed, cut, repeated, or replaced by a piece of another one.
fn mutated(inputs: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    const WORDS: [&str; 18] = [
        "null",
        "-1",
        "0",
        "9223372036854775807",
        "1e400",
        "\"",
        "{}",
        "[]",
        "true",
        "\\u0000",
        "\\ud800",
        "\u{202e}",
        "\r\n",
        ":",
        "..",
        "https://u:p@h.example/x?X-Amz-Signature=a",
        "\"interactions\":",
        "=",
    ];
    let mut input = rng.choice(inputs).cloned().unwrap_or_default();
    input.truncate(INPUT_BYTES_MAX);
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(0..=input.len());
        let end = (at + rng.usize(0..16)).min(input.len());
        match rng.u8(0..6) {
            0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
            1 => drop(input.splice(at..end, rng.choice(WORDS).unwrap_or_default().bytes())),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at.max(1)),
            4 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let other = rng.choice(inputs).map_or(&[][..], Vec::as_slice);
                let from = rng.usize(0..=other.len());
                let piece = other[from..(from + rng.usize(0..64)).min(other.len())].to_vec();
                input.splice(at..end, piece);
            }
        }
    }
    input
}

/// Writes the corpora with which `scripts/fuzz` begins, where `CXONEFS_FUZZ_CORPUS` says; else it only sees that it could.
#[tokio::test]
async fn corpora_are_written() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("CXONEFS_FUZZ_CORPUS").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for (target, inputs) in seeds::seeds().await.unwrap() {
        let folder = root.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, input) in inputs.into_iter().chain(harmful(target)).enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), input).unwrap();
        }
    }
    let mut named: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    named.sort();
    let mut expected = TARGETS.map(|target| target.name);
    expected.sort_unstable();
    assert_eq!(named, expected);
}

#[test]
fn every_target_has_its_fuzzer() {
    for target in TARGETS {
        let fuzzer = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{}.rs", target.name));
        assert!(std::fs::read_to_string(fuzzer).unwrap().contains(&format!("fuzz::{}", target.name)));
    }
}
