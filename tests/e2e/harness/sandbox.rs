//! The directories of one test: state, cache, secret, configuration, mount point, and room for copies.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cxonefs::sim::HandedOut;
use tempfile::TempDir;

use super::leaks;
use super::tenant::Tenant;

/// Removed when dropped, after it was searched for secrets. A mount in it has to be gone by then.
pub struct Sandbox {
    root: TempDir,
    /// What must not be found in it.
    secrets: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    estimate: Option<u64>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test that fails has something else to say.
        if std::thread::panicking() {
            return;
        }
        let found = leaks::search(self.root.path(), &[self.config(), self.secret()], &(self.secrets)());
        assert!(found.is_empty(), "secrets were written down: {found:#?}");
    }
}

impl Sandbox {
    /// Without a configuration.
    pub fn empty() -> Sandbox {
        Sandbox::searched(|| leaks::of_credentials(&cxonefs::sim::Credentials::default()))
    }

    /// Without a configuration; searched for these secrets at its end.
    pub fn searched(secrets: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Sandbox {
        let root = tempfile::Builder::new().prefix("cxonefs-e2e-").tempdir_in("/tmp").unwrap();
        for name in ["mnt", "home"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        Sandbox { root, secrets: Box::new(secrets), estimate: None }
    }

    /// With a configuration that mounts the tenant.
    pub fn of(tenant: &Tenant) -> Sandbox {
        let (credentials, handed_out) = (tenant.settings().credentials.clone(), tenant.secrets());
        let mut sandbox = Sandbox::searched(move || {
            // Not held while this may fail: other sandboxes of this tenant are searched too.
            let handed_out = handed_out.lock().unwrap().clone();
            let handed_out = handed_out.iter().flat_map(HandedOut::secrets).flat_map(|token| leaks::of_token(&token));
            leaks::of_credentials(&credentials).into_iter().chain(handed_out).collect()
        });
        sandbox.write_secret(&tenant.settings().credentials.access_key_secret);
        let text = tenant.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret());
        std::fs::write(sandbox.config(), text).unwrap();
        // Recordings that are larger than any of their length would be: an estimate below them fails the first open, which is not what tests of
        // large files are about.
        sandbox.estimate = tenant.settings().bulk_bytes.map(|bytes| bytes * 2);
        sandbox
    }

    /// The estimate that is shown of every file; `None` for what the program estimates by itself.
    pub fn estimate(&self) -> Option<u64> {
        self.estimate
    }

    /// Has the configuration name a key, so that all that is written is encrypted.
    pub fn encrypt(&self) {
        let key = self.path("key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = std::fs::read_to_string(self.config()).unwrap();
        let named = format!("[cache]\nencryption_key_file = \"{}\"\n", key.display());
        assert!(text.contains("[cache]\n"), "{text}");
        std::fs::write(self.config(), text.replace("[cache]\n", &named)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A new directory.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    pub fn secret(&self) -> PathBuf {
        self.path("secret")
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub fn mount_point(&self) -> PathBuf {
        self.path("mnt")
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub fn write_secret(&self, secret: &str) {
        std::fs::write(self.secret(), secret).unwrap();
        std::fs::set_permissions(self.secret(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
