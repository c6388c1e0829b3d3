//! One process at a time: an advisory lock on a file, which the kernel drops with its holder, however that ends.

use std::fs::File;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// How long a just unmounted daemon may take to close its files and let go.
pub const PATIENCE: Duration = Duration::from_secs(6);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Locks `file` exclusively until it is closed. False: somebody else still has it after `patience`. Blocks the thread.
pub fn lock_exclusively(file: &File, patience: Duration) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) if waited < patience => {
                sleep(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}
