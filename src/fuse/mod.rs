//! The adapter between the kernel and the tree: translate, reply, errno table. No decisions.
//!
//! The only module that names a type of the `fuser` crate, whose next release changes several of them.

mod absent;
mod adapter;
mod answer;
mod attributes;
mod door;
mod errno;
mod fresh;
mod handles;
mod inodes;
mod kept;
mod listings;
mod meters;
mod mount;
mod notices;
mod parked;
mod passthrough;
mod process;
mod readahead;
mod rechecks;
mod stacking;
mod told;
mod unmount;

pub use attributes::Ownership;
pub use door::Door;
pub use fresh::start_keeping_fresh;
pub use meters::{Measured, Meters, OPERATIONS, Slow};
pub use mount::{FuseError, MountOptions, Mounted, PassthroughBooks, SUBTYPE, mount};
pub use notices::{NoticeQueue, notices};
pub use passthrough::PassthroughState;
pub use process::principal;
pub use unmount::{Busy, can_be_helped, unmount};
