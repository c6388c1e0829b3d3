//! What the tree must look like, from the tenant's truth by the rules that are promised to users, and by nothing of the product.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cxonefs::sim::{TruthInteraction, TruthLeg};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::tenant::Tenant;

/// The directories that every interaction must have.
pub struct Tree {
    zone: TimeZone,
    pub interactions: BTreeMap<i64, TruthInteraction>,
    pub places: Vec<Place>,
}

/// One interaction directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `date/agent/interaction`.
    pub path: PathBuf,
    pub master: i64,
    /// 0: no agent.
    pub agent: i64,
    /// Contact ids of the agent's legs of that day, by start.
    pub contacts: Vec<i64>,
}

impl Tree {
    /// Names of agents are taken as they are: for tenants without odd ones.
    pub fn of(tenant: &Tenant) -> Tree {
        let zone = tenant.settings().timezone.clone();
        let interactions: BTreeMap<i64, TruthInteraction> =
            tenant.truth().into_iter().map(|truth| (truth.master, truth)).collect();
        let mut tree = Tree { zone, interactions, places: Vec::new() };
        let shown = tree.interactions.values().filter(|truth| truth.channel != "work");
        tree.places = shown.flat_map(|truth| tree.places_of(truth)).collect();
        tree.places.sort();
        tree
    }

    fn places_of(&self, truth: &TruthInteraction) -> Vec<Place> {
        let mut folders: BTreeMap<(String, i64), Vec<&TruthLeg>> = BTreeMap::new();
        for leg in &truth.legs {
            folders.entry((leg.day.clone(), leg.agent)).or_default().push(leg);
        }
        let direction = if truth.outbound { "out" } else { "in" };
        let folders = folders.into_iter().map(|((day, agent), mut legs)| {
            legs.sort_by_key(|leg| (self.local(&leg.start), leg.contact));
            let time = self.local(&legs[0].start).strftime("%H%M%S").to_string();
            let name = format!("{time}_{}_{direction}_{}", truth.channel, truth.master);
            let path = PathBuf::from(day).join(agent_name(legs[0])).join(name);
            Place { path, master: truth.master, agent, contacts: legs.iter().map(|leg| leg.contact).collect() }
        });
        folders.collect()
    }

    fn local(&self, start: &str) -> Zoned {
        start.parse::<Timestamp>().unwrap().to_zoned(self.zone.clone())
    }

    /// The instant that the shared files of an interaction carry: the start of its earliest leg.
    pub fn time_of(&self, master: i64) -> Timestamp {
        self.truth(master).legs.iter().map(|leg| leg.start.parse().unwrap()).min().unwrap()
    }

    pub fn truth(&self, master: i64) -> &TruthInteraction {
        &self.interactions[&master]
    }

    /// The first place whose interaction is like that.
    #[track_caller]
    pub fn first(&self, is_so: impl Fn(&TruthInteraction) -> bool) -> &Place {
        self.places
            .iter()
            .find(|place| is_so(self.truth(place.master)))
            .expect("the population has no such interaction")
    }

    /// Places that hold a call with one recording and nothing special about it.
    pub fn recorded(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| {
            let truth = self.truth(place.master);
            truth.channel == "call" && truth.media.len() == 1 && truth.legs.len() == 1
        })
    }

    /// Every place of an interaction.
    pub fn places_of_master(&self, master: i64) -> Vec<&Place> {
        self.places.iter().filter(|place| place.master == master).collect()
    }

    /// Every directory, the root's own children included.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let folders = self.places.iter().map(|place| place.path.clone());
        let above = self.places.iter().flat_map(|place| place.path.ancestors().skip(1).map(PathBuf::from));
        folders.chain(above).filter(|path| !path.as_os_str().is_empty()).collect()
    }

    /// What a folder shows before its interaction is resolved.
    pub fn predicted(&self, master: i64) -> BTreeSet<String> {
        let more: &[&str] = match self.truth(master).channel.as_str() {
            "call" | "voicemail" => &["recording.mp4"],
            "chat" => &["transcript.txt", "transcript.json"],
            "email" => &["email.eml"],
            _ => &[],
        };
        ["contact.json", "metadata.json"].iter().chain(more).map(ToString::to_string).collect()
    }

    /// What it shows afterwards.
    pub fn exact(&self, master: i64) -> BTreeSet<String> {
        let truth = self.truth(master);
        let mut names = BTreeSet::from([String::from("contact.json")]);
        if !truth.known {
            return names;
        }
        names.insert(String::from("metadata.json"));
        for element in &truth.elements {
            let documents: &[&str] = match element.as_str() {
                "chat" => &["transcript.txt", "transcript.json"],
                "email" => &["email.eml"],
                _ => &[],
            };
            names.extend(documents.iter().map(ToString::to_string));
        }
        names.extend((0..truth.media.len()).map(recording_name));
        names
    }
}

/// The name of a recording by its place among the recordings, from 0.
pub fn recording_name(index: usize) -> String {
    if index == 0 { String::from("recording.mp4") } else { format!("recording_{}.mp4", index + 1) }
}

fn agent_name(leg: &TruthLeg) -> String {
    if leg.agent == 0 {
        return String::from("no_agent");
    }
    let words: Vec<&str> = [&leg.last_name, &leg.first_name].into_iter().flatten().map(String::as_str).collect();
    format!("{}_{}", words.join("_"), leg.agent)
}
