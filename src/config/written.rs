//! Settled values as the configuration writes them: the inverse of [`kinds`](super::kinds). Pure.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use crate::base::{Channels, Export, ResolveOn, Since};
use crate::net::{CaBundle, HostPattern};

/// A value that a key can have. What is written is read back as the same value.
pub trait Written {
    fn written(&self) -> String;
}

/// Numbers and words.
macro_rules! as_displayed {
    ($($kind:ty),*) => {$(
        impl Written for $kind {
            fn written(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

as_displayed!(bool, u32, usize, String, Url, Channels);

/// Bytes, in the largest unit of which it is a multiple.
impl Written for u64 {
    fn written(&self) -> String {
        let units = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units.into_iter().find(|(_, bytes)| *self >= *bytes && self.is_multiple_of(*bytes));
        unit.map_or_else(|| format!("{self}B"), |(name, bytes)| format!("{}{name}", self / bytes))
    }
}

/// Permission bits.
impl Written for u16 {
    fn written(&self) -> String {
        format!("{self:04o}")
    }
}

impl Written for Duration {
    fn written(&self) -> String {
        let mut left = self.as_millis();
        let mut text = String::new();
        for (name, milliseconds) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if left >= milliseconds {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}{name}", left / milliseconds);
                left %= milliseconds;
            }
        }
        if text.is_empty() { String::from("0s") } else { text }
    }
}

/// A limit that may be none.
macro_rules! as_limit {
    ($($kind:ty),*) => {$(
        impl Written for Option<$kind> {
            fn written(&self) -> String {
                self.as_ref().map_or_else(|| String::from("unlimited"), Written::written)
            }
        }
    )*};
}

as_limit!(u32, Duration);

/// What nobody need say; nothing stands where nobody does.
macro_rules! as_option {
    ($($kind:ty),*) => {$(
        impl Written for Option<$kind> {
            fn written(&self) -> String {
                self.as_ref().map_or_else(String::new, Written::written)
            }
        }
    )*};
}

as_option!(String, Url);

impl Written for Option<CaBundle> {
    fn written(&self) -> String {
        self.as_ref().map_or_else(String::new, |bundle| bundle.path().display().to_string())
    }
}

impl Written for PathBuf {
    fn written(&self) -> String {
        self.display().to_string()
    }
}

impl Written for Since {
    fn written(&self) -> String {
        match self {
            Since::Day(day) => day.to_string(),
            Since::DaysAgo(days) => format!("{days}d"),
        }
    }
}

/// The system's may have no name.
impl Written for TimeZone {
    fn written(&self) -> String {
        self.iana_name().unwrap_or_default().to_owned()
    }
}

impl Written for ResolveOn {
    fn written(&self) -> String {
        self.word().to_owned()
    }
}

impl Written for Export {
    fn written(&self) -> String {
        self.word().to_owned()
    }
}

impl Written for Vec<HostPattern> {
    fn written(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Written for Vec<String> {
    fn written(&self) -> String {
        self.join(",")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::keys::{self, Key};
    use crate::config::units;
    use crate::config::value::Value;

    /// What `text` means for a key, written again.
    fn again<T: Written>(key: &Key<T>, text: &str) -> String {
        (key.kind.read)(&Value::Plain(text.to_owned())).unwrap().written()
    }

    #[test]
    fn what_was_written_is_written_again() {
        for text in ["12", "unlimited"] {
            assert_eq!(again(&keys::DAILY_BUDGET, text), text);
        }
        for text in ["7d", "2026-11-02"] {
            assert_eq!(again(&keys::SINCE, text), text);
        }
        for text in ["2m", "1h30m", "1s500ms", "unlimited"] {
            assert_eq!(again(&keys::PATIENCE, text), text);
        }
        for text in ["1536MiB", "10GiB", "500MB", "65537B"] {
            let bytes = units::parse_size(text).unwrap();
            assert_eq!(units::parse_size(&bytes.written()), Ok(bytes), "{text}");
        }
        assert_eq!((1_u64 << 30).written(), "1GiB");
        for key in [&keys::DIR_MODE, &keys::FILE_MODE] {
            assert_eq!(again(key, "0440"), "0440");
        }
        assert_eq!(again(&keys::TIMEZONE, "America/New_York"), "America/New_York");
        assert_eq!(again(&keys::MEDIA_TYPES, "call,chat"), "call,chat");
        assert_eq!(again(&keys::MEDIA_HOSTS, "*.S3.example, 10.0.0.1"), "*.s3.example,10.0.0.1");
        assert_eq!(again(&keys::DENY_PROCESSES, "updatedb, mds*"), "updatedb,mds*");
        assert_eq!(again(&keys::RESOLVE_ON_STAT_FOR, "tar*, 1000"), "tar*,1000");
    }

    proptest! {
        #[test]
        fn every_size_and_duration_is_read_back_as_it_is(bytes in 0..u64::MAX >> 8, ms in 0_u64..1 << 40) {
            prop_assert_eq!(units::parse_size(&bytes.written()), Ok(bytes));
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(units::parse_duration(&duration.written()), Ok(duration));
        }
    }
}
