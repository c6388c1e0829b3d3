//! What becomes of a billed answer in the files that are shown: an entry point for fuzzing. Compiled for tests and fuzzers only.

use jiff::Timestamp;

use super::{documents, note};
use crate::base::{Channel, MasterId};
use crate::catalog::{FileKind, Interaction, NewResolution, Resolution};
use crate::cxone::PlaybackAnswer;

/// Fields that an email may have. Any other came from a stranger.
const FIELDS: [&str; 10] = [
    "message-id",
    "date",
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// The documents of any answer.
pub fn documents(answer: &PlaybackAnswer) {
    let now = Timestamp::UNIX_EPOCH;
    let resolution = documents::resolution(MasterId(701_000_000_122), Channel::Call, now, answer, now);
    let again = documents::resolution(MasterId(701_000_000_122), Channel::Call, now, answer, now);
    assert_eq!(resolution.files, again.files, "the same answer gives other bytes");
    assert_note(&resolution);
    for (file, bytes) in &resolution.files {
        assert!(!file.name.contains('/') && file.name.len() <= 64, "{}", file.name);
        match (file.kind, bytes) {
            (FileKind::Recording(_), bytes) => assert!(bytes.is_none()),
            (_, None) => panic!("a document without bytes"),
            (FileKind::Metadata | FileKind::TranscriptJson, Some(bytes)) => {
                assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok(), "a document that is not JSON");
            }
            (FileKind::TranscriptText, Some(bytes)) => assert_lines(bytes, answer),
            (FileKind::Email(_), Some(bytes)) => assert_fields(bytes),
        }
    }
}

fn interaction() -> Interaction {
    Interaction {
        master_id: MasterId(701_000_000_122),
        channel: Channel::Call,
        ino_base: 256,
        mtime: Timestamp::UNIX_EPOCH,
        duration_s: 1.0,
        places: 1,
        resolution: Resolution::Unresolved,
        obstacles: crate::catalog::Obstacles::default(),
    }
}

/// What is noted beside a recording's bytes says what was noted.
fn assert_note(resolution: &NewResolution) {
    let (files, bytes): (Vec<_>, Vec<_>) = resolution.files.iter().cloned().unzip();
    let of_kind = |kind| files.iter().position(|file| file.kind == kind).and_then(|index| bytes[index].clone());
    let Some(note) = note::encode(&interaction(), &files, None, of_kind) else { return };
    let read = note::decode(&interaction(), &note).map(|read| read.files);
    assert_eq!(read.as_ref(), Some(&resolution.files), "a note that says something else");
}

/// A note as it stands in the cache.
pub fn note(bytes: &[u8]) {
    let Some(resolution) = note::decode(&interaction(), bytes) else { return };
    for (file, bytes) in &resolution.files {
        assert!(!file.name.contains('/') && file.name.len() <= 64, "{}", file.name);
        assert_eq!(matches!(file.kind, FileKind::Recording(_)), bytes.is_none());
    }
    assert_note(&resolution);
}

/// A line of a transcript is a message or the indented rest of one: nobody's words may look like another message.
fn assert_lines(bytes: &[u8], answer: &PlaybackAnswer) {
    let PlaybackAnswer::Found(playback) = answer else { return };
    let messages = playback.items.iter().filter_map(|item| item.chat.as_ref()).flatten().count();
    let text = String::from_utf8_lossy(bytes);
    let (begun, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('['));
    assert_eq!(begun.len(), messages, "lines that look like messages");
    assert!(rest.iter().all(|line| line.starts_with("    ")), "lines that belong to no message");
}

fn assert_fields(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        assert!(FIELDS.contains(&name.as_str()), "a header field of a stranger: {line:?}");
    }
    assert!(
        !head.contains('\n') || head.split('\n').count() == head.split("\r\n").count(),
        "a bare line break in the head"
    );
}
