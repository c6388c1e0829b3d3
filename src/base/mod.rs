//! Words that every layer shares: ids, local days, channels, the clock.
//!
//! Knows nothing of HTTP, SQLite, files or FUSE.

pub mod channel;
pub mod choices;
pub mod clock;
pub mod crypt;
pub mod failure;
pub mod histogram;
pub mod ids;
pub mod lock;
pub mod user;
pub mod watchdog;

pub use channel::{Channel, Channels};
pub use choices::{ResolveOn, Since};
pub use clock::{Clock, SystemClock};
pub use histogram::{Counted, Histogram};
pub use ids::{AgentId, ContactId, Day, MasterId};
pub use user::UserKey;
