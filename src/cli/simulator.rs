//! The simulated tenant as `demo` and `simulate` start it: the one place that knows its settings' names.

#![expect(dead_code, clippy::unused_self, clippy::unused_async, reason = "crate::sim is not there yet")]

use std::net::SocketAddr;
use std::path::Path;

use super::args::{TenantArgs, TenantLimits};
use super::failure::Failure;
use crate::base::{Clock, Day};

/// A simulated tenant that is running.
pub struct Simulator {
    address: SocketAddr,
}

/// What the tenant is asked to be, settled.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub tenant: TenantArgs,
    pub limits: Option<TenantLimits>,
    pub listen: SocketAddr,
    pub timezone: jiff::tz::TimeZone,
    pub last_day: Day,
}

impl Wanted {
    /// Fills in today and the system's time zone where nothing else was asked for.
    #[must_use]
    pub fn settle(tenant: TenantArgs, limits: Option<TenantLimits>, listen: SocketAddr, clock: &dyn Clock) -> Wanted {
        let timezone = tenant.timezone.clone().unwrap_or_else(jiff::tz::TimeZone::system);
        let last_day = tenant.last_day.unwrap_or_else(|| Day::of(clock.now(), &timezone));
        Wanted { tenant, limits, listen, timezone, last_day }
    }
}

impl Simulator {
    /// Starts it on the present runtime.
    pub async fn start(wanted: &Wanted) -> Result<Simulator, Failure> {
        let _ = wanted;
        Err(Failure::failed("this build has no simulated tenant"))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The secret of its access key; simulated, so no secret.
    #[must_use]
    pub fn secret(&self) -> &'static str {
        ""
    }

    /// The configuration that mounts it.
    #[must_use]
    pub fn config_toml(&self, _state: &Path, _cache: &Path, _secret_file: &Path) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    #[test]
    fn the_last_day_is_today_where_the_tenant_is() {
        let tenant = TenantArgs {
            seed: 1,
            days: 3,
            agents: 8,
            contacts_per_day: 40,
            last_day: None,
            timezone: Some(jiff::tz::TimeZone::get("America/New_York").unwrap()),
            odd_names: false,
            bulk_bytes: None,
            media_base_url: None,
        };
        let clock = ManualClock::new("2026-11-02T03:00:00Z".parse().unwrap());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let wanted = Wanted::settle(tenant.clone(), None, listen, &clock);
        assert_eq!(wanted.last_day.to_string(), "2026-11-01");
        let day: Day = "2026-01-05".parse().unwrap();
        let wanted = Wanted::settle(TenantArgs { last_day: Some(day), ..tenant }, None, listen, &clock);
        assert_eq!(wanted.last_day, day);
    }
}
