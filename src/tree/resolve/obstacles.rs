//! From what a source said to the obstacle that it is, and for how long. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::catalog::{Obstacle, ObstacleKind, Scope};
use crate::cxone::{Refusal, RefusalKind, Whose};
use crate::media::{MediaError, StorageRefusal};
use crate::net::ApiError;

/// A refusal changes when somebody changes a permission, a lock or the recording.
const REFUSED: Duration = Duration::from_hours(24);
/// Restoring from an archive takes hours.
const RESTORING: Duration = Duration::from_hours(1);
/// The first pause after a call without an answer; it doubles with every further one.
const FAILED_MIN: Duration = Duration::from_mins(10);
const FAILED_MAX: Duration = Duration::from_hours(6);

/// What a refused billed call means from `now` on.
pub fn of_refusal(refusal: &Refusal, now: Timestamp) -> Obstacle {
    let (kind, what) = match refusal.kind {
        RefusalKind::Denied => (ObstacleKind::Denied, "CXone denies playback"),
        RefusalKind::Refused => (ObstacleKind::Refused, "CXone refuses playback"),
        RefusalKind::Restoring => (ObstacleKind::Restoring, "the recording is being restored from the archive"),
        RefusalKind::Archived => (ObstacleKind::Archived, "the recording is archived"),
    };
    let scope = match refusal.whose {
        Whose::Interaction => Scope::Own,
        Whose::Everybody => Scope::Shared,
    };
    Obstacle { scope, ..obstacle(kind, format!("{what} ({})", refusal.reason), now) }
}

/// What a billed call without an answer means, after `before`.
pub fn of_failure(error: &ApiError, before: Option<&Obstacle>, now: Timestamp) -> Obstacle {
    failed(format!("CXone did not answer the playback call ({error})"), before, now)
}

/// What failed again after `before`.
fn failed(reason: String, before: Option<&Obstacle>, now: Timestamp) -> Obstacle {
    let failed_before = before.filter(|before| before.kind == ObstacleKind::Failed).map_or(0, |before| before.times);
    let times = failed_before.saturating_add(1);
    let wait = FAILED_MIN.saturating_mul(1 << failed_before.min(16)).min(FAILED_MAX);
    Obstacle { times, again_at: after(now, wait), ..obstacle(ObstacleKind::Failed, reason, now) }
}

/// A billed call gave no link to a recording that was published: it is asked for again at `again_at`.
pub fn of_absence(again_at: Timestamp, now: Timestamp) -> Obstacle {
    let reason = "CXone does not give out this recording any more";
    Obstacle { again_at, ..obstacle(ObstacleKind::Withdrawn, reason, now) }
}

/// What the media host's failure, or its refusal of a fresh link, means for one file, after `before`; none where it says nothing that lasts.
pub fn of_media(error: &MediaError, before: Option<&Obstacle>, now: Timestamp) -> Option<Obstacle> {
    if error.is_failure() {
        return Some(failed(error.to_string(), before, now));
    }
    let kind = match error.refusal()? {
        StorageRefusal::Denied => ObstacleKind::Denied,
        StorageRefusal::Archived => ObstacleKind::Archived,
        StorageRefusal::Restoring => ObstacleKind::Restoring,
        StorageRefusal::Gone | StorageRefusal::Other(_) => ObstacleKind::Refused,
    };
    Some(obstacle(kind, error.to_string(), now))
}

fn obstacle(kind: ObstacleKind, reason: impl Into<Arc<str>>, now: Timestamp) -> Obstacle {
    let wait = match kind {
        ObstacleKind::Denied | ObstacleKind::Refused | ObstacleKind::Archived | ObstacleKind::Withdrawn => REFUSED,
        ObstacleKind::Restoring => RESTORING,
        ObstacleKind::Failed => FAILED_MIN,
    };
    Obstacle { kind, reason: reason.into(), said_at: now, again_at: after(now, wait), times: 1, scope: Scope::Own }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// What to do about an obstacle, for the log.
pub fn remedy(kind: ObstacleKind, scope: Scope) -> &'static str {
    match (kind, scope) {
        (ObstacleKind::Denied, Scope::Own) => {
            "unlock the interaction in CXone, or allow this access key's role to play it; then: cxonefs refresh DIR --retry PATH"
        }
        (ObstacleKind::Denied, _) => {
            "give the access key's user a role with Search & Playback > Player > Play Any; then: cxonefs refresh DIR --retry"
        }
        (ObstacleKind::Refused, Scope::Own) => "see the reason; to ask again: cxonefs refresh DIR --retry PATH",
        (ObstacleKind::Refused, _) => {
            "check tenant.playback_endpoint and what stands between this machine and CXone; then: cxonefs refresh DIR --retry"
        }
        (ObstacleKind::Restoring, _) => "wait until CXone has restored it",
        (ObstacleKind::Archived, _) => {
            "have it restored from the archive in CXone; then: cxonefs refresh DIR --retry PATH"
        }
        (ObstacleKind::Withdrawn, _) => {
            "look whether the recording still plays in CXone; if it does: cxonefs refresh DIR --retry PATH"
        }
        (ObstacleKind::Failed, _) => "to ask again before that: cxonefs refresh DIR --retry PATH",
    }
}

/// The same where a media host refused a recording's bytes.
pub fn storage_remedy(kind: ObstacleKind) -> &'static str {
    match kind {
        ObstacleKind::Archived | ObstacleKind::Restoring | ObstacleKind::Withdrawn => remedy(kind, Scope::Own),
        ObstacleKind::Denied | ObstacleKind::Refused | ObstacleKind::Failed => {
            "see whether the recording plays in CXone, and what stands between this machine and the media host; then: \
             cxonefs refresh DIR --retry PATH"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ApiErrorKind;

    fn hours_to_wait(obstacle: &Obstacle) -> f64 {
        obstacle.again_at.duration_since(obstacle.said_at).as_secs_f64() / 3600.0
    }

    #[test]
    fn each_refusal_holds_as_long_as_it_may_be_true() {
        let refusal =
            |kind| Refusal { kind, whose: Whose::Interaction, reason: "x".into(), status: 4, correlation_id: None };
        for (kind, word, hours) in [
            (RefusalKind::Denied, "denied", 24.0),
            (RefusalKind::Refused, "refused", 24.0),
            (RefusalKind::Restoring, "restoring", 1.0),
            (RefusalKind::Archived, "archived", 24.0),
        ] {
            let obstacle = of_refusal(&refusal(kind), Timestamp::UNIX_EPOCH);
            assert_eq!((obstacle.kind.word(), hours_to_wait(&obstacle)), (word, hours));
        }
    }

    #[test]
    fn failures_double_up_to_six_hours_and_begin_anew_after_something_else() {
        let error = ApiError::new(ApiErrorKind::Unavailable, "500");
        let mut before: Option<Obstacle> = None;
        let mut minutes = Vec::new();
        for _ in 0..8 {
            let obstacle = of_failure(&error, before.as_ref(), Timestamp::UNIX_EPOCH);
            minutes.push((hours_to_wait(&obstacle) * 60.0).round() as u32);
            before = Some(obstacle);
        }
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 360, 360]);
        let failed = before.unwrap();
        for media in [MediaError::failed("the media host answered 500"), MediaError::Timeout] {
            let obstacle = of_media(&media, Some(&failed), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((obstacle.kind, obstacle.times), (ObstacleKind::Failed, failed.times + 1));
            assert!(obstacle.reason.contains("the media host"), "{}", obstacle.reason);
        }
        assert_eq!(of_media(&MediaError::Erased, None, Timestamp::UNIX_EPOCH), None, "no failure");
        let refused = Obstacle { kind: ObstacleKind::Refused, ..failed };
        assert_eq!(of_failure(&error, Some(&refused), Timestamp::UNIX_EPOCH).times, 1);
    }
}
