//! The moment at which the program has nothing under way.

use std::time::Duration;

use serde_json::Value;

use super::mount::Mount;
use super::waiting::wait_for;

/// Waits until nothing is being resolved or fetched, no file is open and no media host is waited for; gives the status of that moment.
pub fn settled(mount: &Mount, within: Duration) -> Result<Value, String> {
    let mut last = Value::Null;
    let settled = wait_for(within, || {
        last = mount.status();
        let work = &last["work"];
        let idle = ["resolving", "sizes", "fetches"].iter().all(|what| work[what] == 0);
        // What is closed is so a moment later, and a reader of a map holds what others opened, too, until it leaves.
        let closed = last["kernel"]["open_files"] == 0;
        (idle && closed && last["media"]["hosts"].as_array().is_some_and(Vec::is_empty)).then_some(())
    });
    settled
        .map(|()| last.clone())
        .ok_or_else(|| format!("still under way: {}, {}, {}", last["work"], last["media"], last["kernel"]))
}
