//! The adapter between the kernel and the tree: translate, reply, errno table. No decisions.
//!
//! The only module that names a type of the `fuser` crate, whose next release changes several of them.

mod adapter;
mod answer;
mod device;
mod errno;
mod mount;
mod notices;
mod parked;
mod passthrough;
mod process;
mod readahead;
mod stacking;
mod told;
mod unmount;

pub use mount::{FuseError, MountOptions, Mounted, PassthroughBooks, SUBTYPE, mount};
pub use notices::{NoticeQueue, notices};
pub use passthrough::PassthroughState;
pub use process::principal;
pub use unmount::{Busy, can_be_helped, unmount};
