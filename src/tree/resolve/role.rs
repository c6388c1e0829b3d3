//! Refusals that name no interaction: whether they are the role's, so that everything would be refused, or of single interactions after all.
//!
//! A tenant's gateway and its policies answer "Forbidden" for both. One such answer blames nobody else: that would hide good recordings. Several
//! different interactions refused in a row are the role's: then one call in five minutes probes, for all. Pure; the clock is passed in.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::MasterId;
use crate::catalog::{Obstacle, ObstacleKind, Scope};

/// Between two probes of a role that is refused.
const PROBE_EVERY: Duration = Duration::from_mins(5);
/// Different interactions refused in a row that make it the role's, where nothing was ever answered under this key.
const IN_A_ROW_AT_FIRST: usize = 2;
/// The same where answers have come: then single interactions are the likelier reason.
const IN_A_ROW: usize = 5;

/// What is known of the role, under one access key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The access key.
    key: String,
    /// An interaction was answered.
    worked: bool,
    /// Interactions refused since then; no more than decide.
    refused: Vec<i64>,
    reason: String,
    denied: bool,
    /// Seconds since 1970.
    said_at: i64,
    /// The next probe, in seconds since 1970.
    again_at: i64,
}

/// What an answer does to refusals that named no interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    Nothing,
    /// It was the first under this key: worth writing down.
    Note,
    /// They concern those interactions alone.
    Settle,
    /// They were the role's, and the role may play again.
    Forget,
}

impl Role {
    /// Takes over an access key; whether it is another one than before.
    pub fn use_key(&mut self, key: &str) -> bool {
        if self.key == key {
            return false;
        }
        let had_key = !self.key.is_empty();
        *self = Role { key: key.to_owned(), ..Role::default() };
        had_key
    }

    /// Whether everything is refused.
    pub fn is_refused(&self) -> bool {
        self.refused.len() >= if self.worked { IN_A_ROW } else { IN_A_ROW_AT_FIRST }
    }

    /// What keeps from asking about an interaction of which `own` was said.
    pub fn hindrance(&self, own: Option<&Obstacle>, now: Timestamp) -> Option<Obstacle> {
        let waits = now.as_second() < self.again_at;
        match own.filter(|own| own.holds(now)) {
            Some(own) if own.scope == Scope::Shared && !self.refused.is_empty() => {
                // Where nothing is known of the role, the one interaction that was asked for is its probe.
                let by_role = self.is_refused() || !self.worked;
                (!by_role || waits).then(|| own.clone())
            }
            Some(own) => Some(own.clone()),
            None => (self.is_refused() && waits).then(|| self.obstacle()),
        }
    }

    /// The same for a call that is about to be made: of all who ask when a probe is due, one makes it.
    pub fn ask(&mut self, own: Option<&Obstacle>, now: Timestamp) -> Result<(), Obstacle> {
        if let Some(obstacle) = self.hindrance(own, now) {
            return Err(obstacle);
        }
        if self.is_refused() {
            self.again_at = after(now);
        }
        Ok(())
    }

    /// An interaction was refused in words that fit all. Whether that shows the role to be refused.
    pub fn note_refusal(&mut self, master: MasterId, obstacle: &Obstacle, now: Timestamp) -> bool {
        let before = self.is_refused();
        if !self.refused.contains(&master.0) && self.refused.len() < IN_A_ROW {
            self.refused.push(master.0);
        }
        self.reason = obstacle.reason.to_string();
        self.denied = obstacle.kind == ObstacleKind::Denied;
        self.said_at = now.as_second();
        self.again_at = after(now);
        !before && self.is_refused()
    }

    /// An interaction was answered.
    pub fn note_answer(&mut self) -> Consequence {
        let consequence = match (self.is_refused(), self.refused.is_empty(), self.worked) {
            (true, ..) => Consequence::Forget,
            (false, false, _) => Consequence::Settle,
            (false, true, false) => Consequence::Note,
            (false, true, true) => Consequence::Nothing,
        };
        self.worked = true;
        self.refused.clear();
        consequence
    }

    /// Whoever asks next may.
    pub fn retry(&mut self) {
        self.again_at = 0;
    }

    /// Interactions were erased, or all (`None`): that they were refused still counts, and names none. Whether any was among them.
    pub fn forget(&mut self, masters: Option<&[MasterId]>) -> bool {
        let is_erased = |refused: i64| masters.is_none_or(|masters| masters.contains(&MasterId(refused)));
        let mut has_changed = false;
        for (position, refused) in (1..).zip(&mut self.refused) {
            if *refused > 0 && is_erased(*refused) {
                // No contact has a negative number, and no two places the same.
                *refused = -position;
                has_changed = true;
            }
        }
        has_changed
    }

    fn obstacle(&self) -> Obstacle {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        Obstacle {
            kind: if self.denied { ObstacleKind::Denied } else { ObstacleKind::Refused },
            reason: self.reason.as_str().into(),
            said_at: at(self.said_at),
            again_at: at(self.again_at),
            times: 1,
            scope: Scope::Shared,
        }
    }
}

fn after(now: Timestamp) -> i64 {
    now.as_second() + PROBE_EVERY.as_secs().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shared(until: i64) -> Obstacle {
        Obstacle {
            kind: ObstacleKind::Denied,
            reason: "Forbidden".into(),
            said_at: at(0),
            again_at: at(until),
            times: 1,
            scope: Scope::Shared,
        }
    }

    fn refuse(role: &mut Role, masters: std::ops::Range<i64>, now: i64) {
        for master in masters {
            role.note_refusal(MasterId(master), &shared(now + 86_400), at(now));
        }
    }

    #[test]
    fn a_role_that_never_played_is_probed_every_five_minutes_for_all() {
        let mut role = Role::default();
        refuse(&mut role, 1..2, 0);
        let own = shared(86_400);
        assert_eq!(role.hindrance(None, at(1)), None, "one refusal blames nobody else");
        assert_eq!(role.hindrance(Some(&own), at(1)), Some(own.clone()));
        refuse(&mut role, 2..3, 1);
        assert!(role.is_refused() && role.hindrance(None, at(300)).is_some());
        assert_eq!(role.ask(Some(&own), at(301)), Ok(()), "the probe");
        assert!(role.ask(None, at(301)).is_err(), "one for all");
        refuse(&mut role, 1..2, 302);
        assert!(role.hindrance(None, at(601)).is_some());
        assert_eq!((role.ask(None, at(602)), role.note_answer()), (Ok(()), Consequence::Forget));
        assert_eq!(role.hindrance(None, at(602)), None);
    }

    #[test]
    fn single_interactions_among_good_ones_are_their_own() {
        let mut role = Role::default();
        assert_eq!(role.note_answer(), Consequence::Note);
        for round in 0..20 {
            refuse(&mut role, round * 10..round * 10 + 4, 0);
            assert_eq!(role.hindrance(None, at(0)), None);
            let own = shared(86_400);
            assert_eq!(role.hindrance(Some(&own), at(3600)), Some(own));
            assert_eq!(role.note_answer(), Consequence::Settle);
        }
        assert_eq!(role.note_answer(), Consequence::Nothing);
        refuse(&mut role, 0..5, 0);
        assert!(role.is_refused());
    }

    #[test]
    fn the_same_interaction_again_proves_nothing_and_a_new_key_forgets() {
        let mut role = Role::default();
        assert!(!role.use_key("A") && !role.use_key("A"));
        for _ in 0..5 {
            refuse(&mut role, 1..2, 0);
        }
        assert!(!role.is_refused());
        refuse(&mut role, 1..9, 0);
        assert!(role.is_refused());
        let kept: Role = serde_json::from_str(&serde_json::to_string(&role).unwrap()).unwrap();
        assert_eq!(kept, role);
        assert!(role.use_key("B") && !role.is_refused());
    }

    #[test]
    fn an_interaction_that_names_itself_is_no_matter_of_the_role() {
        let mut role = Role::default();
        let own = Obstacle { scope: Scope::Own, ..shared(100) };
        refuse(&mut role, 1..3, 0);
        assert_eq!(role.hindrance(Some(&own), at(99)).unwrap().scope, Scope::Own);
        assert_eq!(role.hindrance(Some(&own), at(100)).unwrap().scope, Scope::Shared);
    }
}
