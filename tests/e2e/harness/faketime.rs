//! Another time of day for the program: libfaketime, told through a file. Waiting goes on as ever, and files keep their times.

use std::ffi::OsString;
use std::path::PathBuf;

use cxonefs::base::{Clock, SystemClock};
use jiff::Timestamp;

use super::mount::Environment;
use super::sandbox::Sandbox;
use super::tool::sh;

/// The clock of the programs that have its environment.
pub struct FakeTime {
    library: PathBuf,
    told: PathBuf,
}

impl FakeTime {
    /// A clock that is right until it is set.
    pub fn new(sandbox: &Sandbox) -> FakeTime {
        let found =
            sh("ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 2>/dev/null || true").ok();
        let Some(library) = found.stdout.lines().next().map(PathBuf::from) else {
            panic!("these tests need libfaketime; tests/README.md says what to install")
        };
        let clock = FakeTime { library, told: sandbox.path("time") };
        clock.ahead(0);
        clock
    }

    /// What a program needs to go by it.
    pub fn environment(&self) -> Environment {
        let on = || OsString::from("1");
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.told.clone().into()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("NO_FAKE_STAT", on()),
        ]
    }

    /// It is this time from now on, and time passes.
    pub fn set(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.ahead(time.as_second() - SystemClock.now().as_second());
    }

    /// So many seconds before (or, negative, behind) the true time.
    fn ahead(&self, seconds: i64) {
        let new = self.told.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        // Nobody may read half of it.
        std::fs::rename(&new, &self.told).unwrap();
    }
}
