//! The states of an interaction and of its files.
//!
//! Several sources tell something of an interaction: Reporting that there is one, Media Playback what belongs to it, the media host whether the
//! bytes may be had. [`merge`] is the one place that makes a state of what they said. Pure; knows no SQL and no call.

use jiff::Timestamp;

use super::kind::FileKind;
use super::model::{Interaction, Resolution};
use super::obstacle::{Obstacle, ObstacleKind};

/// A state, as users and programs see it.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Opening asks.
    Unresolved,
    /// There are documents, links and sizes.
    Resolved,
    /// There is nothing, and it is asked for again at that time.
    None { again_at: Timestamp },
    /// There is an obstacle.
    Hindered(Obstacle),
}

impl State {
    /// The word in `user.cxone.state`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            State::Unresolved => "unresolved",
            State::Resolved => "resolved",
            State::None { .. } => "none",
            State::Hindered(obstacle) => match obstacle.kind {
                ObstacleKind::Denied => ObstacleKind::Refused.word(),
                ObstacleKind::Withdrawn => "none",
                kind => kind.word(),
            },
        }
    }
}

/// What Media Playback gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing yet.
    Nothing,
    Here,
    /// It has none; from then on it may be asked for again.
    Absent {
        again_at: Timestamp,
    },
}

/// What is known of an interaction or of one of its files, by source.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub playback: Given,
    /// Bytes of it are missing, and there is no link to them.
    pub needs_link: bool,
    /// What stands in the way of asking Media Playback.
    pub obstacle: Option<&'a Obstacle>,
    /// What the media host said of the file.
    pub storage: Option<&'a Obstacle>,
}

/// The one state that follows from what is known. An obstacle whose time has come is none: opening asks.
#[must_use]
pub fn merge(facts: &Facts<'_>, now: Timestamp) -> State {
    let holding = |obstacle: Option<&Obstacle>| obstacle.filter(|obstacle| obstacle.holds(now)).cloned();
    if let Some(obstacle) = holding(facts.storage) {
        return State::Hindered(obstacle);
    }
    match facts.playback {
        Given::Here if !facts.needs_link => State::Resolved,
        Given::Here => holding(facts.obstacle).map_or(State::Resolved, State::Hindered),
        Given::Absent { again_at } if now < again_at => State::None { again_at },
        Given::Absent { .. } | Given::Nothing => holding(facts.obstacle).map_or(State::Unresolved, State::Hindered),
    }
}

impl Interaction {
    /// What Media Playback gave of one file.
    #[must_use]
    pub fn given(&self, kind: FileKind) -> Given {
        match &self.resolution {
            Resolution::Unresolved => Given::Nothing,
            Resolution::Resolved { files, .. } if files.iter().any(|file| file.kind == kind) => Given::Here,
            Resolution::Resolved { recheck_at, .. } => Given::Absent { again_at: recheck_at.unwrap_or(Timestamp::MAX) },
        }
    }

    /// What keeps from asking Media Playback now.
    #[must_use]
    pub fn hindrance(&self, now: Timestamp) -> Option<&Obstacle> {
        self.obstacles.playback.as_deref().filter(|obstacle| obstacle.holds(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Scope;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn obstacle(kind: ObstacleKind, until: i64) -> Obstacle {
        Obstacle { kind, reason: "x".into(), said_at: at(0), again_at: at(until), times: 1, scope: Scope::Own }
    }

    #[test]
    fn every_combination_is_one_state() {
        let (denied, failed) = (obstacle(ObstacleKind::Denied, 100), obstacle(ObstacleKind::Failed, 100));
        let archived = obstacle(ObstacleKind::Archived, 100);
        let given = [Given::Nothing, Given::Here, Given::Absent { again_at: at(50) }];
        for (obstacle, storage, before_50, before_100) in [
            (None, None, ["unresolved", "resolved", "none"], ["unresolved", "resolved", "unresolved"]),
            (Some(&denied), None, ["refused", "resolved", "none"], ["refused", "resolved", "refused"]),
            (Some(&failed), Some(&archived), ["archived"; 3], ["archived"; 3]),
        ] {
            for (now, expected) in [(10, before_50), (60, before_100), (100, ["unresolved", "resolved", "unresolved"])]
            {
                let facts = |playback| Facts { playback, needs_link: false, obstacle, storage };
                let words = given.map(|playback| merge(&facts(playback), at(now)).word());
                assert_eq!(words, expected, "{obstacle:?} {storage:?} at {now}");
            }
        }
    }
    #[test]
    fn a_new_link_that_is_refused_matters_where_bytes_are_missing() {
        let denied = obstacle(ObstacleKind::Denied, 100);
        for (needs_link, word) in [(false, "resolved"), (true, "refused")] {
            let facts = Facts { playback: Given::Here, needs_link, obstacle: Some(&denied), storage: None };
            assert_eq!(merge(&facts, at(0)).word(), word);
        }
    }
}
