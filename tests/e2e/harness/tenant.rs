//! The simulated tenant, in this process on a runtime of its own, so that a busy test never slows its answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cxonefs::base::SystemClock;
use cxonefs::sim::{
    CounterValues, Endpoint, Fault, FaultRule, HandedOut, PlaybackArrival, RunningSim, Shares, Sim, SimSettings,
    Switches,
};
use cxonefs::sim::{TruthInteraction, World};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::http;

/// A tenant that runs, or that has been shut down.
pub struct Tenant {
    runtime: Runtime,
    settings: SimSettings,
    address: SocketAddr,
    running: Option<RunningSim>,
    secrets: Secrets,
}

/// What all tenants at one address handed out.
pub type Secrets = Arc<Mutex<Vec<HandedOut>>>;

/// The tenant of most tests: a few days in a zone with a change of daylight saving time on one of them, all of them closed. It is an irregular one:
/// its totals count the page, records come under both sets of names, with dates in every form and channels by name, links redirect. What is
/// true of it is what [`regular`] has.
pub fn settings(agents: u32, contacts_per_day: u32) -> SimSettings {
    let mut settings = regular(agents, contacts_per_day).irregular();
    // Texts are compared with the answers, word for word: `tenants` has those that are not alike.
    (settings.shares.several_emails, settings.shares.epoch_times) = (0, 0);
    settings
}

/// The same as its records and answers are documented, for tests of what only such a tenant does.
pub fn regular(agents: u32, contacts_per_day: u32) -> SimSettings {
    let timezone = TimeZone::get("America/New_York").unwrap();
    SimSettings { agents, contacts_per_day, timezone, recording_seconds: (2.0, 40.0), ..SimSettings::default() }
}

/// The same with nothing but plain calls of one day.
pub fn plain(agents: u32, contacts_per_day: u32) -> SimSettings {
    let shares = Shares::plain();
    SimSettings { shares, days: 1, midnight_transfer: false, ..regular(agents, contacts_per_day) }
}

impl Tenant {
    pub fn start(settings: SimSettings) -> Tenant {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut tenant = Tenant {
            runtime,
            settings,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            running: None,
            secrets: Secrets::default(),
        };
        tenant.start_again();
        tenant
    }

    /// At the same address as before.
    pub fn start_again(&mut self) {
        let sim = Sim::start(self.settings.clone(), self.address, Arc::new(SystemClock));
        let running = self.runtime.block_on(sim).unwrap();
        self.address = running.address();
        self.secrets.lock().unwrap().push(running.handed_out());
        self.running = Some(running);
    }

    /// Where what it hands out is written down.
    pub fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    /// Tokens and signatures of links that it handed out so far.
    pub fn handed_out(&self) -> Vec<String> {
        self.secrets.lock().unwrap().iter().flat_map(HandedOut::secrets).collect()
    }

    /// From now on its address refuses connections.
    pub fn shut_down(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn sim(&self) -> &RunningSim {
        self.running.as_ref().expect("the tenant was shut down")
    }

    pub fn counters(&self) -> CounterValues {
        self.sim().counters()
    }

    /// When billed calls arrived since the counts were set to zero, in order.
    pub fn playback_arrivals(&self) -> Vec<PlaybackArrival> {
        self.sim().playback_arrivals()
    }

    /// Sets the counts to zero.
    pub fn reset_counters(&self) {
        self.sim().reset_counters();
    }

    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.sim().switch(change);
    }

    /// Lets every request of a kind fail from now on.
    pub fn fail(&self, endpoint: Endpoint, fault: Fault) {
        self.switch(|switches| switches.faults.push(FaultRule::always(endpoint, fault)));
    }

    /// No faults any more.
    pub fn heal(&self) {
        self.switch(|switches| switches.faults.clear());
    }

    pub fn truth(&self) -> Vec<TruthInteraction> {
        self.sim().truth()
    }

    pub fn world(&self) -> &World {
        self.sim().world()
    }

    pub fn settings(&self) -> &SimSettings {
        &self.settings
    }

    /// A configuration that mounts it.
    pub fn config_toml(&self, state: &std::path::Path, cache: &std::path::Path, secret: &std::path::Path) -> String {
        self.sim().config_toml(state, cache, secret)
    }

    fn token(&self) -> String {
        let credentials = &self.settings.credentials;
        let body = json!({
            "accessKeyId": credentials.access_key_id,
            "accessKeySecret": credentials.access_key_secret,
        });
        let head = "POST /authentication/v1/token/access-key\nContent-Type: application/json";
        let (status, body) = http::request(self.address, head, &body.to_string());
        assert_eq!(status, 200);
        serde_json::from_slice::<Value>(&body).unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// Every reporting record, as the tenant lists it.
    pub fn reported(&self) -> Vec<Value> {
        let (token, mut records) = (self.token(), Vec::new());
        loop {
            let path = format!(
                "/incontactapi/services/v30.0/contacts/completed?startDate=2020-01-01T00:00:00Z&endDate=2030-01-01T00:00:00Z\
                 &orderBy=contactStart&top=1000&skip={}",
                records.len()
            );
            let page = http::get_json(self.address, &token, &path);
            let rows = ["completedContacts", "CompletedContacts"].iter().find_map(|key| page[key].as_array().cloned());
            let rows = rows.unwrap_or_default();
            let last = rows.len() < 1000;
            records.extend(rows);
            if last {
                return records;
            }
        }
    }

    /// What Media Playback answers, if it knows the interaction.
    pub fn played(&self, master: i64) -> Value {
        let path = format!(
            "/media-playback/v1/contacts?acd-call-id={master}&media-type=all&exclude-waveforms=true&exclude-qm-categories=true"
        );
        http::get_json(self.address, &self.token(), &path)
    }
}
