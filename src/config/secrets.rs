//! Files that hold a secret. They are refused where someone else could have read or written them.
//!
//! Not protected against: the environment, which root and the same user can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::ConfigError;
use super::trust;
use super::value::Origin;
use crate::base::crypt::MasterKey;

/// The longest secret that is accepted; bytes. Real ones have under 100.
const SECRET_BYTES_MAX: usize = 4096;

/// Reads a secret from a file, without the white space around it.
///
/// Refused: a file that its group or others can read, that belongs to someone else than `euid` or root, that is not a
/// regular file, or that is empty, too long, or no text.
pub fn read_file(path: &Path, euid: u32, key: &str, place: &Origin) -> Result<SecretString, ConfigError> {
    let bytes = read_bytes(path, euid, key, place)?;
    let refused = |problem: &str, remedy: &str| Err(refusal(path, key, place, problem, remedy.to_owned()));
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refused("is not text", "put nothing but the secret into it");
    };
    let secret = text.trim();
    if secret.is_empty() {
        return refused("is empty", "put the secret into it");
    }
    Ok(SecretString::from(secret))
}

/// Reads a key for encryption under the same rules: 32 bytes as they are, or in hexadecimal or base64.
pub fn read_key_file(path: &Path, euid: u32, key: &str, place: &Origin) -> Result<MasterKey, ConfigError> {
    let bytes = read_bytes(path, euid, key, place)?;
    MasterKey::parse(&bytes).ok_or_else(|| {
        let problem = "is no key: 32 bytes are wanted, as they are or in hexadecimal or base64";
        let remedy = "make one, and keep a copy where the cache is not: (umask 077; openssl rand -hex 32 > FILE)";
        refusal(path, key, place, problem, remedy.to_owned())
    })
}

fn refusal(path: &Path, key: &str, place: &Origin, problem: &str, remedy: String) -> ConfigError {
    ConfigError::SecretUnsafe {
        place: place.clone(),
        key: key.into(),
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy,
    }
}

/// The bytes of a file that nobody else could read or write.
fn read_bytes(path: &Path, euid: u32, key: &str, place: &Origin) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let unsafe_because = |problem: &str, remedy: String| refusal(path, key, place, problem, remedy);
    let unreadable = |source: io::Error| ConfigError::SecretUnreadable {
        place: place.clone(),
        key: key.to_owned(),
        path: path.to_owned(),
        source,
    };
    // Not blocking: opening a FIFO must not hang. What is checked is what was opened, not what the name means later.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unsafe_because(
            "is not a regular file",
            String::from("name a file that holds nothing but the secret"),
        ));
    }
    let shown = path.display();
    if metadata.uid() != euid && metadata.uid() != 0 {
        return Err(unsafe_because(
            &format!("belongs to user {}, neither to you nor to root", metadata.uid()),
            format!("chown {euid} {shown}"),
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(unsafe_because(
            &format!("can be read by others (mode {:04o})", metadata.mode() & 0o7777),
            format!("chmod 600 {shown}"),
        ));
    }
    if let Err(distrust) = trust::check(path, &metadata, euid) {
        let problem = format!("is in {}, which {}", distrust.path.display(), distrust.problem);
        return Err(unsafe_because(&problem, distrust.remedy));
    }
    let bytes = read_bounded(file).map_err(unreadable)?;
    bytes.ok_or_else(|| unsafe_because("is too long for a secret", String::from("put nothing but the secret into it")))
}

fn read_bounded(file: File) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // The capacity is fixed beforehand, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 64));
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= SECRET_BYTES_MAX).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn read_with(content: &[u8], mode: u32, euid: u32) -> Result<SecretString, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read_file(&path, euid, "tenant.access_key_secret_file", &Origin::Default)
    }

    #[test]
    fn a_private_file_is_read_and_trimmed() {
        assert_eq!(read_with(b" s3cret\r\n", 0o600, me()).unwrap().expose_secret(), "s3cret");
        assert_eq!(read_with(b"s3cret", 0o400, me()).unwrap().expose_secret(), "s3cret");
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o610] {
            let error = read_with(b"s3cret", mode, me()).unwrap_err();
            assert!(error.to_string().contains("can be read by others"), "{error}");
            assert!(error.remedy().unwrap().starts_with("chmod 600 "));
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn files_of_someone_else_are_refused() {
        // Seen as another user, a file of ours is a stranger's; root's is everybody's.
        let result = read_with(b"s3cret", 0o600, me() + 1);
        if me() == 0 {
            assert!(result.is_ok());
        } else {
            assert!(result.unwrap_err().to_string().contains("belongs to user"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(read_with(b" \n", 0o600, me()).unwrap_err().to_string().contains("is empty"));
        assert!(read_with(&[0xff, 0xfe], 0o600, me()).unwrap_err().to_string().contains("is not text"));
        assert!(read_with(&vec![b'a'; 5000], 0o600, me()).unwrap_err().to_string().contains("too long"));
        let dir = tempfile::tempdir().unwrap();
        let missing = read_file(&dir.path().join("none"), me(), "k", &Origin::Default).unwrap_err();
        assert!(missing.to_string().contains("cannot read"), "{missing}");
        let folder = read_file(dir.path(), me(), "k", &Origin::Default).unwrap_err();
        assert!(folder.to_string().contains("not a regular file"), "{folder}");
    }
}
