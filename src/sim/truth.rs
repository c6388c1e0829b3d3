//! What is true of the population, for tests that compare it with what they were shown.

use serde::{Deserialize, Serialize};

use super::dates::write_date;
use super::interaction::{ElementKind, Interaction, Outcome};
use super::world::World;
use crate::base::Day;

/// One interaction as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthInteraction {
    pub master: i64,
    /// The local day on which it begins, `YYYY-MM-DD`.
    pub day: String,
    /// As in the tree: `call`, `chat`, …
    pub channel: String,
    pub outbound: bool,
    /// Whether Media Playback knows it (otherwise 404).
    pub known: bool,
    /// What playback or the storage makes of it all the same: `fine`, `refused`, `failing`, `slow`, `archived`.
    pub mood: String,
    pub legs: Vec<TruthLeg>,
    /// `voice`, `voice_and_screen`, `chat`, `email`, `digital`, `work`; one per element of the playback answer.
    pub elements: Vec<String>,
    pub media: Vec<TruthMedia>,
}

/// One leg as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthLeg {
    pub contact: i64,
    /// 0: nobody took it.
    pub agent: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    /// UTC with milliseconds.
    pub start: String,
    /// The local day on which it starts.
    pub day: String,
    pub total_ms: u64,
}

/// One recording as it is; its bytes are at `/__sim/truth/media/{master}/{number}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthMedia {
    pub number: u8,
    pub bytes: u64,
    pub duration_ms: u64,
    pub screen: bool,
}

/// The interactions that begin on a day.
pub(super) fn of_day(world: &World, day: Day) -> impl Iterator<Item = TruthInteraction> + '_ {
    world.interactions(day).map(|interaction| of(world, &interaction))
}

fn of(world: &World, interaction: &Interaction) -> TruthInteraction {
    let known = interaction.outcome == Outcome::Known;
    let legs = interaction.legs.iter().map(|leg| {
        let agent = leg.agent.map(|index| world.agent(index));
        TruthLeg {
            contact: leg.contact.0,
            agent: leg.agent_id().0,
            first_name: agent.as_ref().and_then(|agent| agent.first_name.clone()),
            last_name: agent.and_then(|agent| agent.last_name),
            start: write_date(leg.start),
            day: Day::of(leg.start, &world.settings().timezone).to_string(),
            total_ms: leg.total.as_millis() as u64,
        }
    });
    let media = interaction.elements.iter().filter(|element| known && element.media).map(|element| TruthMedia {
        number: element.number,
        bytes: world.recording_of(interaction, element, 0).len(),
        duration_ms: (element.seconds * 1000.0).round() as u64,
        screen: element.kind != ElementKind::Voice,
    });
    TruthInteraction {
        master: interaction.master.0,
        day: interaction.day.to_string(),
        channel: interaction.channel.to_string(),
        outbound: interaction.outbound,
        known,
        mood: String::from(interaction.mood.word()),
        legs: legs.collect(),
        elements: interaction.elements.iter().map(|element| String::from(word(element.kind))).collect(),
        media: media.collect(),
    }
}

fn word(kind: ElementKind) -> &'static str {
    match kind {
        ElementKind::Voice => "voice",
        ElementKind::VoiceAndScreen => "voice_and_screen",
        ElementKind::Chat => "chat",
        ElementKind::Email => "email",
        ElementKind::Digital => "digital",
        ElementKind::Work => "work",
    }
}
