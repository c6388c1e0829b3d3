//! What the tenant says, in our words. Lenient reading is the business of the modules that fill these in.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::base::{AgentId, ContactId, MasterId};
pub use crate::cxone::playback::verdict::Whose;
use crate::cxone::reporting::shape::RecordJson;
use crate::net::MediaLink;

/// One leg of an interaction, from `contacts/completed`.
#[derive(Clone, Debug, PartialEq)]
pub struct ContactRecord {
    pub contact_id: ContactId,
    /// Equal to `contact_id` where the tenant sent none.
    pub master_id: MasterId,
    pub agent_id: AgentId,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub start: Timestamp,
    /// Seconds; 0 where the tenant sent none or nonsense.
    pub duration_s: f64,
    /// `mediaTypeId`, or 0 where the tenant sent none.
    pub media_type_id: i64,
    pub is_outbound: bool,
    pub last_update: Option<Timestamp>,
    /// The record as the tenant sent it. Where it used an old field name, the current name stands beside it; numbers and
    /// booleans that came as strings are numbers and booleans under the current names.
    pub json: RecordJson,
}

/// The answer of a listing, de-duplicated by contact id, ordered by start, then contact id.
#[derive(Clone, Debug, Default)]
pub struct ContactsAnswer {
    /// All that the tenant sent, also those that start outside of the window that was asked for.
    pub contacts: Vec<ContactRecord>,
    /// Records that could not be read and were skipped (logged with their keys).
    pub skipped: u32,
    /// Whether the tenant had nothing more to send.
    pub whole: bool,
    /// The tenant's `lastPollTime`, to be used as the next `updated_since`.
    pub last_poll: Option<Timestamp>,
}

/// What is said of a look at changes besides the records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChangesAnswer {
    /// Records that could not be read and were skipped.
    pub skipped: u64,
    /// Whether the tenant had nothing more to send.
    pub whole: bool,
    /// The tenant's `lastPollTime`, to be used as the next `updated_since`.
    pub last_poll: Option<Timestamp>,
}

/// The answer to one billed call. A refusal is an answer too: what it was is worth remembering, because it was paid for.
#[derive(Clone, Debug)]
pub enum PlaybackAnswer {
    /// No such interaction, not recorded, deleted or before the cut-off; these cannot be told apart.
    NotFound,
    Found(Playback),
    Refused(Refusal),
}

/// An answer that gives nothing.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub whose: Whose,
    /// The tenant's own words with host and status, free of secrets.
    pub reason: Arc<str>,
    /// The HTTP status.
    pub status: u16,
    /// By what the tenant's operator finds the request.
    pub correlation_id: Option<Arc<str>>,
}

/// Why it gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// 403.
    Denied,
    /// Any other refusal, and an answer that cannot be understood.
    Refused,
    /// The recording is being brought back from an archive.
    Restoring,
    /// The recording is in an archive.
    Archived,
}

/// What Media Playback says about one master contact.
#[derive(Clone, Debug)]
pub struct Playback {
    /// The whole document with every temporary link removed.
    pub metadata: Value,
    /// One per element of `interactions`; more than one for elevated contacts.
    pub items: Vec<PlaybackItem>,
}

/// One element of `interactions`.
#[derive(Clone, Debug, Default)]
pub struct PlaybackItem {
    pub media: Option<MediaLink>,
    /// Legacy chat: the messages in order.
    pub chat: Option<Vec<ChatMessage>>,
    /// Legacy emails, in the order of the answer.
    pub emails: Vec<EmailContent>,
}

/// One message of a legacy chat.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    pub participant_type: String,
    pub participant_name: String,
    pub text: String,
    /// ISO-8601 as a rule; else as the tenant wrote it.
    pub time: String,
}

/// A legacy email.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmailContent {
    pub sent: Option<Timestamp>,
    pub from: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    /// Plain text or HTML, as the tenant sent it.
    pub body: String,
}
