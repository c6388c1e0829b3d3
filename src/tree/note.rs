//! What stands beside a recording's bytes in the cache: the files of its interaction and their contents, so that a state database that is
//! lost costs no billed call for what is cached. Pure: JSON in and out.
//!
//! It holds only for an interaction that the tenant lists with the same channel and start, so that a cache that comes to another tenant says
//! nothing about calls that happen to have the same number there.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::Channel;
use crate::catalog::{FileKind, Interaction, MAX_EMAILS, MAX_RECORDINGS, NewResolution, ResolvedFile};
use crate::tree::children::predicted_name;
use crate::tree::documents::email_name;

/// Another number is another format, and says nothing.
const FORMAT: u32 = 1;
/// The longest extension of a recording's name.
const EXTENSION_LEN_MAX: usize = 8;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: u32,
    /// Reporting's `mediaTypeId`.
    channel: i64,
    start_us: i64,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    recheck_at: Option<i64>,
    documents: Vec<Document>,
    /// In order: `recording.mp4`, `recording_2.mp4` …
    recordings: Vec<Recording>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    name: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Recording {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default)]
    validator: String,
}

/// What is noted of a resolved interaction; `document` gives a document's bytes. None if there is nothing to note, or it is no text.
pub fn encode(
    interaction: &Interaction,
    files: &[ResolvedFile],
    recheck_at: Option<Timestamp>,
    mut document: impl FnMut(FileKind) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut note = Note {
        format: FORMAT,
        channel: interaction.channel.media_type_id(),
        start_us: interaction.mtime.as_microsecond(),
        recheck_at: recheck_at.map(Timestamp::as_second),
        documents: Vec::new(),
        recordings: Vec::new(),
    };
    for file in files {
        let name = file.name.to_string();
        if let FileKind::Recording(_) = file.kind {
            note.recordings.push(Recording { name, size: file.size, validator: file.validator.clone() });
        } else {
            note.documents.push(Document { name, text: String::from_utf8(document(file.kind)?).ok()? });
        }
    }
    serde_json::to_vec(&note).ok()
}

/// What a note says of this interaction; none if it is about another, or cannot be.
pub fn decode(interaction: &Interaction, note: &[u8]) -> Option<NewResolution> {
    let note: Note = serde_json::from_slice(note).ok()?;
    let is_it = note.format == FORMAT
        && Channel::from_media_type_id(note.channel) == interaction.channel
        && note.start_us == interaction.mtime.as_microsecond()
        && note.recordings.len() <= usize::from(MAX_RECORDINGS);
    if !is_it {
        return None;
    }
    let mut files = Vec::new();
    for Document { name, text } in note.documents {
        let (kind, bytes) = (document_kind(&name)?, text.into_bytes());
        let size = Some(bytes.len() as u64);
        files.push((ResolvedFile { kind, name: name.into(), size, validator: String::new() }, Some(bytes)));
    }
    for (index, recording) in (0..).zip(note.recordings) {
        if !is_name_of(index, &recording.name) {
            return None;
        }
        let (kind, name) = (FileKind::Recording(index), recording.name.into());
        files.push((ResolvedFile { kind, name, size: recording.size, validator: recording.validator }, None));
    }
    let kinds: HashSet<FileKind> = files.iter().map(|(file, _)| file.kind).collect();
    let has_twice = kinds.len() < files.len();
    let recheck_at = note.recheck_at.map(Timestamp::from_second).transpose().ok()?;
    (!has_twice).then_some(NewResolution { files, recheck_at })
}

/// Which document has that name.
fn document_kind(name: &str) -> Option<FileKind> {
    let others = [FileKind::Metadata, FileKind::TranscriptText, FileKind::TranscriptJson];
    let email = || (0..MAX_EMAILS).find(|index| email_name(*index) == name).map(FileKind::Email);
    others.into_iter().find(|kind| predicted_name(*kind) == name).or_else(email)
}

fn is_name_of(index: u8, name: &str) -> bool {
    let stem = if index == 0 { String::from("recording.") } else { format!("recording_{}.", u32::from(index) + 1) };
    let is_word = |extension: &str| {
        (1..=EXTENSION_LEN_MAX).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    name.strip_prefix(&stem).is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MasterId;
    use crate::catalog::Resolution;

    fn interaction() -> Interaction {
        Interaction {
            master_id: MasterId(7),
            channel: Channel::Call,
            ino_base: 256,
            mtime: Timestamp::from_second(1_793_620_800).unwrap(),
            duration_s: 60.0,
            places: 1,
            resolution: Resolution::Unresolved,
            obstacles: crate::catalog::Obstacles::default(),
        }
    }

    fn file(kind: FileKind, name: &str, size: Option<u64>) -> ResolvedFile {
        ResolvedFile { kind, name: name.into(), size, validator: String::from("\"v\"") }
    }

    fn note() -> Vec<u8> {
        let files = [
            file(FileKind::Metadata, "metadata.json", Some(3)),
            file(FileKind::Recording(0), "recording.wav", Some(5)),
            file(FileKind::Recording(1), "recording_2.mp4", None),
        ];
        encode(&interaction(), &files, None, |_| Some(b"{}\n".to_vec())).unwrap()
    }

    /// A cache that was written today must be readable by every later version.
    #[test]
    fn golden() {
        let golden = r#"{"format":1,"channel":4,"start_us":1793620800000000,"documents":[{"name":"metadata.json","text":"{}\n"}],"recordings":[{"name":"recording.wav","size":5,"validator":"\"v\""},{"name":"recording_2.mp4","validator":"\"v\""}]}"#;
        assert_eq!(String::from_utf8(note()).unwrap(), golden);
    }

    #[test]
    fn what_was_noted_is_read_for_the_same_interaction_alone() {
        let known = decode(&interaction(), &note()).unwrap();
        let told: Vec<_> = known.files.iter().map(|(file, _)| (file.kind, &*file.name, file.size)).collect();
        let expected = [
            (FileKind::Metadata, "metadata.json", Some(3)),
            (FileKind::Recording(0), "recording.wav", Some(5)),
            (FileKind::Recording(1), "recording_2.mp4", None),
        ];
        assert_eq!((told, known.recheck_at), (expected.to_vec(), None));
        assert_eq!(known.files[0].1.as_deref(), Some(b"{}\n".as_slice()));
        let later = Interaction { mtime: interaction().mtime + jiff::SignedDuration::from_micros(1), ..interaction() };
        assert!(decode(&later, &note()).is_none());
        assert!(decode(&Interaction { channel: Channel::Voicemail, ..interaction() }, &note()).is_none());
    }

    #[test]
    fn every_email_is_noted() {
        let files: Vec<ResolvedFile> =
            (0..MAX_EMAILS).map(|index| file(FileKind::Email(index), &email_name(index), Some(3))).collect();
        let note = encode(&interaction(), &files, None, |_| Some(b"x\r\n".to_vec())).unwrap();
        let kinds: Vec<FileKind> =
            decode(&interaction(), &note).unwrap().files.iter().map(|(file, _)| file.kind).collect();
        assert_eq!(kinds, files.iter().map(|file| file.kind).collect::<Vec<_>>());
    }

    #[test]
    fn names_that_we_never_give_say_nothing() {
        let text = String::from_utf8(note()).unwrap();
        for (ours, theirs) in [
            ("metadata.json", "../metadata.json"),
            ("recording.wav", "recording.wav/x"),
            ("recording.wav", "recording."),
            ("recording_2", "recording_3"),
            ("\"format\":1", "\"format\":2"),
        ] {
            assert!(decode(&interaction(), text.replace(ours, theirs).as_bytes()).is_none(), "{theirs}");
        }
        assert!(decode(&interaction(), b"").is_none());
    }
}
