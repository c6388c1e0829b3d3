//! Starting and stopping a tenant, and the handle of one that runs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config_text::{self, Login};
use super::counters::CounterValues;
use super::dispatch;
use super::faults::unless_closing;
use super::handed::HandedOut;
use super::settings::SimSettings;
use super::state::{PlaybackArrival, Tenant};
use super::switches::Switches;
use super::truth::{self, TruthInteraction};
use super::world::World;
use crate::base::{Clock, Day};

/// How long open connections are given when a tenant stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Starts simulated tenants.
#[derive(Clone, Copy, Debug)]
pub struct Sim;

/// A tenant could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address could not be bound.
    #[error("the simulated tenant cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
}

impl Sim {
    /// Binds `listen` (port 0: any free one) and serves a tenant there, in tasks of the current tokio runtime, until the handle
    /// is shut down or dropped. The clock is the tenant's own; see [`Switches::clock_offset_s`].
    pub async fn start(
        settings: SimSettings,
        listen: SocketAddr,
        clock: Arc<dyn Clock>,
    ) -> Result<RunningSim, SimError> {
        let failed = |source| SimError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let mut address = listener.local_addr().map_err(failed)?;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let (stop, closing) = watch::channel(false);
        let tenant = Arc::new(Tenant::new(settings, format!("http://{address}"), clock, closing.clone()));
        let router = Router::new().fallback(dispatch::serve).with_state(tenant.clone());
        let listener = listener.tap_io(|stream| {
            // Small answers must not wait for one another; where this fails they only come later.
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let stopped = async move { unless_closing(&closing, std::future::pending()).await };
            // Serving ends only by the signal: failures to accept are retried inside.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        });
        tracing::debug!(url = %tenant.url, "simulated tenant listens");
        Ok(RunningSim { tenant, address, stop, server })
    }
}

/// A tenant that runs.
pub struct RunningSim {
    tenant: Arc<Tenant>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl RunningSim {
    /// Where it is reached, without a slash at the end: issuer, API and playback endpoint in one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.tenant.url
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counts of this moment.
    #[must_use]
    pub fn counters(&self) -> CounterValues {
        self.tenant.counts()
    }

    /// Media Playback calls that arrived since the counts were reset, refused ones too, in order.
    #[must_use]
    pub fn playback_arrivals(&self) -> Vec<PlaybackArrival> {
        self.tenant.playback_arrivals()
    }

    /// A copy of the switchboard; rules have counted down as far as they struck.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.tenant.switches()
    }

    /// Changes the switchboard; requests that come after this see it.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.tenant.change(change);
    }

    /// Sets the counts and the playback limit's memory back.
    pub fn reset_counters(&self) {
        self.tenant.reset_counts();
    }

    /// Sets counts, limit and switchboard back to how they were at the start.
    pub fn reset(&self) {
        self.tenant.reset();
    }

    /// What must stay secret of what this tenant handed out, now and from now on.
    #[must_use]
    pub fn handed_out(&self) -> HandedOut {
        self.tenant.handed_out.clone()
    }

    /// The population.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.tenant.world
    }

    /// Everything that is true of the population, by day; the same as `GET /__sim/truth`.
    #[must_use]
    pub fn truth(&self) -> Vec<TruthInteraction> {
        let settings = self.tenant.settings();
        let days = settings.first_day().0..=settings.last_day.0;
        days.flat_map(|day| truth::of_day(&self.tenant.world, Day(day))).collect()
    }

    /// A configuration that mounts this tenant with its access key. The caller writes the key's secret,
    /// [`super::Credentials::access_key_secret`], into `secret_file`.
    #[must_use]
    pub fn config_toml(&self, state_dir: &Path, cache_dir: &Path, secret_file: &Path) -> String {
        config_text::config_toml(&self.tenant, Login::AccessKey, state_dir, cache_dir, secret_file)
    }

    /// The same for either login.
    #[must_use]
    pub fn config_toml_for(&self, login: Login<'_>, state_dir: &Path, cache_dir: &Path, secret_file: &Path) -> String {
        config_text::config_toml(&self.tenant, login, state_dir, cache_dir, secret_file)
    }

    /// Stops: no more requests are taken, what hangs gives up, and after two seconds what is left is abandoned.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if timeout(FAREWELL, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for RunningSim {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.server.abort();
    }
}
