//! How one interaction comes about: its story, its legs and what Media Playback will say of it. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::dates::{DateForm, date_form};
use super::interaction::{Element, ElementKind, Leg};
use super::mix::{below, in_share, mix};
use super::settings::SimSettings;
use crate::base::{Channel, ContactId, Day, MasterId};

/// Local working hours: the seconds after midnight at which contacts begin.
const SHIFT: (f64, f64) = (8.0 * 3600.0, 18.0 * 3600.0);
/// Start of the call that is transferred after midnight, in seconds before it.
const BEFORE_MIDNIGHT_S: u64 = 95;

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    Direct,
    Abandoned,
    Transferred,
    Elevated,
}

/// An interaction in the making.
pub(super) struct Draft<'a> {
    pub(super) settings: &'a SimSettings,
    pub(super) day: Day,
    pub(super) slot: u64,
    pub(super) word: u64,
    pub(super) master: MasterId,
    pub(super) channel: Channel,
    pub(super) outbound: bool,
    pub(super) seconds: f64,
}

impl Draft<'_> {
    pub(super) fn plot(&self, over_midnight: bool) -> Plot {
        let shares = self.settings.shares;
        let drawn = |number, share| in_share(mix(&[self.word, number]), share);
        if over_midnight {
            Plot::Transferred
        } else if self.channel != Channel::Call {
            Plot::Direct
        } else if drawn(5, shares.abandoned) {
            Plot::Abandoned
        } else if drawn(6, shares.transferred) {
            Plot::Transferred
        } else if drawn(7, shares.elevated) {
            Plot::Elevated
        } else {
            Plot::Direct
        }
    }

    pub(super) fn legs(&self, plot: Plot, over_midnight: bool) -> Vec<Leg> {
        let settings = self.settings;
        let turns = u64::from(settings.contacts_per_day.max(1));
        let own = (self.slot / turns) as u32;
        let start = if over_midnight {
            let midnight = self.day.next().start(&settings.timezone);
            midnight.saturating_sub(Duration::from_secs(BEFORE_MIDNIGHT_S)).unwrap_or(midnight)
        } else {
            let jitter = below(mix(&[self.word, 8]), 1000) as f64 / 1000.0;
            let share = ((self.slot % turns) as f64 + jitter) / turns as f64;
            self.after_midnight(SHIFT.0 + (SHIFT.1 - SHIFT.0) * share)
        };
        // A caller in a thousandfold queue makes durations that tenants write with a thousands comma.
        let long_queue = in_share(mix(&[self.word, 9]), settings.shares.stringly / 2);
        let queue_s = if long_queue { 1100 } else { 0 } + below(mix(&[self.word, 10]), 30);
        let talk = Duration::from_secs_f64(self.seconds);
        let leg = |place: u8, of: u8, agent: Option<u32>, start: Timestamp, total: Duration| {
            let word = mix(&[self.word, 11, u64::from(place)]);
            let start = match date_form(word, settings.shares.odd_dates) {
                // What Reporting cannot say is not so.
                DateForm::American => Timestamp::from_second(start.as_second()).unwrap_or(start),
                _ => start,
            };
            let late = in_share(mix(&[word, 16]), settings.shares.late_listed);
            let late_h = if late { 3 * 24 + below(mix(&[word, 17]), 15 * 24) } else { 0 };
            let acw_s = if agent.is_some() { below(mix(&[word, 1]), 45) } else { 0 };
            Leg {
                contact: ContactId(self.master.0 + i64::from(place)),
                master: self.master,
                channel: self.channel,
                outbound: self.outbound,
                start,
                total,
                acw_s,
                listed: start
                    .saturating_add(total + Duration::from_secs(acw_s + late_h * 3600))
                    .unwrap_or(Timestamp::MAX),
                agent,
                place: (place, of),
                word,
            }
        };
        match plot {
            Plot::Abandoned => vec![leg(0, 1, None, start, Duration::from_secs(queue_s + 5))],
            Plot::Transferred => {
                let first = if over_midnight { Duration::from_secs(BEFORE_MIDNIGHT_S + 30) } else { talk / 2 };
                let second_start = start.saturating_add(first).unwrap_or(start);
                let second = Some(self.successor(own));
                vec![leg(0, 2, Some(own), start, first), leg(1, 2, second, second_start, talk / 2)]
            }
            Plot::Direct | Plot::Elevated => {
                vec![leg(0, 1, Some(own), start, talk + Duration::from_secs(queue_s))]
            }
        }
    }

    /// The agent who takes over: as a rule another one.
    fn successor(&self, own: u32) -> u32 {
        let others = u64::from(self.settings.agents.saturating_sub(1));
        if others == 0 || in_share(mix(&[self.word, 12]), 150) {
            return own;
        }
        let steps = 1 + below(mix(&[self.word, 13]), others);
        ((u64::from(own) + steps) % (others + 1)) as u32
    }

    fn after_midnight(&self, seconds: f64) -> Timestamp {
        let midnight = self.day.start(&self.settings.timezone);
        midnight.saturating_add(Duration::from_millis((seconds * 1000.0) as u64)).unwrap_or(midnight)
    }

    pub(super) fn elements(&self, legs: &[Leg], plot: Plot) -> Vec<Element> {
        let shares = self.settings.shares;
        let start = legs.first().map_or(Timestamp::UNIX_EPOCH, |leg| leg.start);
        let screen = in_share(mix(&[self.word, 14]), shares.screen);
        let has_url = !in_share(mix(&[self.word, 15]), shares.without_url);
        let element = |kind, media, number| Element { kind, start, seconds: self.seconds, media, number };
        let voice = if screen { ElementKind::VoiceAndScreen } else { ElementKind::Voice };
        match self.channel {
            Channel::Call if plot == Plot::Elevated => {
                vec![element(ElementKind::Voice, true, 1), element(ElementKind::VoiceAndScreen, true, 2)]
            }
            Channel::Call => vec![element(voice, has_url, 1)],
            Channel::Voicemail => vec![element(ElementKind::Voice, has_url, 1)],
            Channel::Chat => vec![element(ElementKind::Chat, screen, 1)],
            Channel::Email if in_share(mix(&[self.word, 18]), shares.several_emails) => {
                vec![element(ElementKind::Email, false, 1), element(ElementKind::Email, false, 2)]
            }
            Channel::Email => vec![element(ElementKind::Email, false, 1)],
            Channel::Work => vec![element(ElementKind::Work, false, 1)],
            _ => vec![element(ElementKind::Digital, false, 1)],
        }
    }
}
