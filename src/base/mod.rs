//! Words that every layer shares: ids, local days, channels, the clock.
//!
//! Knows nothing of HTTP, SQLite, files or FUSE.

pub mod accounts;
pub mod cause;
pub mod channel;
pub mod choices;
pub mod clock;
pub mod complain;
pub mod crypt;
pub mod failure;
pub mod histogram;
pub mod ids;
pub mod lock;
pub mod locked;
pub mod machine;
pub mod mounts;
pub mod shown;
pub mod span;
pub mod user;
pub mod user_name;
pub mod watchdog;

pub use cause::chain;
pub use channel::{Channel, Channels};
pub use choices::{Export, ResolveOn, Since};
pub use clock::{Clock, SystemClock};
pub use complain::complain;
pub use histogram::{Counted, Histogram};
pub use ids::{AgentId, ContactId, Day, MasterId};
pub use shown::{shown, shown_lines};
pub use user::UserKey;
pub use user_name::user_words;
