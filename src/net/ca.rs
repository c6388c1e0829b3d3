//! Certificates of authorities that a file names, to be trusted beside the system's: those of a company whose proxy opens TLS, or of a
//! private cloud.
//!
//! Every certificate is checked when the file is read, so that an error names the file and not a connection. Who may change the file is
//! the caller's question.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Bytes of a file of certificates. Those of a whole distribution take a quarter of a million.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The certificates of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle {
    path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why a file is no bundle of certificates. `Display` does not name the file.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    #[error("holds no certificate in PEM form (a part that begins with -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    #[error("has a part that is no PEM, after {0} certificates")]
    NotPem(usize),
    #[error("certificate {0} cannot be used: {1}")]
    Unusable(usize, String),
    /// Somebody else could put a certificate of theirs into it.
    #[error("is not trusted: {0}")]
    Untrusted(String),
}

impl CaBundle {
    /// Opens a file and reads what it holds; the opened file is given back, for a look at who may change it.
    pub fn read(path: &Path) -> Result<(CaBundle, File), CaError> {
        // Not blocking: opening a FIFO must not hang.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
        let file = file.map_err(CaError::Unreadable)?;
        let metadata = file.metadata().map_err(CaError::Unreadable)?;
        if !metadata.is_file() {
            return Err(CaError::NotAFile);
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(CaError::TooLarge);
        }
        let mut text = Vec::new();
        (&file).take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(CaError::Unreadable)?;
        let certificates = certificates(&text)?;
        Ok((CaBundle { path: path.to_owned(), certificates }, file))
    }

    /// Where they came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// For the HTTP client, which trusts them beside the system's.
    pub fn for_client(bundle: Option<&CaBundle>) -> Vec<reqwest::Certificate> {
        let certificates = bundle.map(|bundle| bundle.certificates.as_slice()).unwrap_or_default();
        certificates.iter().filter_map(|certificate| reqwest::Certificate::from_der(certificate).ok()).collect()
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let mut found = Vec::new();
    let mut store = RootCertStore::empty();
    for part in CertificateDer::pem_slice_iter(text) {
        let certificate = part.map_err(|_| CaError::NotPem(found.len()))?;
        store.add(certificate.clone()).map_err(|error| CaError::Unusable(found.len() + 1, error.to_string()))?;
        found.push(certificate);
    }
    if found.is_empty() { Err(CaError::NoCertificate) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authority's certificate, of no use to anybody: its key was thrown away.
    const PEM: &str = include_str!("testdata/authority.pem");

    fn read(text: &str) -> Result<CaBundle, CaError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, text).unwrap();
        CaBundle::read(&path).map(|(bundle, _)| bundle)
    }

    #[test]
    fn a_bundle_holds_all_certificates_of_its_file_and_skips_what_stands_between() {
        assert_eq!(read(PEM).unwrap().count(), 1);
        let several = format!("# our authority\n{PEM}\nsubject=CN = x\n{PEM}{PEM}");
        let bundle = read(&several).unwrap();
        assert_eq!((bundle.count(), CaBundle::for_client(Some(&bundle)).len()), (3, 3));
        assert!(CaBundle::for_client(None).is_empty());
    }

    #[test]
    fn what_is_no_bundle_says_why() {
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(read(text), Err(CaError::NoCertificate)), "{text:?}: {:?}", read(text));
        }
        let cut = PEM.replace("-----END CERTIFICATE-----", "");
        assert!(matches!(read(&cut), Err(CaError::NotPem(0))), "{:?}", read(&cut));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = read(&format!("{PEM}{nonsense}")).unwrap_err().to_string();
        assert!(error.starts_with("certificate 2 cannot be used"), "{error}");
        assert!(matches!(CaBundle::read(Path::new("/dev/null")), Err(CaError::NotAFile)));
        assert!(matches!(CaBundle::read(Path::new("/nowhere/ca.pem")), Err(CaError::Unreadable(_))));
    }
}
