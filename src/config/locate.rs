//! Finds and reads the configuration file. The only file here, besides that of secrets, that reads the disk.

use std::fs::File;
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

fn read(path: PathBuf, euid: u32) -> Result<ConfigFile, ConfigError> {
    let mut text = String::new();
    let opened = File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = match opened {
        Ok(opened) => opened,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    if let Err(distrust) = trust::check(&path, &metadata, euid) {
        let Distrust { path: where_it_fails, problem, remedy } = distrust;
        return Err(ConfigError::Untrusted { file: path, path: where_it_fails, problem, remedy });
    }
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
