//! A directory with what a simulated tenant's configuration names: the secret's file, state, cache.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::base::failure::Failure;
use crate::ops::privacy;

/// The directory; removed when dropped if it is a temporary one.
pub struct Workspace {
    root: PathBuf,
    _temporary: Option<TempDir>,
}

impl Workspace {
    /// In `dir`, which is created if missing and kept, or in a temporary directory.
    pub fn create(dir: Option<&Path>) -> Result<Workspace, Failure> {
        if let Some(dir) = dir {
            let root = std::path::absolute(dir).map_err(|error| Failure::usage(error).while_doing("--dir"))?;
            privacy::private_dir(&root).map_err(|error| Failure::from(error).while_doing("--dir"))?;
            return Ok(Workspace { root, _temporary: None });
        }
        // Created with mode 0700.
        let temporary = tempfile::Builder::new().prefix("cxonefs-").tempdir();
        let temporary =
            temporary.map_err(|error| Failure::failed(error).while_doing("creating a temporary directory"))?;
        Ok(Workspace { root: temporary.path().to_owned(), _temporary: Some(temporary) })
    }

    /// Where the state goes.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Where the cache goes.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// A directory of that name in it, created.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.root.join(name);
        privacy::private_dir(&path)?;
        Ok(path)
    }

    /// Writes the secret's file, mode 0600, whatever was there before.
    pub fn write_secret(&self, secret: &str) -> Result<PathBuf, Failure> {
        self.write("secret", secret)
    }

    /// The same for the secret of a client.
    pub fn write_client_secret(&self, secret: &str) -> Result<PathBuf, Failure> {
        self.write("client-secret", secret)
    }

    fn write(&self, name: &str, secret: &str) -> Result<PathBuf, Failure> {
        let path = self.root.join(name);
        write_atomically(&path, secret.as_bytes())?;
        Ok(path)
    }
}

/// Writes a file of mode 0600 that appears whole or not at all.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(error).while_doing(format!("writing {}", path.display()));
    let path = std::path::absolute(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_private_and_temporary_ones_go() {
        let workspace = Workspace::create(None).unwrap();
        let path = workspace.write_secret("one").unwrap();
        let path_again = workspace.write_secret("two").unwrap();
        assert_eq!(path, path_again);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(workspace.directory("x").unwrap().is_dir());
        drop(workspace);
        assert!(!path.exists());
    }

    #[test]
    fn named_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(Some(&dir.path().join("w"))).unwrap();
        let path = workspace.write_secret("one").unwrap();
        drop(workspace);
        assert!(path.exists());
    }
}
