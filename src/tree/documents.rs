//! From what one billed call said to the files that the folder shows: `metadata.json`, transcripts, `email.eml`, recordings.
//!
//! Pure: the same answer gives the same bytes for ever, so that a second backup finds nothing new.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use serde_json::json;

use crate::base::{Channel, MasterId};
use crate::catalog::{FileKind, MAX_EMAILS, NewResolution, ResolvedFile};
use crate::cxone::model::{ChatMessage, EmailContent};
use crate::cxone::{Playback, PlaybackAnswer};
use crate::tree::children::{predicted, predicted_name};

/// How long "there is no recording" is believed while the contact is young: recordings appear late.
const RECHECK_YOUNG: Duration = Duration::from_hours(1);
/// How long it is believed afterwards.
const RECHECK_OLD: Duration = Duration::from_hours(7 * 24);
/// What "young" is.
const YOUNG: Duration = Duration::from_hours(24);
/// More recordings than one interaction can have; bounds the inode numbers they take.
const RECORDINGS_MAX: usize = 200;

/// What is stored for an interaction of that channel, which began at `start`, when CXone answers so at `now`.
pub fn resolution(
    master: MasterId,
    channel: Channel,
    start: Timestamp,
    answer: &PlaybackAnswer,
    now: Timestamp,
) -> NewResolution {
    let files = match answer {
        PlaybackAnswer::NotFound | PlaybackAnswer::Refused(_) => Vec::new(),
        PlaybackAnswer::Found(playback) => found(master, playback),
    };
    let missing = predicted(channel).iter().any(|kind| !files.iter().any(|(file, _)| file.kind == *kind));
    NewResolution { files, recheck_at: missing.then(|| recheck_at(start, now)) }
}

/// When what is missing is asked for again, of an interaction that began at `start`.
pub fn recheck_at(start: Timestamp, now: Timestamp) -> Timestamp {
    let age = now.duration_since(start);
    let young = age < jiff::SignedDuration::try_from(YOUNG).unwrap_or_default();
    now.saturating_add(if young { RECHECK_YOUNG } else { RECHECK_OLD }).unwrap_or(Timestamp::MAX)
}

fn found(master: MasterId, playback: &Playback) -> Vec<(ResolvedFile, Option<Vec<u8>>)> {
    let mut files = vec![document(FileKind::Metadata, pretty(&playback.metadata))];
    let messages: Vec<&ChatMessage> = playback.items.iter().filter_map(|item| item.chat.as_ref()).flatten().collect();
    if playback.items.iter().any(|item| item.chat.is_some()) {
        files.push(document(FileKind::TranscriptText, transcript_text(&messages)));
        files.push(document(FileKind::TranscriptJson, transcript_json(&messages)));
    }
    let emails = playback.items.iter().flat_map(|item| &item.emails);
    for (index, email) in (0..MAX_EMAILS).zip(emails.clone()) {
        let (mut file, bytes) = document(FileKind::Email(index), eml(master, index, email));
        file.name = email_name(index).into();
        files.push((file, bytes));
    }
    let unnamed = emails.skip(usize::from(MAX_EMAILS)).count();
    if unnamed > 0 {
        tracing::warn!(%master, emails = unnamed, "{unnamed} emails of master contact {master} are in its metadata.json only: there are more than files are shown for");
    }
    let links = playback.items.iter().filter_map(|item| item.media.as_ref());
    for (index, link) in (0u8..).zip(links.take(RECORDINGS_MAX)) {
        let number = if index == 0 { String::new() } else { format!("_{}", u32::from(index) + 1) };
        let name = format!("recording{number}.{}", link.extension);
        let kind = FileKind::Recording(index);
        files.push((ResolvedFile { kind, name: name.into(), size: None, validator: String::new() }, None));
    }
    files
}

/// `email.eml`, `email_2.eml` …
pub fn email_name(index: u8) -> String {
    if index == 0 { String::from("email.eml") } else { format!("email_{}.eml", u32::from(index) + 1) }
}

fn document(kind: FileKind, bytes: Vec<u8>) -> (ResolvedFile, Option<Vec<u8>>) {
    let size = Some(bytes.len() as u64);
    (ResolvedFile { kind, name: predicted_name(kind).into(), size, validator: String::new() }, Some(bytes))
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into_bytes()
}

/// One line per message: `[time] name (type): text`; further lines of a message are indented.
fn transcript_text(messages: &[&ChatMessage]) -> Vec<u8> {
    let mut text = String::new();
    for message in messages {
        // A line break in a name or a time would begin what looks like another message.
        let name = if message.participant_name.is_empty() { "?" } else { &one_line(&message.participant_name) };
        let _ = write!(text, "[{}] {name}", one_line(&message.time));
        if !message.participant_type.is_empty() {
            let _ = write!(text, " ({})", one_line(&message.participant_type).to_lowercase());
        }
        let _ = writeln!(text, ": {}", message.text.trim_end().replace("\r\n", "\n").replace('\n', "\n    "));
    }
    text.into_bytes()
}

fn transcript_json(messages: &[&ChatMessage]) -> Vec<u8> {
    let messages: Vec<_> = messages
        .iter()
        .map(|message| {
            json!({
                "timeStamp": message.time,
                "participantType": message.participant_type,
                "participantName": message.participant_name,
                "text": message.text,
            })
        })
        .collect();
    pretty(&serde_json::Value::Array(messages))
}

/// RFC 5322. Message id and date are given, so that the builder takes neither the host's name nor the time of day.
fn eml(master: MasterId, index: u8, email: &EmailContent) -> Vec<u8> {
    let (from, subject) = (one_line(&email.from), one_line(&email.subject));
    let [to, cc, bcc] = [&email.to, &email.cc, &email.bcc].map(|list| list.iter().map(|one| one_line(one)).collect());
    let (to, cc, bcc): (Vec<String>, Vec<String>, Vec<String>) = (to, cc, bcc);
    let mut message = MessageBuilder::new()
        .message_id(if index == 0 {
            format!("{master}@cxone.invalid")
        } else {
            format!("{master}.{}@cxone.invalid", u32::from(index) + 1)
        })
        .date(email.sent.map_or(0, Timestamp::as_second))
        .from(mailbox(&from))
        .subject(subject.as_str());
    if !to.is_empty() {
        message = message.to(mailboxes(&to));
    }
    if !cc.is_empty() {
        message = message.cc(mailboxes(&cc));
    }
    if !bcc.is_empty() {
        message = message.bcc(mailboxes(&bcc));
    }
    message = if looks_like_html(&email.body) {
        message.html_body(email.body.as_str())
    } else {
        message.text_body(email.body.as_str())
    };
    // Writing to memory fails only if the body cannot be encoded, which the builder's own types rule out.
    message.write_to_vec().unwrap_or_default()
}

/// Header values come from strangers: a line break in one would begin a header of their own.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn mailboxes(addresses: &[String]) -> Address<'_> {
    Address::new_list(addresses.iter().map(|address| mailbox(address)).collect())
}

/// `Rosa <rosa@example.com>` or a bare address.
fn mailbox(text: &str) -> Address<'_> {
    let bare = || Address::new_address(None::<&str>, text.trim());
    let Some((name, rest)) = text.split_once('<') else { return bare() };
    let Some((address, _)) = rest.split_once('>') else { return bare() };
    let name = name.trim().trim_matches('"');
    Address::new_address((!name.is_empty()).then_some(name), address.trim())
}

fn looks_like_html(body: &str) -> bool {
    let head: String = body.trim_start().chars().take(512).collect::<String>().to_ascii_lowercase();
    ["<!doctype html", "<html", "<body", "<div", "<p>", "<br", "<table", "<span"].iter().any(|tag| head.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxone::PlaybackItem;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn answer(items: Vec<PlaybackItem>) -> PlaybackAnswer {
        PlaybackAnswer::Found(Playback { metadata: json!({"contactId": "x"}), items })
    }

    fn resolved(channel: Channel, answer: &PlaybackAnswer) -> NewResolution {
        resolution(MasterId(7), channel, at("2026-11-01T10:00:00Z"), answer, at("2026-11-02T09:00:00Z"))
    }

    #[test]
    fn no_recording_is_believed_for_an_hour_or_a_week() {
        let start = at("2026-11-01T10:00:00Z");
        let asked_at =
            |now: &str| resolution(MasterId(7), Channel::Call, start, &PlaybackAnswer::NotFound, at(now)).recheck_at;
        assert_eq!(asked_at("2026-11-02T09:59:59Z"), Some(at("2026-11-02T10:59:59Z")));
        assert_eq!(asked_at("2026-11-02T10:00:00Z"), Some(at("2026-11-09T10:00:00Z")));
    }

    #[test]
    fn an_element_without_a_link_shows_its_metadata_only() {
        let stored = resolved(Channel::Call, &answer(vec![PlaybackItem::default()]));
        assert_eq!(stored.files.len(), 1);
        assert_eq!(stored.files[0].0.kind, FileKind::Metadata);
        assert!(stored.recheck_at.is_some());
        let digital = resolved(Channel::Digital, &answer(vec![PlaybackItem::default()]));
        assert!(digital.recheck_at.is_none(), "nothing that was expected is missing");
    }

    #[test]
    fn a_chat_becomes_two_transcripts() {
        let message = |text: &str| ChatMessage {
            participant_type: "AGENT".into(),
            participant_name: "Rosa Keller".into(),
            text: text.into(),
            time: "2026-11-02T08:59:31Z".into(),
        };
        let chat = vec![message("hello"), message("two\nlines")];
        let stored = resolved(Channel::Chat, &answer(vec![PlaybackItem { chat: Some(chat), ..Default::default() }]));
        let text = String::from_utf8(stored.files[1].1.clone().unwrap()).unwrap();
        assert_eq!(
            text,
            "[2026-11-02T08:59:31Z] Rosa Keller (agent): hello\n[2026-11-02T08:59:31Z] Rosa Keller (agent): two\n    lines\n"
        );
        assert_eq!(stored.files[1].0.size, Some(text.len() as u64));
        assert_eq!(stored.files[2].0.kind, FileKind::TranscriptJson);
        assert!(stored.recheck_at.is_none());
    }

    #[test]
    fn each_email_of_an_answer_is_a_file() {
        let email = |subject: &str| PlaybackItem {
            emails: vec![EmailContent { subject: subject.into(), body: "b".into(), ..Default::default() }],
            ..Default::default()
        };
        let stored =
            resolved(Channel::Email, &answer(vec![email("first"), PlaybackItem::default(), email("Re: first")]));
        let names: Vec<&str> = stored.files.iter().map(|(file, _)| &*file.name).collect();
        assert_eq!(names, ["metadata.json", "email.eml", "email_2.eml"]);
        let text = |index: usize| String::from_utf8(stored.files[index].1.clone().unwrap()).unwrap();
        assert!(text(1).contains("Subject: first") && text(1).contains("<7@cxone.invalid>"), "{}", text(1));
        assert!(text(2).contains("Subject: Re: first") && text(2).contains("<7.2@cxone.invalid>"), "{}", text(2));
        assert!(stored.recheck_at.is_none());
        let many = resolved(Channel::Email, &answer((0..60).map(|_| email("x")).collect()));
        let kinds: std::collections::HashSet<FileKind> = many.files.iter().map(|(file, _)| file.kind).collect();
        assert_eq!((many.files.len(), kinds.len()), (1 + usize::from(MAX_EMAILS), 1 + usize::from(MAX_EMAILS)));
        assert_eq!(&*many.files[52].0.name, "email_52.eml");
    }

    #[test]
    fn an_email_is_the_same_bytes_every_time() {
        let email = EmailContent {
            sent: Some(at("2026-11-02T08:59:31Z")),
            from: "Kundin Ä <k@example.com>".into(),
            to: vec!["support@example.com".into(), "\"B, C\" <bc@example.com>".into()],
            subject: "Rechnung\r\nX-Injected: yes".into(),
            body: "Guten Tag,\nwo ist meine Rechnung?\n".into(),
            ..Default::default()
        };
        let once = eml(MasterId(7), 0, &email);
        assert_eq!(once, eml(MasterId(7), 0, &email));
        let text = String::from_utf8(once).unwrap();
        assert!(text.contains("Message-ID: <7@cxone.invalid>"), "{text}");
        assert!(text.contains("Mon, 2 Nov 2026 08:59:31 +0000") || text.contains("Mon, 02 Nov 2026"), "{text}");
        assert!(!text.contains("\nX-Injected"), "{text}");
        assert!(text.contains("bc@example.com"), "{text}");
    }
}
