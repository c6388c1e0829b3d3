//! What can be changed while the tenant runs: limits, lives and faults. Plain data, readable and writable as JSON.
//!
//! A fault is one row of a matrix: an endpoint and a way to fail. To add a way to fail, add a [`Fault`] and its line in
//! `faults.rs`; nothing else names them all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::amendments::Amendments;
use super::listing::Listing;
use super::settings::{Naming, SimSettings};

/// The switchboard's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, default)]
pub struct Switches {
    pub naming: Naming,
    /// How `contacts/completed` words its pages and which windows it takes.
    pub listing: Listing,
    /// Media Playback calls answered in any window; beyond it what `throttle` says.
    pub playback_requests: u32,
    pub playback_window_s: u64,
    pub throttle: Throttle,
    /// `Retry-After` of those refusals, in seconds; real tenants send none.
    pub retry_after_s: Option<u64>,
    /// The same as it stands, such as a date; goes before the seconds.
    pub retry_after: Option<String>,
    /// How long the answers of slow interactions take.
    pub slow_ms: u64,
    /// Life of new tokens.
    pub token_life_s: u64,
    /// `expires_in` is sent as a string.
    pub expires_in_as_string: bool,
    /// Raising it makes every token given out before unknown.
    pub token_generation: u64,
    /// Life of new media links.
    pub link_life_s: u64,
    /// Where new media links lead instead of the tenant's own address, such as `http://127.0.0.1:8080`: for a proxy between.
    pub media_origin: Option<String>,
    /// Each signing of a link gives an object with another `ETag`, of the same bytes.
    pub etag_per_signing: bool,
    /// Each signing of a link gives an object with other bytes (and another `ETag`).
    pub content_per_signing: bool,
    /// Which of the documented inconsistencies every playback answer has; absent: by chance, as the settings say.
    pub playback_variant: Option<PlaybackVariant>,
    /// Moves the tenant's clock on against the machine's.
    pub clock_offset_s: i64,
    /// Wait before each answer, in milliseconds.
    pub latency_ms: BTreeMap<Endpoint, u64>,
    /// Faults; the first that matches a request and is due takes it.
    pub faults: Vec<FaultRule>,
    /// What is otherwise than the seed says.
    pub amendments: Amendments,
}

/// How a spent limit is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// 429.
    #[default]
    TooMany,
    /// 403 "Limit Exceeded", as the gateway does.
    LimitExceeded,
}

/// What a request is for. Limits, delays, faults and counters go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Both ways to a token.
    Login,
    /// Both well-known documents.
    Discovery,
    /// `contacts/completed`.
    Completed,
    /// Everything else under `incontactapi/services`.
    Admin,
    /// All of `media-playback`.
    Playback,
    /// The storage that media links lead to.
    Media,
}

impl Endpoint {
    /// All of them, for tests that go through a matrix.
    pub const ALL: [Endpoint; 6] = [
        Endpoint::Login,
        Endpoint::Discovery,
        Endpoint::Completed,
        Endpoint::Admin,
        Endpoint::Playback,
        Endpoint::Media,
    ];
}

/// A fault and when it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    pub endpoint: Endpoint,
    pub fault: Fault,
    /// Matching requests to let through first; counts down.
    #[serde(default)]
    pub after: u32,
    /// How often it strikes; counts down and is removed at 0. Absent: always.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only requests whose path and query (as sent) hold this text.
    #[serde(default)]
    pub path_contains: Option<String>,
}

impl FaultRule {
    /// A fault that strikes every request to an endpoint.
    #[must_use]
    pub fn always(endpoint: Endpoint, fault: Fault) -> FaultRule {
        FaultRule { endpoint, fault, after: 0, times: None, path_contains: None }
    }

    /// A fault that strikes the next `times` requests to an endpoint.
    #[must_use]
    pub fn next(endpoint: Endpoint, fault: Fault, times: u32) -> FaultRule {
        FaultRule { times: Some(times), ..FaultRule::always(endpoint, fault) }
    }
}

/// A way to fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers with a status and the endpoint's usual error body instead of doing anything.
    Status {
        status: u16,
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// Answers with exactly this; `application/json` unless a header says otherwise.
    Answer {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
    },
    /// Answers with a status, an empty body and the reason in the header `icStatusDescription`.
    HeaderOnly { status: u16 },
    /// Answers 307 to another place.
    Redirect { location: String },
    /// Never answers.
    Hang,
    /// Answers after a while.
    Delay { ms: u64 },
    /// Closes the connection without an answer.
    Drop,
    /// Sends the head at once and the body's first byte after a while.
    SlowFirstByte { ms: u64 },
    /// Cuts the connection after so many bytes of the body.
    CutAfter { bytes: u64 },
    /// Sends so many bytes of the body and then nothing more, with the connection open.
    StallAfter { bytes: u64 },
    /// Sends the body at this rate.
    Trickle { bytes_per_s: u64 },
    /// Answers 200 with this text as the body, whatever was asked.
    Garbage { body: String },
    /// Answers 200 with an endless body.
    Endless,
    /// The body is cut short in a consistent answer: fewer bytes, and a length that says so.
    Truncate { bytes: u64 },
    /// `Content-Length` is larger than the body by so much.
    WrongLength { by: u64 },
    /// The body is longer by so many bytes in an answer whose length says so.
    LongBody { bytes: u64 },
    /// The same, with no length.
    LongChunkedBody { bytes: u64 },
    /// No `Content-Length`: the body ends where it ends.
    NoLength,
    /// One byte of the body is another.
    FlipByte { at: u64 },
    // Storage only.
    /// Ranges are ignored: 200 and everything.
    RefuseRange,
    /// `Content-Range` speaks of a range that begins so much later than the bytes sent.
    WrongContentRange { by: u64 },
    /// `Content-Range` states a total that is larger by so much.
    WrongTotal { by: u64 },
    /// No `ETag`.
    NoEtag,
    /// The object has changed: other bytes, another `ETag`.
    Changed { version: u64 },
}

/// The documented inconsistencies of playback answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct PlaybackVariant {
    /// `Interactions` instead of `interactions`.
    pub capital_key: bool,
    /// The whole stands under `value`.
    pub value_wrapper: bool,
    /// Each element stands under `Interaction`.
    pub element_wrapper: bool,
    /// `filetoplayurl` instead of `fileToPlayUrl`.
    pub lower_case_url: bool,
    /// `isCustomerRestricted` instead of `customerRestricted`.
    pub is_restricted: bool,
    /// `dfoStages"` with a stray quote.
    pub stray_quote: bool,
    /// Where there is no recording, the URL is an empty text (otherwise null or missing).
    pub empty_url: bool,
}

impl Switches {
    /// The state with which a tenant starts.
    #[must_use]
    pub fn of(settings: &SimSettings) -> Switches {
        Switches {
            naming: settings.naming,
            listing: settings.listing.clone(),
            playback_requests: settings.playback_requests,
            ..Switches::default()
        }
    }

    /// Takes the fault that is due for a request, counting down the rules that match it.
    pub(super) fn take_fault(&mut self, endpoint: Endpoint, path: &str) -> Option<Fault> {
        let matches = |rule: &FaultRule| {
            rule.endpoint == endpoint && rule.path_contains.as_ref().is_none_or(|text| path.contains(text.as_str()))
        };
        let mut due = None;
        for (index, rule) in self.faults.iter_mut().enumerate().filter(|(_, rule)| matches(rule)) {
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if rule.times == Some(0) {
                continue;
            }
            due = Some(index);
            break;
        }
        let index = due?;
        let fault = self.faults[index].fault.clone();
        if let Some(times) = &mut self.faults[index].times {
            *times -= 1;
            if *times == 0 {
                self.faults.remove(index);
            }
        }
        Some(fault)
    }
}

impl Default for Switches {
    /// A well-behaved tenant with the documented limits.
    fn default() -> Switches {
        Switches {
            naming: Naming::Current,
            listing: Listing::default(),
            playback_requests: 150,
            playback_window_s: 300,
            throttle: Throttle::TooMany,
            retry_after_s: None,
            retry_after: None,
            slow_ms: 0,
            token_life_s: 3600,
            expires_in_as_string: false,
            token_generation: 0,
            link_life_s: 900,
            media_origin: None,
            etag_per_signing: false,
            content_per_signing: false,
            playback_variant: None,
            clock_offset_s: 0,
            latency_ms: BTreeMap::new(),
            faults: Vec::new(),
            amendments: Amendments::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_let_through_strike_and_go() {
        let mut rule = FaultRule::next(Endpoint::Media, Fault::Hang, 2);
        rule.after = 1;
        let mut switches = Switches { faults: vec![rule], ..Switches::default() };
        assert_eq!(switches.take_fault(Endpoint::Login, "/"), None);
        let taken: Vec<bool> = (0..4).map(|_| switches.take_fault(Endpoint::Media, "/").is_some()).collect();
        assert_eq!(taken, [false, true, true, false]);
        assert_eq!(switches.faults, []);
    }

    #[test]
    fn rules_can_name_a_path() {
        let mut rule = FaultRule::always(Endpoint::Media, Fault::Drop);
        rule.path_contains = Some(String::from("7_2"));
        let mut switches = Switches { faults: vec![rule], ..Switches::default() };
        assert_eq!(switches.take_fault(Endpoint::Media, "/media/7_1.mp4"), None);
        assert_eq!(switches.take_fault(Endpoint::Media, "/media/7_2.mp4"), Some(Fault::Drop));
    }

    #[test]
    fn a_few_words_of_json_are_enough() {
        let json = r#"{"link_life_s": 2, "latency_ms": {"playback": 5},
            "faults": [{"endpoint": "media", "fault": {"kind": "cut_after", "bytes": 10}, "times": 1}]}"#;
        let switches: Switches = serde_json::from_str(json).unwrap();
        assert_eq!(switches.link_life_s, 2);
        assert_eq!(switches.faults, [FaultRule::next(Endpoint::Media, Fault::CutAfter { bytes: 10 }, 1)]);
        let again: Switches = serde_json::from_str(&serde_json::to_string(&switches).unwrap()).unwrap();
        assert_eq!(again, switches);
        assert!(serde_json::from_str::<Switches>(r#"{"link_life": 2}"#).is_err());
    }
}
