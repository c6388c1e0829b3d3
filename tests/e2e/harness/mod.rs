//! What every theme stands on. Must not know what is tested.
//!
//! ```text
//! Drive = Tenant (the simulator, in this process) + Sandbox (directories) + Mount (the program, as a child)
//! CaseDrive = CaseTenant (plays a case file; nothing of the product) + the same
//! ```

mod bytes;
mod corporate;
mod descriptors;
#[allow(dead_code, reason = "what the themes do not need yet")]
mod double;
mod drive;
mod faketime;
mod http;
mod leaks;
mod mount;
pub mod packages;
mod proxy;
mod sandbox;
mod schema;
mod settled;
mod tenant;
mod tool;
mod tree;
mod waiting;

pub use self::bytes::{assert_same_bytes, read_at, true_bytes};
pub use self::corporate::{Authority, Connecting, listen, read_head};
pub use self::descriptors::Descriptors;
#[allow(unused_imports, reason = "what the themes do not need yet")]
pub use self::double::{
    Answer, Answers, Case, CaseDrive, CaseTenant, Kind, List, ListMode, OBJECT_BYTES, Object, Seen, object, xattr,
};
pub use self::drive::{Drive, NO_LIMIT};
pub use self::faketime::FakeTime;
pub use self::http::request;
pub use self::mount::{Ended, Environment, Mount, binary, cxonefs, daemons_of, mount_at};
pub use self::proxy::{Proxy, Weather};
pub use self::sandbox::Sandbox;
pub use self::schema::assert_matches;
pub use self::settled::settled;
pub use self::tenant::{Tenant, plain, regular, settings};
pub use self::tool::{Done, Running, Tool, sh, tool};
pub use self::tree::{Place, Tree, recording_name};
pub use self::waiting::{eventually, wait_for};

/// Whether everything is to be run, whatever time it takes: `scripts/test --full`.
pub fn is_full() -> bool {
    std::env::var_os("CXONEFS_TEST_FULL").is_some_and(|value| value == "1")
}
