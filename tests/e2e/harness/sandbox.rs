//! The directories of one test: state, cache, secret, configuration, mount point, and room for copies.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tenant::Tenant;

/// Removed when dropped. A mount in it has to be gone by then.
pub struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    /// Without a configuration.
    pub fn empty() -> Sandbox {
        let root = tempfile::Builder::new().prefix("cxonefs-e2e-").tempdir_in("/tmp").unwrap();
        for name in ["mnt", "home"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        Sandbox { root }
    }

    /// With a configuration that mounts the tenant.
    pub fn of(tenant: &Tenant) -> Sandbox {
        let sandbox = Sandbox::empty();
        sandbox.write_secret(&tenant.settings().credentials.access_key_secret);
        let text = tenant.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret());
        std::fs::write(sandbox.config(), text).unwrap();
        sandbox
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
