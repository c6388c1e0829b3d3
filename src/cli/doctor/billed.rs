//! `doctor --billed CONTACT`: one Media Playback call, the only thing that tells whether playing is permitted. It goes through the
//! same books as a mount's: budget, rate limit, ledger row before the call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::check::Check;
use crate::base::failure::{Failure, chain};
use crate::base::{Clock, MasterId, UserKey};
use crate::book::{Allowed, Asking, Book as _, BookError, Claimed, Completion, DailyBudget, LocalBook, Payer, Turn};
use crate::catalog::{Catalog, CatalogError, CatalogSettings};
use crate::cli::units::count;
use crate::config::Config;
use crate::cxone::{PlaybackAnswer, Refusal, RefusalKind, Tenant, Whose};
use crate::daemon::assemble;
use crate::net::{ApiErrorKind, Priority};

const NAME: &str = "playback permission";
const GIVE_A_ROLE: &str = "give the access key's user a role with Search & Playback > Player > Play Any (and no restriction on this interaction)";
/// A limit that is used up is no reason to wait minutes here.
const SLOT_WITHIN: Duration = Duration::from_secs(2);

/// Makes the call, if it may be made.
pub async fn check(config: &Config, tenant: &Tenant, clock: &Arc<dyn Clock>, contact: MasterId) -> Check {
    match call(config, tenant, clock, contact).await {
        Ok(check) => check,
        Err(failure) => Check::of_failure(NAME, &failure),
    }
}

async fn call(config: &Config, tenant: &Tenant, clock: &Arc<dyn Clock>, contact: MasterId) -> Result<Check, Failure> {
    let settings = CatalogSettings { timezone: config.tree.timezone.clone() };
    let catalog = Catalog::open_sealed(&config.state.dir, settings, &config.cache.keys);
    let catalog = catalog.map_err(no_ledger)?;
    let limiter = assemble::limiter(config, &catalog, clock)?;
    let book = LocalBook::new(catalog, limiter, Arc::clone(clock));
    let budget = DailyBudget(config.limits.daily_budget.map(u64::from));
    let allowed = Allowed { budget, user_budget: DailyBudget(None) };
    let claimed = book.claim(contact, &Ourselves { until: Instant::now() + SLOT_WITHIN }, allowed).await;
    let grant = match claimed.map_err(no_claim)? {
        Claimed::Granted(grant) => grant,
        Claimed::Withdrawn => {
            let failure = Failure::failed("the rate limit lets no call through now");
            return Err(failure.remedy("try again in some minutes"));
        }
    };
    let answer = tenant.playback(contact).await;
    let finished = grant.finish(crate::tree::outcome_word(&answer)).await;
    finished.map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    Ok(match answer {
        Ok(PlaybackAnswer::Found(playback)) => {
            Check::ok(NAME, format!("{contact} may be played: {}", count(playback.items.len(), "part")))
        }
        Ok(PlaybackAnswer::NotFound) => Check::hint(
            NAME,
            format!("there is no recording of {contact}"),
            "this does not tell whether playing is permitted: name the master contact of a call that is known to be recorded",
        ),
        Ok(PlaybackAnswer::Refused(refusal)) => refused(&refusal),
        Err(error) if error.kind == ApiErrorKind::Denied => Check::failed(NAME, chain(&error), GIVE_A_ROLE),
        Err(error) => Check::failed(NAME, chain(&error), "try again later"),
    })
}

fn refused(refusal: &Refusal) -> Check {
    let remedy = match (refusal.kind, refusal.whose) {
        (RefusalKind::Denied, Whose::Everybody) => GIVE_A_ROLE,
        (RefusalKind::Denied | RefusalKind::Refused, Whose::Interaction) => {
            "this is about the one interaction: name another one that is known to be recorded"
        }
        (RefusalKind::Refused, Whose::Everybody) => {
            "check tenant.playback_endpoint, and what stands between this machine and CXone"
        }
        (RefusalKind::Restoring | RefusalKind::Archived, _) => {
            "playing is permitted, and this recording is in an archive: name a younger one"
        }
    };
    Check::failed(NAME, refusal.reason.to_string(), remedy)
}

/// The daemon itself asks, for so long.
struct Ourselves {
    until: Instant,
}

#[async_trait]
impl Asking for Ourselves {
    fn turn(&self) -> Turn {
        Turn { priority: Priority::Open, user: UserKey::Own }
    }

    async fn changed(&self, _seen: &Turn) {
        tokio::time::sleep_until(self.until).await;
    }

    fn is_wanted(&self) -> bool {
        Instant::now() < self.until
    }

    async fn prepare(&self) -> Result<(), Completion> {
        Ok(())
    }

    fn payer(&self) -> Option<Payer> {
        let uid = rustix::process::geteuid().as_raw();
        Some(Payer { uid, pid: std::process::id(), comm: String::from("cxonefs") })
    }
}

fn no_claim(error: BookError) -> Failure {
    if let BookError::Spent(_) = error {
        return Failure::failed("the daily budget of billed calls is spent")
            .remedy("try again after 00:00 UTC, or raise limits.daily_budget");
    }
    Failure::failed(error).while_doing("state.dir")
}

fn no_ledger(error: CatalogError) -> Failure {
    let in_use = matches!(error, CatalogError::InUse { .. });
    let failure = Failure::failed(error);
    if in_use {
        failure
            .remedy("a mount uses it: try the same there, by cxonefs warm --metadata-only and the interaction's folder")
    } else {
        failure.while_doing("state.dir")
    }
}
