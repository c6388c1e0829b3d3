//! The tenant over HTTP: login, discovery, reporting, media playback, the limiter for billed calls.
//!
//! Knows no files, no directories, no SQLite. Tokens and signed links live in memory only and never reach a log,
//! an error text or a `Debug` output.
//!
//! | module | what it decides or does |
//! | --- | --- |
//! | `address` | which URLs may be talked to at all |
//! | `http` | one bounded exchange; `body` its bytes as UTF-8, `text` what of the server's words may be repeated |
//! | `login`, `jwt` | one login, by access key or by password grant |
//! | `endpoints` | discovery and overrides → where the APIs are |
//! | `auth` | the session: one login for all who need one |
//! | `retry` | whether and when a free call is tried again |
//! | `reporting`, `paging`, `contact`, `shape`, `gather` | the listing: requests, page plan, one record, its text, all records |
//! | `playback`, `interaction`, `link`, `scrub` | the billed call: request, document, signed link, what may be stored |
//! | `verdict` | what an answer to it means that brings no document |
//! | `lenient`, `instant` | numbers, booleans, texts and times in every spelling seen |
//! | `counters` | how many requests were made |
//! | [`limiter`] | when the next billed call may be made |
//! | [`breaker`] | whether a service is worth asking at all |

mod address;
pub mod auth;
mod body;
mod client;
mod counters;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod instant;
mod lenient;
pub mod model;
mod playback;
mod reporting;
mod retry;
mod settings;
mod tenant;
#[cfg(test)]
mod tests;
mod text;
mod weight;

pub use address::is_loopback;
pub use auth::identity::TenantIdentity;
pub use auth::session::CredentialsSource;
pub use auth::session::LoginState;
pub use model::{
    ChangesAnswer, ChatMessage, ContactRecord, ContactsAnswer, EmailContent, Playback, PlaybackAnswer, PlaybackItem,
    Refusal, RefusalKind, Whose,
};
pub use reporting::progress::ListingProgress;
pub use reporting::shape::RecordJson;
pub use settings::{CallTimes, ClientCredentials, Credentials, TenantSettings};
pub use tenant::{Service, Tenant};
