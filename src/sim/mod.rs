//! A simulated tenant: an HTTP server that behaves like CXone as far as its public clients can tell, and its recordings.
//!
//! Serves the `demo` and `simulate` commands, the end-to-end tests and the benchmarks. It must not use the rest of the
//! crate, except [`crate::base`]: a mistake shared by client and tenant would go unseen.
//!
//! Nothing is stored. The population and every byte of every recording are pure functions of [`SimSettings`], so a tenant of
//! millions of calls starts at once, and a restarted one is the same.
//!
//! ```text
//! request → dispatch → (login, reporting, playback, storage, control) → world → recordings
//!              │                                                          draft, people
//!              └ faults, counters, state (clock, switchboard, limit)
//! ```
//!
//! What it does not simulate: data extraction, legacy files, Interaction Analytics, the facade's host (a client is given the
//! playback endpoint), TLS.

mod amendments;
mod answers;
mod config_text;
mod control;
mod counters;
mod dates;
mod dispatch;
mod draft;
mod faults;
mod handed;
mod interaction;
mod listing;
mod login;
mod mix;
mod moods;
mod people;
mod playback;
mod playback_body;
mod range;
mod record;
mod recordings;
mod reporting;
mod running;
mod settings;
mod state;
mod storage;
mod switches;
#[cfg(test)]
mod tests;
mod tokens;
mod truth;
mod window;
mod world;

pub use self::amendments::Amendments;
pub use self::config_text::Login;
pub use self::counters::CounterValues;
pub use self::handed::HandedOut;
pub use self::interaction::{Element, ElementKind, Interaction, Leg, Outcome};
pub use self::listing::{Envelope, Listing, Next, Total};
pub use self::moods::Mood;
pub use self::people::Agent;
pub use self::recordings::Recording;
pub use self::running::{RunningSim, Sim, SimError};
pub use self::settings::{Credentials, Naming, Shares, SimSettings};
pub use self::state::PlaybackArrival;
pub use self::switches::{Endpoint, Fault, FaultRule, PlaybackVariant, Switches, Throttle};
pub use self::truth::{TruthInteraction, TruthLeg, TruthMedia};
pub use self::world::World;
