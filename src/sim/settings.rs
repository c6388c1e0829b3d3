//! What a simulated tenant is made of. Everything that can be asked of the tenant follows from these numbers and the clock.

use jiff::tz::TimeZone;
use url::Url;

use super::listing::{Listing, Next, Total};
use crate::base::Day;

/// The population and the fixed traits of a simulated tenant. What may change while it runs stands in [`super::Switches`].
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// Another seed gives other people, times, channels and recordings; the ids depend on day and place only.
    pub seed: u64,
    /// The last local day with contacts; contacts that have not ended by the clock are not listed yet.
    pub last_day: Day,
    /// How many local days have contacts.
    pub days: u32,
    /// How many agents there are.
    pub agents: u32,
    /// Interactions that begin with each agent on each day.
    pub contacts_per_day: u32,
    /// The tenant's working hours and days are in this zone.
    pub timezone: TimeZone,
    /// Field names with which it starts; see [`super::Switches::naming`].
    pub naming: Naming,
    /// How it lists at first; see [`super::Switches::listing`].
    pub listing: Listing,
    /// Recordings are linked as `{media_base_url}/{master}_{n}.mp4?…` instead of at the built-in storage.
    pub media_base_url: Option<Url>,
    /// Seconds of a recording: the shortest and the longest.
    pub recording_seconds: (f64, f64),
    /// Every recording is this many pseudo-random bytes instead of an mp4; for benchmarks.
    pub bulk_bytes: Option<u64>,
    /// Every other agent gets a name that makes trouble (`people.rs` lists them).
    pub odd_names: bool,
    /// One call of each day begins before and is transferred after midnight.
    pub midnight_transfer: bool,
    pub shares: Shares,
    pub credentials: Credentials,
    /// The tenant's uuid.
    pub tenant_id: String,
    /// Media Playback calls that are answered in any window; see [`super::Switches`].
    pub playback_requests: u32,
}

/// Which field names `contacts/completed` uses; both are in use, whatever the version in the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// `contactStart`, `fromAddr`, `mediaType`, `ACWSeconds`, …
    Old,
    /// `contactStartDate`, `fromAddress`, `mediaTypeId`, `acwSeconds`, …
    #[default]
    Current,
    /// Either, record by record.
    Mixed,
}

/// How much of the population has which trait, in per mille.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    // Of all interactions; the rest are calls.
    pub chat: u32,
    pub email: u32,
    pub voicemail: u32,
    pub sms: u32,
    pub digital: u32,
    pub social: u32,
    pub work: u32,
    // Of the calls.
    /// A second leg follows, as a rule with another agent.
    pub transferred: u32,
    /// No agent, no recording.
    pub abandoned: u32,
    /// The agent's screen is recorded with the voice.
    pub screen: u32,
    /// Two elements in the answer, each with media.
    pub elevated: u32,
    // Of the calls, voicemails and elevated ones.
    /// Media Playback answers 404.
    pub unrecorded: u32,
    /// Media Playback answers with an element that has no URL.
    pub without_url: u32,
    // Of the reporting records.
    /// Numbers and booleans as strings, durations with thousands commas.
    pub stringly: u32,
    /// Optional fields are null or missing.
    pub nulls: u32,
    /// Changed again, hours after they were first listed.
    pub late_update: u32,
    /// Listed only days after they ended, when their day is long closed.
    pub late_listed: u32,
    /// The channel stands in `mediaTypeName` or as a word in `mediaType`.
    pub type_by_name: u32,
    /// Times as `11/2/2026 8:09:00 AM`, `/Date(1793606940000)/`, or with seven decimals.
    pub odd_dates: u32,
    // Of the playback answers.
    /// Each documented inconsistency, on its own (`cxone-api` 3.4).
    pub variant: u32,
    /// Of the emails: two in one answer.
    pub several_emails: u32,
    /// Of the chats: message times in epoch milliseconds.
    pub epoch_times: u32,
    /// Of the unrecorded: "Interaction Not Found" under 400.
    pub not_found_by_400: u32,
    // Of all interactions, one mood each; the rest are fine.
    /// Playback always refuses them, each in one of several ways.
    pub refused: u32,
    /// Playback always answers 500.
    pub failing: u32,
    /// Playback answers after [`super::Switches::slow_ms`].
    pub slow: u32,
    /// The storage says that their recordings are archived.
    pub archived: u32,
    // Of the recordings.
    /// Links lead to a redirect.
    pub redirecting: u32,
}

/// What the tenant lets in. Simulated, so no secrets; they hold characters that must be encoded on the way.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub access_key_secret: String,
    pub client_id: String,
    pub client_secret: String,
}

impl Default for SimSettings {
    /// Three days, eight agents, forty contacts a day each, ending on 2026-11-02.
    fn default() -> SimSettings {
        SimSettings {
            seed: 1,
            last_day: Day(20_759),
            days: 3,
            agents: 8,
            contacts_per_day: 40,
            timezone: TimeZone::UTC,
            naming: Naming::Current,
            listing: Listing::default(),
            media_base_url: None,
            recording_seconds: (5.0, 120.0),
            bulk_bytes: None,
            odd_names: false,
            midnight_transfer: true,
            shares: Shares::default(),
            credentials: Credentials::default(),
            tenant_id: String::from(super::tokens::TENANT_ID),
            playback_requests: 150,
        }
    }
}

impl SimSettings {
    /// The same tenant, which words its records, pages and answers as the odder of real tenants do. What is true of it stays.
    #[must_use]
    pub fn irregular(self) -> SimSettings {
        let listing = Listing { total: Total::Page, next: Next::EmptyAtEnd, ..Listing::default() };
        SimSettings { shares: Shares::irregular(), listing, naming: Naming::Mixed, ..self }
    }

    /// The first local day with contacts.
    #[must_use]
    pub fn first_day(&self) -> Day {
        Day(self.last_day.0.saturating_sub(self.days.saturating_sub(1).min(100_000) as i32))
    }

    /// Whether a day has contacts of its own.
    pub(super) fn has_day(&self, day: Day) -> bool {
        self.days > 0 && self.first_day() <= day && day <= self.last_day
    }
}

impl Default for Shares {
    fn default() -> Shares {
        Shares {
            chat: 80,
            email: 60,
            voicemail: 20,
            sms: 15,
            digital: 20,
            social: 10,
            work: 15,
            transferred: 100,
            abandoned: 40,
            screen: 60,
            elevated: 10,
            unrecorded: 40,
            without_url: 20,
            stringly: 50,
            nulls: 50,
            late_update: 100,
            variant: 60,
            ..Shares::plain()
        }
    }
}

impl Shares {
    /// Only untransferred, recorded voice calls that are described without quirks: for benchmarks and simple tests.
    #[must_use]
    pub fn plain() -> Shares {
        Shares {
            chat: 0,
            email: 0,
            voicemail: 0,
            sms: 0,
            digital: 0,
            social: 0,
            work: 0,
            transferred: 0,
            abandoned: 0,
            screen: 0,
            elevated: 0,
            unrecorded: 0,
            without_url: 0,
            stringly: 0,
            nulls: 0,
            late_update: 0,
            late_listed: 0,
            type_by_name: 0,
            odd_dates: 0,
            variant: 0,
            several_emails: 0,
            epoch_times: 0,
            not_found_by_400: 0,
            refused: 0,
            failing: 0,
            slow: 0,
            archived: 0,
            redirecting: 0,
        }
    }

    /// What public clients of the service have met, besides the usual: records and answers that say the same in other words.
    #[must_use]
    pub fn irregular() -> Shares {
        Shares {
            type_by_name: 200,
            odd_dates: 300,
            several_emails: 400,
            epoch_times: 400,
            not_found_by_400: 500,
            redirecting: 300,
            ..Shares::default()
        }
    }
}

impl Default for Credentials {
    fn default() -> Credentials {
        Credentials {
            access_key_id: String::from("SIMULATEDACCESSKEYID"),
            access_key_secret: String::from("simulated+secret/with=signs&such%20ones"),
            client_id: String::from("cxonefs@simulated"),
            client_secret: String::from("simulated client:secret+/=&%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ends_where_its_documentation_says() {
        let settings = SimSettings::default();
        assert_eq!(settings.last_day.to_string(), "2026-11-02");
        assert_eq!(settings.first_day().to_string(), "2026-10-31");
        assert!(settings.has_day(settings.first_day()) && !settings.has_day(settings.last_day.next()));
        assert!(!SimSettings { days: 0, ..settings.clone() }.has_day(settings.last_day));
    }
}
