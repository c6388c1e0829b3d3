//! What Media Playback makes of an interaction besides what is recorded: most are answered, some are refused, fail or are slow, whoever asks and
//! however often. Pure.

use axum::response::Response;
use serde_json::json;

use super::answers::{json_answer, typed};
use super::mix::{below, mix};
use super::settings::Shares;

/// How an interaction is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Fine,
    /// Always refused, in one of several ways.
    Refused,
    /// Always 500.
    Failing,
    /// Answered after [`super::Switches::slow_ms`].
    Slow,
    /// Answered, but the storage has archived the recording.
    Archived,
}

impl Mood {
    /// The mood of the interaction with this word.
    pub(super) fn of(word: u64, shares: &Shares) -> Mood {
        let table = [
            (shares.refused, Mood::Refused),
            (shares.failing, Mood::Failing),
            (shares.slow, Mood::Slow),
            (shares.archived, Mood::Archived),
        ];
        let mut at = below(mix(&[word, 30]), 1000);
        for (share, mood) in table {
            match at.checked_sub(u64::from(share)) {
                None => return mood,
                Some(rest) => at = rest,
            }
        }
        Mood::Fine
    }

    /// As the truth names it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Mood::Fine => "fine",
            Mood::Refused => "refused",
            Mood::Failing => "failing",
            Mood::Slow => "slow",
            Mood::Archived => "archived",
        }
    }

    /// The answer that takes the place of the interaction's own.
    pub(super) fn answer(self, word: u64) -> Option<Response> {
        match self {
            Mood::Fine | Mood::Slow | Mood::Archived => None,
            Mood::Failing => Some(json_answer(500, &json!({"message": "Internal Server Error"}))),
            Mood::Refused => Some(refusal(below(mix(&[word, 31]), REFUSALS))),
        }
    }
}

const REFUSALS: u64 = 7;

fn refusal(number: u64) -> Response {
    let coded = |status: u16, message: &str| {
        json_answer(status, &json!({"internalCode": format!("MP-{status}"), "message": message}))
    };
    match number {
        0 => coded(403, "Playback is locked for this interaction"),
        1 => coded(400, "The interaction cannot be played back"),
        2 => coded(410, "The media was deleted by a life cycle rule"),
        3 => coded(422, "The interaction is not of a kind that can be played back"),
        4 => json_answer(202, &json!({"message": "Media is being restored from archive"})),
        5 => typed(200, "text/html", "<!doctype html><html><body>Please sign in</body></html>"),
        _ => json_answer(200, &json!({"message": "The requesting user does not exist"})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let shares = Shares { refused: 50, failing: 50, slow: 20, ..Shares::plain() };
        let moods: Vec<Mood> = (0..10_000).map(|n| Mood::of(mix(&[n]), &shares)).collect();
        let count = |mood| moods.iter().filter(|found| **found == mood).count();
        assert!((400..600).contains(&count(Mood::Refused)) && (400..600).contains(&count(Mood::Failing)));
        assert!((130..270).contains(&count(Mood::Slow)) && count(Mood::Archived) == 0);
    }

    #[test]
    fn every_refusal_is_another() {
        let statuses: Vec<u16> = (0..REFUSALS).map(|number| refusal(number).status().as_u16()).collect();
        assert_eq!(statuses, [403, 400, 410, 422, 202, 200, 200]);
    }
}
