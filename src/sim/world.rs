//! The population: which interactions there were, as a pure function of the settings.
//!
//! A *slot* is a place in a day: agent × turn. Each slot is one interaction; master ids name day and slot, so that any id
//! leads back to its interaction without a table. Knows nothing of HTTP, JSON or the clock.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::draft::{Draft, Plot};
use super::interaction::{Element, ElementKind, Interaction, Leg, Outcome};
use super::mix::{below, in_share, mix};
use super::moods::Mood;
use super::people::{self, Agent};
use super::recordings::Recording;
use super::settings::SimSettings;
use crate::base::{Channel, ContactId, Day, MasterId};

/// Ids begin here: twelve digits, beyond 32 bits.
const ID_BASE: i64 = 700_000_000_000;
/// Ids of one day.
const IDS_PER_DAY: i64 = 10_000_000;
/// Ids of one slot: the master (and first leg), and further legs.
const IDS_PER_SLOT: i64 = 4;
/// Slots that a day can have.
const SLOTS_MAX: u64 = (IDS_PER_DAY / IDS_PER_SLOT) as u64;
/// Day 0 of the ids: 2020-01-01.
const ID_DAY: i32 = 18_262;
/// Days whose legs are remembered.
const DAYS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");
/// The population.
#[derive(Debug)]
pub struct World {
    settings: SimSettings,
    /// Legs of the days asked for last; computed again at will.
    days: Mutex<LruCache<Day, Arc<[Leg]>>>,
}

impl World {
    #[must_use]
    pub fn new(settings: SimSettings) -> World {
        World { settings, days: Mutex::new(LruCache::new(DAYS_REMEMBERED)) }
    }

    #[must_use]
    pub fn settings(&self) -> &SimSettings {
        &self.settings
    }

    /// The agent with this number.
    #[must_use]
    pub fn agent(&self, index: u32) -> Agent {
        people::agent(self.settings.seed, index, self.settings.odd_names)
    }

    /// The interactions that begin on a local day, in no order of time.
    pub fn interactions(&self, day: Day) -> impl Iterator<Item = Interaction> + '_ {
        (0..self.slots(day)).map(move |slot| self.interaction(day, slot))
    }

    /// The interaction with this master id.
    #[must_use]
    pub fn find(&self, master: MasterId) -> Option<Interaction> {
        let number = master.0.checked_sub(ID_BASE).filter(|number| *number >= 0)?;
        let day = Day(ID_DAY.saturating_add(i32::try_from(number / IDS_PER_DAY).ok()?));
        let slot = (number % IDS_PER_DAY) / IDS_PER_SLOT;
        let known = number % IDS_PER_SLOT == 0 && (slot as u64) < self.slots(day);
        known.then(|| self.interaction(day, slot as u64))
    }

    /// The leg with this contact id.
    #[must_use]
    pub fn find_leg(&self, contact: ContactId) -> Option<Leg> {
        let master = contact.0 - (contact.0.checked_sub(ID_BASE)?).rem_euclid(IDS_PER_SLOT);
        self.find(MasterId(master))?.legs.into_iter().find(|leg| leg.contact == contact)
    }

    /// The legs of the interactions that begin on a local day, by start and id. (Some may start on the next day.)
    #[must_use]
    pub fn legs(&self, day: Day) -> Arc<[Leg]> {
        if let Some(legs) = self.days.lock().get(&day) {
            return legs.clone();
        }
        let mut legs: Vec<Leg> = self.interactions(day).flat_map(|interaction| interaction.legs).collect();
        legs.sort_by_key(|leg| (leg.start, leg.contact));
        let legs: Arc<[Leg]> = legs.into();
        self.days.lock().put(day, legs.clone());
        legs
    }

    /// The recording of an element of an interaction, by its number. `None` where there is none.
    #[must_use]
    pub fn recording(&self, master: MasterId, number: u8) -> Option<Recording> {
        let interaction = self.find(master)?;
        if interaction.outcome == Outcome::NotFound {
            return None;
        }
        let element = interaction.elements.iter().find(|element| element.media && element.number == number)?;
        Some(self.recording_of(&interaction, element, 0))
    }

    /// The recording of an element that has one. Another `version` is another object of the same kind.
    pub(super) fn recording_of(&self, interaction: &Interaction, element: &Element, version: u64) -> Recording {
        let seed = mix(&[interaction.word, 20, u64::from(element.number), version]);
        match (self.settings.bulk_bytes, element.kind) {
            (Some(bytes), _) => Recording::bulk(seed, bytes),
            (None, ElementKind::Voice) => Recording::voice(seed, element.seconds),
            (None, _) => Recording::voice_and_screen(seed, element.seconds),
        }
    }

    fn slots(&self, day: Day) -> u64 {
        let slots = u64::from(self.settings.agents) * u64::from(self.settings.contacts_per_day);
        if self.settings.has_day(day) && day.0 >= ID_DAY { slots.min(SLOTS_MAX) } else { 0 }
    }

    fn interaction(&self, day: Day, slot: u64) -> Interaction {
        let word = mix(&[self.settings.seed, 0x736c_6f74, day.0 as u64, slot]);
        let offset = i64::from(day.0 - ID_DAY) * IDS_PER_DAY + slot as i64 * IDS_PER_SLOT;
        let master = MasterId(ID_BASE + offset);
        let over_midnight = self.settings.midnight_transfer && slot == 0 && day < self.settings.last_day;
        let channel = if over_midnight { Channel::Call } else { self.channel(mix(&[word, 1])) };
        let outbound = !over_midnight && in_share(mix(&[word, 2]), 200);
        let seconds = self.seconds(mix(&[word, 3]));
        let draft = Draft { settings: &self.settings, day, slot, word, master, channel, outbound, seconds };
        let plot = draft.plot(over_midnight);
        let legs = draft.legs(plot, over_midnight);
        let elements = draft.elements(&legs, plot);
        let shares = self.settings.shares;
        let recorded = matches!(channel, Channel::Call | Channel::Voicemail);
        let lost = recorded && in_share(mix(&[word, 4]), shares.unrecorded) || plot == Plot::Abandoned;
        let outcome = if lost { Outcome::NotFound } else { Outcome::Known };
        let mood = Mood::of(word, &shares);
        Interaction { master, day, channel, outbound, legs, outcome, mood, elements, word }
    }

    fn channel(&self, word: u64) -> Channel {
        let shares = self.settings.shares;
        let table = [
            (shares.chat, Channel::Chat),
            (shares.email, Channel::Email),
            (shares.voicemail, Channel::Voicemail),
            (shares.sms, Channel::Sms),
            (shares.digital, Channel::Digital),
            (shares.social, Channel::Social),
            (shares.work, Channel::Work),
        ];
        let mut at = below(word, 1000);
        for (share, channel) in table {
            match at.checked_sub(u64::from(share)) {
                None => return channel,
                Some(rest) => at = rest,
            }
        }
        Channel::Call
    }

    fn seconds(&self, word: u64) -> f64 {
        let (shortest, longest) = self.settings.recording_seconds;
        let share = below(word, 1_000_000) as f64 / 1e6;
        shortest + (longest - shortest).max(0.0) * share
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn world(settings: SimSettings) -> World {
        World::new(settings)
    }

    fn everything(world: &World) -> Vec<Interaction> {
        let settings = world.settings();
        (settings.first_day().0..=settings.last_day.0).flat_map(|day| world.interactions(Day(day))).collect()
    }

    #[test]
    fn two_worlds_of_one_seed_are_the_same_and_of_two_seeds_are_not() {
        let list = |seed| format!("{:?}", everything(&world(SimSettings { seed, ..SimSettings::default() })));
        assert_eq!(list(1), list(1));
        assert_ne!(list(1), list(2));
    }

    #[test]
    fn ids_are_unique_and_lead_back() {
        let world = world(SimSettings::default());
        let mut seen = HashSet::new();
        for interaction in everything(&world) {
            assert!(interaction.master.0 > i64::from(u32::MAX) && interaction.master.to_string().len() == 12);
            for leg in &interaction.legs {
                assert!(seen.insert(leg.contact));
                assert_eq!(world.find_leg(leg.contact).as_ref(), Some(leg));
            }
            let found = world.find(interaction.master).unwrap();
            assert_eq!(format!("{found:?}"), format!("{interaction:?}"));
        }
        assert!(seen.len() > 3 * 8 * 40);
        for strange in [0, -1, i64::MIN, i64::MAX, ID_BASE, ID_BASE + 1, u32::MAX.into()] {
            assert!(world.find(MasterId(strange)).is_none());
            assert!(world.find_leg(ContactId(strange)).is_none());
        }
    }

    #[test]
    fn every_trait_turns_up() {
        let settings = SimSettings { days: 10, ..SimSettings::default() };
        let world = world(settings);
        let all = everything(&world);
        let channels: HashSet<Channel> = all.iter().map(|interaction| interaction.channel).collect();
        assert_eq!(channels.len(), Channel::NAMED.len());
        let has = |test: &dyn Fn(&Interaction) -> bool| all.iter().any(test);
        assert!(has(&|i| i.legs.iter().all(|leg| leg.agent.is_none())));
        assert!(has(&|i| i.legs.len() == 2 && i.legs[0].agent != i.legs[1].agent));
        assert!(has(&|i| i.legs.len() == 2 && i.legs[0].agent == i.legs[1].agent));
        assert!(has(&|i| i.outcome == Outcome::NotFound && i.legs[0].agent.is_some()));
        assert!(has(&|i| i.elements.len() == 2));
        assert!(has(&|i| i.channel == Channel::Call && !i.elements[0].media));
        assert!(has(&|i| i.elements[0].kind == ElementKind::VoiceAndScreen));
        assert!(has(&|i| i.channel == Channel::Chat && i.elements[0].media));
        assert!(has(&|i| i.legs[0].total.as_secs() > 1000));
    }

    #[test]
    fn one_call_of_each_day_but_the_last_crosses_midnight() {
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let world = world(SimSettings { timezone: zone.clone(), ..SimSettings::default() });
        let mut crossing = HashMap::new();
        for interaction in everything(&world) {
            for leg in &interaction.legs {
                let day = Day::of(leg.start, &zone);
                assert!(day == interaction.day || day == interaction.day.next());
                *crossing.entry(interaction.day).or_insert(0) += i32::from(day != interaction.day);
            }
        }
        assert_eq!(crossing.values().sum::<i32>(), 2);
        assert_eq!(crossing[&world.settings().last_day], 0);
    }

    #[test]
    fn legs_are_listed_in_order() {
        let world = world(SimSettings::default());
        let legs = world.legs(world.settings().last_day);
        assert!(legs.windows(2).all(|pair| (pair[0].start, pair[0].contact) < (pair[1].start, pair[1].contact)));
    }
}
