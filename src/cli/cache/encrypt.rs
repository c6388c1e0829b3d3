//! `cxonefs cache encrypt`: takes over a state directory and a cache that are in the clear, by the configured key.

use std::io::Write as _;
use std::sync::Arc;

use super::args::EncryptArgs;
use super::find;
use crate::base::failure::Failure;
use crate::base::{Clock as _, SystemClock};
use crate::catalog::Catalog;
use crate::daemon;
use crate::media::Media;
use crate::ops::AuditRecord;
use crate::tree;

const IN_USE: &str = "nothing may be mounted from it meanwhile: cxonefs umount DIR";

/// Encrypts what is there.
pub fn run(args: &EncryptArgs) -> Result<(), Failure> {
    let stores = find::stores_of(args.config.as_deref())?;
    let keys = &stores.cache.keys;
    if keys.current.is_none() {
        return Err(Failure::usage("no key is configured, so there is nothing to encrypt with").remedy(
            "name one: cache.encryption_key_file or cache.encryption_key_command; docs/ENCRYPTION.md says how",
        ));
    }
    Media::check_key(&stores.cache.dir, keys).map_err(|error| Failure::usage(error).while_doing("cache.dir"))?;
    let state = Catalog::encrypt(&stores.state_dir, keys)
        .map_err(|error| Failure::failed(error).while_doing("state.dir").remedy(IN_USE))?;
    let catalog = Catalog::open_existing(&stores.state_dir, keys)
        .map_err(|error| Failure::failed(error).while_doing("state.dir").remedy(IN_USE))?;
    // A change of what protects everything.
    if let (true, Some(catalog)) = (state, &catalog) {
        let log = daemon::audit::open(&stores.state_dir, &stores.audit, catalog, Arc::new(SystemClock))?;
        log.note(AuditRecord {
            actor: Some(daemon::audit::ourselves()),
            outcome: Some("ok".into()),
            ..AuditRecord::new("encrypt", SystemClock.now())
        });
    }
    let recordings = catalog.map(|catalog| catalog.recordings()).transpose();
    let recordings = recordings.map_err(|error| Failure::failed(error).while_doing("state.dir"))?.unwrap_or_default();
    let mut named = recordings.into_iter().map(|(master, index)| tree::recording_key(master, index));
    let cached = Media::encrypt(&stores.cache.dir, keys, &mut named)
        .map_err(|error| Failure::failed(error).while_doing("cache.dir").remedy(IN_USE))?;
    let state = if state { "the state is encrypted now" } else { "the state was encrypted already, or is empty" };
    let cached = match cached {
        0 => String::from("no recording was in the clear"),
        recordings => format!("{recordings} recordings are encrypted now"),
    };
    // The reader closed the pipe.
    let _ = writeln!(std::io::stdout(), "{state}; {cached}");
    Ok(())
}
