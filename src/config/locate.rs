//! Finds and reads the configuration file. The only file here, besides that of secrets, that reads the disk.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::host::Host;
use super::raw::{ConfigFile, FILE_BYTES_MAX};
use super::trust::{self, Distrust};

/// The system's configuration file.
pub const SYSTEM_CONFIG: &str = "/etc/cxonefs/config.toml";

/// The places where a configuration file is looked for when none is named, in order.
#[must_use]
pub fn places(host: &Host) -> Vec<PathBuf> {
    host.user_config().into_iter().chain([PathBuf::from(SYSTEM_CONFIG)]).collect()
}

/// Reads the named file, or the first of `places` that exists; `None` if none of them does.
pub fn find(named: Option<&Path>, places: &[PathBuf], host: &Host) -> Result<Option<ConfigFile>, ConfigError> {
    if let Some(path) = named {
        // Absolute, so that messages, relative paths in it and a change of directory later agree.
        return read(host.current_dir.join(path), host.euid).map(Some);
    }
    for path in places {
        match path.try_exists() {
            Ok(false) => {}
            Ok(true) => return read(path.clone(), host.euid).map(Some),
            Err(source) => return Err(ConfigError::Unreadable { path: path.clone(), source }),
        }
    }
    Ok(None)
}

/// Whether a file may be followed, by what is known of it.
fn trusted(path: &Path, metadata: io::Result<Metadata>, euid: u32) -> Result<(), ConfigError> {
    let metadata = metadata.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    trust::check(path, &metadata, euid).map_err(|distrust| {
        let Distrust { path: where_it_fails, problem, remedy } = distrust;
        ConfigError::Untrusted { file: path.to_owned(), path: where_it_fails, problem, remedy }
    })
}

fn read(path: PathBuf, euid: u32) -> Result<ConfigFile, ConfigError> {
    let mut text = String::new();
    // Before it is opened, too: opening another user's pipe would wait for that user.
    trusted(&path, path.metadata(), euid)?;
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    trusted(&path, file.metadata(), euid)?;
    let result = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    match result {
        Ok(read) if read as u64 > FILE_BYTES_MAX => {
            let source = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB");
            Err(ConfigError::Unreadable { path, source })
        }
        Ok(_) => Ok(ConfigFile { path, text }),
        Err(source) => Err(ConfigError::Unreadable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_of_another_user_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("config.toml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Root is trusted by everybody.
        let us = rustix::process::geteuid().as_raw();
        let euid =
            if us == 0 { std::os::unix::fs::chown(&pipe, Some(12_345), None).map(|()| 0).unwrap() } else { us + 1 };
        assert!(matches!(read(pipe, euid), Err(ConfigError::Untrusted { .. })));
    }

    #[test]
    fn the_first_place_that_exists_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::default();
        let (first, second) = (dir.path().join("a.toml"), dir.path().join("b.toml"));
        let places = [first.clone(), second.clone()];
        assert!(find(None, &places, &host).unwrap().is_none());
        std::fs::write(&second, "b").unwrap();
        assert_eq!(find(None, &places, &host).unwrap().unwrap().text, "b");
        std::fs::write(&first, "a").unwrap();
        assert_eq!(find(None, &places, &host).unwrap().unwrap().path, first);
        assert_eq!(find(Some(&second), &places, &host).unwrap().unwrap().text, "b");
        let missing = dir.path().join("c.toml");
        let error = find(Some(&missing), &places, &host).err().unwrap();
        let remedy = error.remedy().unwrap();
        assert!(remedy.ends_with(&format!("cxonefs init --config {}", missing.display())), "{remedy}");
    }

    #[test]
    fn the_system_comes_last() {
        let host = Host { home: Some("/home/u".into()), ..Host::default() };
        assert_eq!(places(&host).last().unwrap(), Path::new(SYSTEM_CONFIG));
        assert_eq!(places(&host).len(), 2);
    }
}
