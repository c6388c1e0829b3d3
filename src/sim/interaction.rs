//! One interaction as it was: its legs, and what Media Playback will say of it. Plain data.

use std::time::Duration;

use jiff::Timestamp;

use super::moods::Mood;
use super::people;
use crate::base::{AgentId, Channel, ContactId, Day, MasterId};

/// One interaction: what shares a master contact.
#[derive(Clone, Debug)]
pub struct Interaction {
    pub master: MasterId,
    /// The local day on which it begins.
    pub day: Day,
    pub channel: Channel,
    pub outbound: bool,
    /// In order of time, at least one.
    pub legs: Vec<Leg>,
    pub outcome: Outcome,
    pub mood: Mood,
    /// What `interactions` of Media Playback holds, if it is found.
    pub elements: Vec<Element>,
    /// Where everything else about it is drawn from.
    pub(super) word: u64,
}

/// One leg, as Reporting lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    pub contact: ContactId,
    pub master: MasterId,
    pub channel: Channel,
    pub outbound: bool,
    pub start: Timestamp,
    /// With time in the queue and so on; at least as long as the talk.
    pub total: Duration,
    /// Seconds of after-call work.
    pub acw_s: u64,
    /// The instant from which Reporting lists it: its end and the after-call work.
    pub listed: Timestamp,
    /// `None`: nobody took it.
    pub agent: Option<u32>,
    /// Place among the legs, from 0, and how many there are.
    pub place: (u8, u8),
    pub(super) word: u64,
}

/// What Media Playback knows of an interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As its elements say.
    Known,
    /// 404.
    NotFound,
}

/// One element of `interactions`.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub kind: ElementKind,
    pub start: Timestamp,
    pub seconds: f64,
    /// Whether there is a recording: a URL.
    pub media: bool,
    /// Number of its recording, from 1, counted over all elements.
    pub number: u8,
}

/// What an element is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementKind {
    Voice,
    VoiceAndScreen,
    Chat,
    Email,
    Digital,
    Work,
}

impl Leg {
    /// The instant at which the contact left it.
    pub fn end(&self) -> Timestamp {
        self.start.saturating_add(self.total).unwrap_or(Timestamp::MAX)
    }

    /// Its agent's id; [`AgentId::NONE`] where nobody took it.
    #[must_use]
    pub fn agent_id(&self) -> AgentId {
        self.agent.map_or(AgentId::NONE, people::agent_id)
    }
}
