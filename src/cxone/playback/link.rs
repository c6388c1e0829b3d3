//! A signed media link: whether it may be fetched at all, when it ends, what kind of file it leads to.
//!
//! Errors and logs say the link's host, never its path or query.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

use crate::cxone::address;
use crate::cxone::instant;
use crate::cxone::playback::signed::is_signature;
use crate::net::{MediaLink, SecretUrl};

/// Extensions that are kept; anything else is called mp4, which is what the tenant records.
const EXTENSIONS: [&str; 13] =
    ["mp4", "m4a", "m4v", "mov", "wav", "mp3", "ogg", "opus", "webm", "mkv", "avi", "flac", "aac"];

/// Why a link is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cxone) enum BadLink {
    #[error("the media link is not a URL")]
    NotAUrl,
    #[error("the media link to {0} is not https")]
    NotPrivate(String),
}

/// Reads a link. Plain http is taken on loopback only, and only where the playback endpoint is that too.
pub(in crate::cxone) fn read(text: &str, plain_loopback: bool) -> Result<MediaLink, BadLink> {
    let url = Url::parse(text.trim()).map_err(|_| BadLink::NotAUrl)?;
    if !address::is_private(&url) || (url.scheme() == "http" && !plain_loopback) {
        return Err(BadLink::NotPrivate(address::host_and_port(&url)));
    }
    let extension = known_extension(&url).unwrap_or_else(|| String::from("mp4"));
    Ok(MediaLink { url: SecretUrl::new(&url), extension, expires_at: expires_at(&url) })
}

/// Whether a URL looks like a recording rather than a login page: a known extension, or a signature in its query.
pub(in crate::cxone) fn looks_like_media(url: &Url) -> bool {
    known_extension(url).is_some() || url.query_pairs().any(|(name, _)| is_signature(&name))
}

fn known_extension(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    (!stem.is_empty() && EXTENSIONS.contains(&extension.as_str())).then_some(extension)
}

/// The end that a signed URL states: SigV4 (`X-Amz-Date` + `X-Amz-Expires`), SigV2 and `CloudFront` (`Expires`, seconds since
/// 1970), Azure's shared access signature (`se`, with `sig`).
fn expires_at(url: &Url) -> Option<Timestamp> {
    let value = |wanted: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.into_owned())
    };
    if let Some((signed_at, seconds)) = value("X-Amz-Date").zip(value("X-Amz-Expires")) {
        let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", &signed_at).ok()?;
        let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds >= 0)?;
        let signed_at = TimeZone::UTC.to_timestamp(signed_at).ok()?;
        return Timestamp::from_second(signed_at.as_second().checked_add(seconds)?).ok();
    }
    if let Some(seconds) = value("Expires") {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    value("sig").and_then(|_| instant::parse(&value("se")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S3: &str = "https://b.s3.us-west-2.amazonaws.com/x/y.mp4";

    #[test]
    fn the_end_is_read_from_every_kind_of_signature() {
        let end = |query: &str| {
            let link = read(&format!("{S3}?{query}"), false).unwrap();
            link.expires_at.map(|end| end.to_string())
        };
        let expected = Some("2026-11-02T09:00:00Z".to_owned());
        assert_eq!(end("X-Amz-Date=20261102T084500Z&X-Amz-Expires=900&X-Amz-Signature=a"), expected);
        assert_eq!(end("x-amz-expires=900&x-amz-date=20261102T084500Z"), expected);
        assert_eq!(end("AWSAccessKeyId=a&Expires=1793610000&Signature=b"), expected);
        assert_eq!(end("se=2026-11-02T09%3A00%3A00Z&sig=c"), expected);
        for nothing in ["", "X-Amz-Expires=900", "X-Amz-Date=x&X-Amz-Expires=900", "Expires=soon", "se=2026-11-02"] {
            assert_eq!(end(nothing), None, "{nothing}");
        }
        assert_eq!(end("X-Amz-Date=20261102T084500Z&X-Amz-Expires=9223372036854775807"), None);
    }

    #[test]
    fn only_known_extensions_are_kept() {
        let extension = |path: &str| read(&format!("https://h.example/{path}?a=b.wav"), false).unwrap().extension;
        assert_eq!(extension("x/y.MP4"), "mp4");
        assert_eq!(extension("y.wav"), "wav");
        assert_eq!(extension("y.tar.opus"), "opus");
        for other in ["y", "y.exe", "y.", ".wav", "a.wav/b", ""] {
            assert_eq!(extension(other), "mp4", "{other}");
        }
    }

    #[test]
    fn plain_http_is_for_a_tenant_on_loopback() {
        assert!(read("http://127.0.0.1:9/a.mp4?s=1", true).is_ok());
        let error = read("http://127.0.0.1:9/secret.mp4?s=1", false).unwrap_err();
        assert_eq!(error.to_string(), "the media link to 127.0.0.1:9 is not https");
        assert!(read("http://media.example/a.mp4", true).is_err());
        assert!(read("https://user:password@media.example/a.mp4", true).is_err());
        assert!(read("file:///etc/passwd", true).is_err());
        assert_eq!(read("no link", true).unwrap_err(), BadLink::NotAUrl);
    }

    #[test]
    fn a_login_page_is_no_recording() {
        let looks = |text: &str| looks_like_media(&Url::parse(text).unwrap());
        assert!(looks(S3) && looks("https://h.example/guid?X-Amz-Signature=a"));
        assert!(!looks("https://h.example/login?return=/a.mp4"));
    }

    #[test]
    fn debug_shows_the_host_only() {
        let text = format!("{:?}", read(&format!("{S3}?X-Amz-Signature=hidden"), false).unwrap());
        assert!(text.contains("amazonaws.com") && !text.contains("hidden") && !text.contains("y.mp4"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_link_or_refused(text in ".{0,80}") {
            let _ = read(&text, true);
        }
    }
}
