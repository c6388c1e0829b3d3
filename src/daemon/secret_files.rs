//! The files of the tenant's secrets, looked at again when a login is due: a new secret is used without a signal.
//!
//! Knows no login. Trust in the files is checked where the configuration is read, each time.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::reload::Reload;
use super::settings::tenant_settings;
use crate::config::Config;
use crate::cxone::{Credentials, CredentialsSource};

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64, i64, i64);

/// The files as they were last read.
pub struct SecretFiles {
    reload: Reload,
    access_key_id: String,
    files: Vec<PathBuf>,
    seen: Mutex<Vec<Option<Stamp>>>,
}

impl SecretFiles {
    /// Those of `config`, which `reload` reads again; `None` where no file holds a secret.
    pub fn of(config: &Config, reload: Reload) -> Option<SecretFiles> {
        let files = config.tenant.secret_files.clone();
        let seen = Mutex::new(stamps(&files));
        let access_key_id = config.tenant.access_key_id.clone();
        (!files.is_empty()).then_some(SecretFiles { reload, access_key_id, files, seen })
    }
}

impl CredentialsSource for SecretFiles {
    fn renewed(&self) -> Option<Credentials> {
        let now = stamps(&self.files);
        {
            let mut seen = self.seen.lock();
            if *seen == now {
                return None;
            }
            *seen = now;
        }
        match self.reload.read() {
            // Another access key is another login: taken over with the rest of the configuration, on SIGHUP.
            Ok(config) if config.tenant.access_key_id != self.access_key_id => {
                tracing::warn!("a secret's file changed, and so did tenant.access_key_id: send SIGHUP to use both");
                None
            }
            Ok(config) => {
                tracing::info!("a secret's file changed: the next login uses it");
                Some(tenant_settings(&config).credentials)
            }
            Err(failure) => {
                tracing::error!(problem = failure.render().trim_end(), "a secret's file changed and cannot be used");
                None
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |metadata: Metadata| {
        (
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        )
    };
    files.iter().map(|path| std::fs::metadata(path).ok().map(stamp)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::daemon::testing;

    #[test]
    fn a_file_is_read_again_once_per_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "one").unwrap();
        let mut config = testing::config(&[]);
        let reads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let reload = Reload::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(testing::config(&[]))
        });
        assert!(SecretFiles::of(&config, reload.clone()).is_none(), "the environment has it");
        config.tenant.secret_files = vec![path.clone()];
        let files = SecretFiles::of(&config, reload).unwrap();
        assert!(files.renewed().is_none());
        std::fs::write(&path, "another").unwrap();
        assert!(files.renewed().is_some() && files.renewed().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(files.renewed().is_some(), "whatever is read instead");
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
