//! The simulated tenant as `demo` and `simulate` start it: the one place that knows its settings' names.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::{TenantArgs, TenantLimits};
use super::workspace::Workspace;
use crate::base::failure::Failure;
use crate::base::{Clock, Day, SystemClock};
use crate::sim::{Credentials, Login, RunningSim, Sim, SimSettings};

/// A simulated tenant that is running.
pub struct Simulator {
    running: RunningSim,
    credentials: Credentials,
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

    fn settings(&self) -> SimSettings {
        let tenant = &self.tenant;
        let mut settings = SimSettings {
            seed: tenant.seed,
            last_day: self.last_day,
            days: tenant.days,
            agents: tenant.agents,
            contacts_per_day: tenant.contacts_per_day,
            timezone: self.timezone.clone(),
            media_base_url: tenant.media_base_url.clone(),
            bulk_bytes: tenant.bulk_bytes,
            odd_names: tenant.odd_names,
            ..SimSettings::default()
        };
        if tenant.irregular {
            settings = settings.irregular();
        }
        if let Some(limits) = &self.limits {
            settings.playback_requests = limits.playback_limit;
        }
        settings
    }
}

impl Simulator {
    /// Starts it on the present runtime.
    pub async fn start(wanted: &Wanted) -> Result<Simulator, Failure> {
        let settings = wanted.settings();
        let credentials = settings.credentials.clone();
        let running = Sim::start(settings, wanted.listen, Arc::new(SystemClock)).await.map_err(|error| {
            Failure::failed(error)
                .remedy("choose another address or port, or port 0 for any free one: --listen 127.0.0.1:0")
        })?;
        if let Some(limits) = &wanted.limits {
            running.switch(|switches| {
                switches.playback_window_s = whole_seconds(limits.playback_window);
                switches.token_life_s = whole_seconds(limits.token_life);
                if let Some(life) = limits.link_life {
                    switches.link_life_s = whole_seconds(life);
                }
            });
        }
        Ok(Simulator { running, credentials })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The secret of its access key; simulated, so no secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.credentials.access_key_secret
    }

    /// The secret of its client; simulated likewise.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.credentials.client_secret
    }

    /// The configuration that mounts it.
    #[must_use]
    pub fn config_toml(&self, state: &Path, cache: &Path, secret_file: &Path) -> String {
        self.running.config_toml(state, cache, secret_file)
    }

    /// The same with its client, for the OpenID Connect login.
    #[must_use]
    pub fn config_toml_with_client(
        &self,
        workspace: &Workspace,
        secret_file: &Path,
        client_secret_file: &Path,
    ) -> String {
        let login = Login::Oidc { client_secret_file };
        self.running.config_toml_for(login, &workspace.state(), &workspace.cache(), secret_file)
    }
}

/// The switchboard counts seconds: rounded up, so that nothing becomes 0.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::config::env::Environment;
    use crate::config::{ConfigFile, Host, Sources, resolve};

    fn tenant() -> TenantArgs {
        TenantArgs {
            seed: 1,
            days: 3,
            agents: 8,
            contacts_per_day: 40,
            last_day: None,
            timezone: Some(jiff::tz::TimeZone::get("America/New_York").unwrap()),
            odd_names: false,
            irregular: false,
            bulk_bytes: None,
            media_base_url: None,
        }
    }

    #[test]
    fn the_last_day_is_today_where_the_tenant_is() {
        let clock = ManualClock::new("2026-11-02T03:00:00Z".parse().unwrap());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let wanted = Wanted::settle(tenant(), None, listen, &clock);
        assert_eq!(wanted.last_day.to_string(), "2026-11-01");
        let day: Day = "2026-01-05".parse().unwrap();
        let wanted = Wanted::settle(TenantArgs { last_day: Some(day), ..tenant() }, None, listen, &clock);
        assert_eq!(wanted.last_day, day);
    }

    #[tokio::test]
    async fn its_configuration_is_one_that_we_read() {
        let clock = ManualClock::new("2026-11-02T13:00:00Z".parse().unwrap());
        let wanted = Wanted::settle(tenant(), None, SocketAddr::from(([127, 0, 0, 1], 0)), &clock);
        let simulator = Simulator::start(&wanted).await.unwrap();
        let workspace = crate::cli::workspace::Workspace::create(None).unwrap();
        let secret = workspace.write_secret(simulator.secret()).unwrap();
        let client = workspace.write_client_secret(simulator.client_secret()).unwrap();
        let text = simulator.config_toml_with_client(&workspace, &secret, &client);
        let file = Some(ConfigFile { path: "/demo.toml".into(), text });
        let host = Host { euid: rustix::process::geteuid().as_raw(), ..Host::default() };
        let config =
            resolve(&Sources { file, environment: Environment::default(), ..Sources::default() }, &host).unwrap();
        assert_eq!(config.tree.timezone.iana_name(), Some("America/New_York"));
        assert_eq!(config.tree.since.first_day(wanted.last_day).to_string(), "2026-10-31");
        assert_eq!(config.tenant.issuer.port(), Some(simulator.address().port()));
    }
}
