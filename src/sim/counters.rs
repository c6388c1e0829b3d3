//! What the tenant has been asked, in numbers. Tests assert on these ("`ls -lR` made no playback call").

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::switches::Endpoint;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The running counts. Requests made under `/__sim/` are never counted.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct CounterValues {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(super) fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.load(Relaxed),)* }
            }

            pub(super) fn reset(&self) {
                $(self.$name.store(0, Relaxed);)*
            }
        }
    };
}

counters! {
    /// Requests for a token, refused ones too.
    logins,
    /// Tokens given out.
    tokens_issued,
    /// Requests for either well-known document.
    discovery,
    /// Pages of `contacts/completed`, empty ones too.
    completed_pages,
    /// Contact records sent.
    completed_records,
    /// Other requests to Reporting and Admin.
    admin,
    /// All Media Playback requests, whatever became of them.
    playback_calls,
    /// Media Playback calls answered with 200 or 404: those that are billed.
    playback_billed,
    /// Media Playback calls refused for the limit.
    playback_429,
    /// The most Media Playback calls that fell into any one window, refused ones too.
    playback_peak_window,
    /// Requests to the storage.
    media_requests,
    /// Links that led to a redirect and were followed there.
    media_redirects,
    /// Bytes of media bodies handed to connections.
    media_bytes,
    /// 403 from the storage: expired, unsigned or wrongly signed links, and HEAD.
    media_403,
    /// Requests to the storage that carried an `Authorization` header.
    media_with_authorization,
    /// 401 given to requests with no valid token.
    unauthorized,
    /// Faults that struck.
    faults,
    /// Requests to no known place.
    unknown,
}

impl Counters {
    /// Counts one.
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a request to an endpoint.
    pub(super) fn request(&self, endpoint: Endpoint) {
        Counters::add(match endpoint {
            Endpoint::Login => &self.logins,
            Endpoint::Discovery => &self.discovery,
            Endpoint::Completed => &self.completed_pages,
            Endpoint::Admin => &self.admin,
            Endpoint::Playback => &self.playback_calls,
            Endpoint::Media => &self.media_requests,
        });
    }
}
