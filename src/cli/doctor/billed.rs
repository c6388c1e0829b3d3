//! `doctor --billed CONTACT`: one Media Playback call, the only thing that tells whether playing is permitted. It goes through the
//! same books as a mount's: budget, rate limit, ledger row before the call.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::check::Check;
use crate::base::failure::{Failure, chain};
use crate::base::{Clock, Day, MasterId};
use crate::catalog::{Catalog, CatalogError, CatalogSettings, LedgerEntry};
use crate::cli::units::count;
use crate::config::Config;
use crate::cxone::{PlaybackAnswer, Refusal, RefusalKind, Tenant, Whose};
use crate::daemon::assemble;
use crate::net::{ApiErrorKind, Priority};
use crate::tree::DailyBudget;

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
    let failed = |error: CatalogError| Failure::failed(error).while_doing("state.dir");
    let today = Day::of(clock.now(), &TimeZone::UTC).start(&TimeZone::UTC);
    let budget = DailyBudget(config.limits.daily_budget.map(u64::from));
    if !budget.allows(catalog.ledger_count(today).map_err(failed)?) {
        return Err(Failure::failed("the daily budget of billed calls is spent")
            .remedy("try again after 00:00 UTC, or raise limits.daily_budget"));
    }
    let limiter = assemble::limiter(config, &catalog, clock)?;
    let permit = tokio::time::timeout(SLOT_WITHIN, limiter.acquire(Priority::Open)).await;
    let permit = permit
        .map_err(|_| Failure::failed("the rate limit lets no call through now").remedy("try again in some minutes"))?;
    let uid = rustix::process::geteuid().as_raw();
    let (pid, comm) = (std::process::id(), String::from("cxonefs"));
    let at: Timestamp = clock.now();
    let entry = LedgerEntry { at, master_id: contact, reason: Priority::Open, uid, pid, comm };
    let row = catalog.ledger_begin(&entry).map_err(failed)?;
    let under_way = permit.spend();
    let answer = tenant.playback(contact).await;
    drop(under_way);
    catalog.ledger_finish(row, &crate::tree::outcome_word(&answer)).map_err(failed)?;
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
