//! What warming costs: billed calls, bytes, and the time that the rate limit makes of the calls.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::scope::{Recordings, Scope};
use crate::base::{Day, MasterId};
use crate::catalog::{FileKind, Interaction, Resolution};
use crate::media::Version;
use crate::net::LimiterSnapshot;
use crate::tree::Tree;
use crate::tree::children::{billed_children, needs_call};
use crate::tree::error::TreeError;
use crate::tree::estimate::expected;
use crate::tree::resolve::recording_key;

/// What is missing of a scope, and what bringing it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub interactions: u64,
    /// Billed calls.
    pub calls: u64,
    /// Billed calls that today's budget still allows; `None` is unlimited.
    pub budget_left: Option<u64>,
    /// Recordings of which something is missing in the cache; those of interactions that were never resolved as predicted.
    pub recordings: u64,
    /// Bytes of those recordings.
    pub bytes: u64,
    /// The part of `bytes` that is a high guess.
    pub bytes_guessed: u64,
    /// Bytes that the cache may occupy in all.
    pub cache_bytes: u64,
    /// How long the rate limit makes the calls take, at most, if nobody else makes any.
    pub limit_time: Duration,
}

/// One interaction's part of the cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tree) struct Missing {
    /// A billed call is needed for the listing.
    pub listing: bool,
    /// A billed call is needed for a link to what is missing, though the listing is known.
    pub link: bool,
    pub recordings: u64,
    pub bytes: u64,
    pub bytes_guessed: u64,
}

impl Missing {
    /// Whether a billed call is needed; one brings everything.
    pub fn call(&self) -> bool {
        self.listing || self.link
    }
}

impl Tree {
    pub(super) fn cost_of(&self, scope: &Scope) -> Result<Cost, TreeError> {
        let now = self.clock.now();
        let mut cost = Cost { cache_bytes: self.resolver.media().cache_size(), ..Cost::default() };
        for (place, recordings) in scope.items() {
            cost.interactions += 1;
            let Some(missing) = self.missing(place.master, recordings)? else { continue };
            cost.calls += u64::from(missing.call());
            cost.recordings += missing.recordings;
            cost.bytes += missing.bytes;
            cost.bytes_guessed += missing.bytes_guessed;
        }
        let today = Day::of(now, &TimeZone::UTC).start(&TimeZone::UTC);
        let spent = self.catalog.ledger_count(today)?;
        cost.budget_left = self.resolver.budget().0.map(|budget| budget.saturating_sub(spent));
        cost.limit_time = time_at_limit(cost.calls, &self.resolver.limiter());
        Ok(cost)
    }

    /// What is missing of one interaction; `None` if the index does not know it any more.
    pub(in crate::tree) fn missing(&self, master: MasterId, wanted: &Recordings) -> Result<Option<Missing>, TreeError> {
        let Some(interaction) = self.catalog.interaction(master)? else { return Ok(None) };
        let now = self.clock.now();
        let is_hindered = self.resolver.hindrance(&interaction, now).is_some();
        let listing = needs_call(&interaction.resolution, now) && !is_hindered;
        let mut missing = Missing { listing, ..Missing::default() };
        for child in billed_children(&interaction, now) {
            let FileKind::Recording(index) = child.kind else { continue };
            if !wanted.include(index) || self.is_recording_cached(master, &interaction, index) {
                continue;
            }
            missing.recordings += 1;
            let has_link = || is_hindered || self.resolver.links().lasts(master, index, now);
            missing.link |= !missing.listing && child.certain && !has_link();
            let guess = match child.size {
                Some(_) => 0,
                None => expected(interaction.duration_s, self.learned_rate(interaction.channel)?),
            };
            missing.bytes += child.size.unwrap_or(guess);
            missing.bytes_guessed += guess;
        }
        Ok(Some(missing))
    }

    fn is_recording_cached(&self, master: MasterId, interaction: &Interaction, index: u8) -> bool {
        let Resolution::Resolved { files, .. } = &interaction.resolution else { return false };
        let file = files.iter().find(|file| file.kind == FileKind::Recording(index));
        file.and_then(|file| Some(Version { size: file.size?, validator: file.validator.clone() }))
            .is_some_and(|version| self.resolver.media().is_complete(&recording_key(master, index), &version))
    }
}

/// How long so many calls take at most under a limit that is in use as `limiter` says.
fn time_at_limit(calls: u64, limiter: &LimiterSnapshot) -> Duration {
    if calls == 0 {
        return Duration::ZERO;
    }
    let free = u64::from(limiter.learned_limit.saturating_sub(limiter.used));
    let windows = calls.saturating_sub(free).div_ceil(u64::from(limiter.learned_limit.max(1)));
    limiter.paused_for + limiter.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_fit_take_no_time_and_others_whole_windows() {
        let limiter = |used| LimiterSnapshot {
            calls: 150,
            window: Duration::from_mins(5),
            learned_limit: 100,
            used,
            waiting: [0; 4],
            held_by: None,
            held_for: None,
            paused_for: Duration::ZERO,
            refused: 0,
        };
        assert_eq!(time_at_limit(0, &limiter(100)), Duration::ZERO);
        assert_eq!(time_at_limit(100, &limiter(0)), Duration::ZERO);
        assert_eq!(time_at_limit(101, &limiter(0)), Duration::from_mins(5));
        assert_eq!(time_at_limit(200, &limiter(100)), Duration::from_mins(10));
        let paused = LimiterSnapshot { paused_for: Duration::from_secs(7), ..limiter(0) };
        assert_eq!(time_at_limit(1, &paused), Duration::from_secs(7));
    }
}
