//! The kinds of values that keys take: how each is named, what is expected of it, how it is read. Pure.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use super::units::{self, UnitError};
use super::value::Value;
use crate::base::{Channels, Export, ResolveOn, Since};
use crate::net::HostPattern;

/// Reads values of one kind.
#[derive(Debug)]
pub struct Kind<T> {
    /// The word in the documentation's table.
    pub word: &'static str,
    /// What a message says is expected, with an example.
    pub expected: &'static str,
    pub read: fn(&Value) -> Result<T, UnitError>,
}

/// A user or a group, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    Number(u32),
    /// To be looked up.
    Name(String),
}

fn wrong_type() -> UnitError {
    UnitError(String::from("it is of the wrong type"))
}

fn text_of(value: &Value) -> Result<&str, UnitError> {
    match value {
        Value::Plain(text) | Value::Text(text) => Ok(text.trim()),
        _ => Err(wrong_type()),
    }
}

fn number_of(value: &Value) -> Result<u64, UnitError> {
    match value {
        Value::Integer(number) => {
            u64::try_from(*number).map_err(|_| UnitError(String::from("it must not be negative")))
        }
        Value::Plain(text) => text.trim().parse().map_err(|_| UnitError(String::from("it is not a whole number"))),
        _ => Err(wrong_type()),
    }
}

fn is_unlimited(value: &Value) -> bool {
    matches!(value, Value::Plain(text) | Value::Text(text) if text.trim() == "unlimited")
}

pub static TEXT: Kind<String> = Kind {
    word: "text",
    expected: "text",
    read: |value| {
        let text = text_of(value)?;
        if text.is_empty() { Err(UnitError(String::from("it is empty"))) } else { Ok(text.to_owned()) }
    },
};

/// A version as it stands in the addresses of the Reporting API.
pub static VERSION: Kind<String> = Kind {
    word: "version",
    expected: "a version of the Reporting API, such as \"v30.0\"",
    read: |value| {
        let text = text_of(value)?;
        let numbers = text.strip_prefix('v').ok_or_else(|| UnitError(String::from("it does not begin with v")))?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if numbers.split('.').all(is_number) {
            Ok(text.to_owned())
        } else {
            Err(UnitError(String::from("what follows the v is no number such as 30.0")))
        }
    },
};

/// A word that becomes part of a host's name.
pub static AREA: Kind<String> = Kind {
    word: "word",
    expected: "an area such as \"na1\"",
    read: |value| {
        let text = text_of(value)?;
        let is_label = (1..=63).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        let no_label =
            || UnitError(String::from("in a host's name, only letters and digits can stand, and hyphens between them"));
        if is_label { Ok(text.to_owned()) } else { Err(no_label()) }
    },
};

pub static PATH: Kind<PathBuf> = Kind {
    word: "path",
    expected: "a path",
    read: |value| {
        let text = text_of(value)?;
        if text.is_empty() { Err(UnitError(String::from("it is empty"))) } else { Ok(PathBuf::from(text)) }
    },
};

pub static URL: Kind<Url> = Kind {
    word: "URL",
    expected: "a URL such as \"https://cxone.niceincontact.com\" (http:// only on loopback)",
    read: |value| read_url(text_of(value)?),
};

fn read_url(text: &str) -> Result<Url, UnitError> {
    let url = Url::parse(text).map_err(|error| UnitError(error.to_string()))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(UnitError(String::from("it names no host"))),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(UnitError(String::from("http:// would send secrets in clear text"))),
        other => return Err(UnitError(format!("{other}:// is not supported"))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UnitError(String::from("it must not contain a user or a password")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UnitError(String::from("it must end with its path")));
    }
    Ok(url)
}

pub static SIZE: Kind<u64> = Kind {
    word: "size",
    expected: "a size with its unit, such as \"10GiB\" or \"500MB\"",
    read: |value| units::parse_size(text_of(value)?),
};

pub static DURATION: Kind<Duration> = Kind {
    word: "duration",
    expected: "a duration with its unit, such as \"30s\", \"5m\" or \"90d\"",
    read: |value| read_duration(value),
};

fn read_duration(value: &Value) -> Result<Duration, UnitError> {
    let duration = units::parse_duration(text_of(value)?)?;
    if duration.is_zero() { Err(UnitError(String::from("it must be longer than nothing"))) } else { Ok(duration) }
}

/// `None` is unlimited.
pub static PATIENCE: Kind<Option<Duration>> = Kind {
    word: "duration or \"unlimited\"",
    expected: "a duration with its unit, such as \"2m\", or \"unlimited\"",
    read: |value| if is_unlimited(value) { Ok(None) } else { read_duration(value).map(Some) },
};

pub static COUNT: Kind<u32> = Kind {
    word: "number",
    expected: "a whole number from 1 to 1000000",
    read: |value| match number_of(value)? {
        number @ 1..=1_000_000 => Ok(number as u32),
        _ => Err(UnitError(String::from("it is out of range"))),
    },
};

/// `None` is unlimited. 0 is allowed: no billed call at all.
pub static BUDGET: Kind<Option<u32>> = Kind {
    word: "number or \"unlimited\"",
    expected: "a whole number or \"unlimited\"",
    read: |value| {
        if is_unlimited(value) {
            return Ok(None);
        }
        u32::try_from(number_of(value)?).map(Some).map_err(|_| UnitError(String::from("it is out of range")))
    },
};

pub static SWITCH: Kind<bool> = Kind {
    word: "true or false",
    expected: "true or false",
    read: |value| match value {
        Value::Boolean(truth) => Ok(*truth),
        Value::Plain(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(UnitError(String::from("it is neither true nor false"))),
        },
        _ => Err(wrong_type()),
    },
};

pub static ACCOUNT: Kind<Account> = Kind {
    word: "number or name",
    expected: "the number or name of a user or group",
    read: |value| {
        let number = match value {
            Value::Plain(text) | Value::Text(text) => {
                let text = text.trim();
                match text.parse::<u64>() {
                    Ok(number) => number,
                    Err(_) if is_account_name(text) => return Ok(Account::Name(text.to_owned())),
                    Err(_) => return Err(UnitError(String::from("it is neither a number nor a name"))),
                }
            }
            _ => number_of(value)?,
        };
        let number = u32::try_from(number).ok();
        // The kernel reads all ones as "leave it as it is".
        let number = number.filter(|number| *number != u32::MAX);
        number.map(Account::Number).ok_or_else(|| UnitError(String::from("it is out of range")))
    },
};

/// Whether a name service may know it: directories of companies also have `DOMAIN\\user` and `user@domain`.
fn is_account_name(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "._-@+$\\ ".contains(c);
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_') && text.len() <= 256 && text.chars().all(is_part)
}

pub static MODE: Kind<u16> = Kind {
    word: "octal text",
    expected: "an octal mode in quotes, such as \"0440\"",
    read: |value| units::parse_mode(text_of(value)?),
};

pub static SINCE: Kind<Since> = Kind {
    word: "date or days",
    expected: "a date such as \"2026-01-01\" or a number of days such as \"90d\"",
    read: |value| units::parse_since(text_of(value)?),
};

pub static ZONE: Kind<TimeZone> = Kind {
    word: "time zone",
    expected: "a time zone of the IANA database, such as \"America/New_York\"",
    read: |value| {
        let name = text_of(value)?;
        TimeZone::get(name).map_err(|_| UnitError(String::from("there is no such time zone")))
    },
};

pub static RESOLVE_ON: Kind<ResolveOn> = Kind {
    word: "\"open\", \"stat\" or \"list\"",
    expected: "\"open\", \"stat\" or \"list\"",
    read: |value| {
        let word = text_of(value)?;
        let known = ResolveOn::ALL.into_iter().find(|mode| mode.word() == word);
        known.ok_or_else(|| UnitError(String::from("there is no such mode")))
    },
};

pub static EXPORT: Kind<Export> = Kind {
    word: "\"none\", \"journald\" or \"syslog\"",
    expected: "\"none\", \"journald\" or \"syslog\"",
    read: |value| {
        let word = text_of(value)?;
        let known = Export::ALL.into_iter().find(|export| export.word() == word);
        known.ok_or_else(|| UnitError(String::from("there is no such log service")))
    },
};

fn words_of(value: &Value) -> Result<Vec<String>, UnitError> {
    match value {
        Value::List(words) => Ok(words.clone()),
        Value::Plain(text) => Ok(words_in(text)),
        _ => Err(wrong_type()),
    }
}

/// `call,chat`, or as the file has it, which is what messages show: `["call", "chat"]`.
fn words_in(text: &str) -> Vec<String> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let words = inner.unwrap_or(text).split(',').map(str::trim);
    let words = words.map(|word| if inner.is_some() { word.trim_matches(['"', '\'']) } else { word });
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

pub static PATTERNS: Kind<Vec<String>> = Kind {
    word: "list of patterns",
    expected: "a list of process names, * and ? allowed, such as [\"updatedb\", \"baloo_file*\"]",
    read: |value| {
        let words = words_of(value)?;
        if words.iter().any(String::is_empty) {
            return Err(UnitError(String::from("an empty pattern matches nothing")));
        }
        if words.len() > 256 {
            return Err(UnitError(String::from("more than 256 patterns are too many")));
        }
        Ok(words)
    },
};

pub static CALLERS: Kind<Vec<String>> = Kind {
    word: "list of programs and users",
    expected: "a list of programs' names, * and ? allowed, and of users by name or number, such as [\"bsdtar\", \"backup\", 1000]",
    read: |value| {
        let words = match value {
            Value::Mixed(words) => words.clone(),
            _ => words_of(value)?,
        };
        for word in &words {
            let is_number = word.strip_prefix('-').unwrap_or(word).bytes().all(|byte| byte.is_ascii_digit());
            match word.parse::<u32>() {
                _ if word.is_empty() => return Err(UnitError(String::from("an empty name matches nothing"))),
                Err(_) | Ok(u32::MAX) if is_number => {
                    return Err(UnitError(format!("{word} is no user's number: it is out of range")));
                }
                _ => {}
            }
        }
        if words.len() > 256 {
            return Err(UnitError(String::from("more than 256 are too many")));
        }
        Ok(words)
    },
};

/// A program with its arguments; as text, separated by blanks.
pub static COMMAND: Kind<Vec<String>> = Kind {
    word: "list of words",
    expected: "a program by its whole path and its arguments, such as [\"/usr/bin/vault\", \"read\", \"-field=key\", \"secret/cxonefs\"]",
    read: |value| {
        let words = match value {
            Value::Plain(text) => text.split_whitespace().map(str::to_owned).collect(),
            other => words_of(other)?,
        };
        match words.first() {
            None => Err(UnitError(String::from("it names no program"))),
            Some(program) if !program.starts_with('/') => {
                Err(UnitError(String::from("the program must be named by its whole path")))
            }
            Some(_) => Ok(words),
        }
    },
};

/// Names as the tenant writes them, each on its own.
pub static NAMES: Kind<Vec<String>> = Kind {
    word: "list of names",
    expected: "a list of names, such as [\"Card payments\"]",
    read: |value| {
        let words = words_of(value)?;
        if words.iter().any(|word| word.trim().is_empty()) {
            return Err(UnitError(String::from("an empty name matches nothing")));
        }
        Ok(words)
    },
};

pub static ENCRYPTION: Kind<bool> = Kind {
    word: "\"optional\" or \"required\"",
    expected: "\"optional\" or \"required\"",
    read: |value| match text_of(value)? {
        "optional" => Ok(false),
        "required" => Ok(true),
        _ => Err(UnitError(String::from("there is no such word"))),
    },
};

pub static HOSTS: Kind<Vec<HostPattern>> = Kind {
    word: "list of hosts",
    expected: "a list of hosts, such as [\"*.s3.us-west-2.amazonaws.com\", \"10.1.2.3\"]",
    read: |value| {
        let words = words_of(value)?;
        if words.len() > 256 {
            return Err(UnitError(String::from("more than 256 hosts are too many")));
        }
        words.iter().map(|word| HostPattern::parse(word).map_err(UnitError)).collect()
    },
};

pub static CHANNELS: Kind<Channels> = Kind {
    word: "list of channels",
    expected: "a list of channels, such as [\"call\", \"voicemail\", \"chat\", \"email\", \"sms\", \"digital\", \"social\", \"work\", \"other\"]",
    read: |value| {
        let words = words_of(value)?;
        if words.is_empty() {
            return Err(UnitError(String::from("it names no channel")));
        }
        Channels::parse(&words).map_err(|word| UnitError(format!("there is no channel {word:?}")))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Value {
        Value::Plain(text.to_owned())
    }

    #[test]
    fn clear_text_goes_to_loopback_only() {
        for good in ["https://cxone.niceincontact.com", "http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1"]
        {
            assert!((URL.read)(&plain(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://cxone.niceincontact.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "https://user:pass@example.com",
            "https://example.com/?a=b",
            "cxone.niceincontact.com",
        ] {
            assert!((URL.read)(&plain(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_is_read_as_messages_show_it_and_by_commas() {
        for text in ["call,chat", " call , chat ", "[\"call\", \"chat\"]", "['call','chat']", "[call,chat]"] {
            assert_eq!(words_of(&plain(text)), Ok(vec!["call".to_owned(), "chat".to_owned()]), "{text}");
        }
        assert_eq!(words_of(&plain("[]")), Ok(Vec::new()));
    }

    #[test]
    fn toml_keeps_its_types_and_plain_text_takes_any() {
        assert_eq!((SWITCH.read)(&plain("yes")), Ok(true));
        assert!((SWITCH.read)(&Value::Text("yes".into())).is_err());
        assert_eq!((COUNT.read)(&plain("16")), Ok(16));
        assert!((COUNT.read)(&Value::Text("16".into())).is_err());
        assert!((COUNT.read)(&Value::Integer(0)).is_err());
        assert!((SIZE.read)(&Value::Integer(5)).is_err());
        assert_eq!((BUDGET.read)(&Value::Text("unlimited".into())), Ok(None));
        assert_eq!((BUDGET.read)(&Value::Integer(0)), Ok(Some(0)));
        assert!((BUDGET.read)(&Value::Integer(-1)).is_err());
        assert_eq!((PATIENCE.read)(&plain("unlimited")), Ok(None));
        assert!((DURATION.read)(&plain("0s")).is_err());
    }

    #[test]
    fn callers_are_names_and_numbers() {
        let mixed = Value::Mixed(vec!["tar*".into(), "1000".into()]);
        assert_eq!((CALLERS.read)(&mixed), Ok(vec!["tar*".to_owned(), "1000".to_owned()]));
        assert_eq!((CALLERS.read)(&plain("tar*, 1000")), (CALLERS.read)(&mixed));
        assert_eq!((CALLERS.read)(&plain("")), Ok(vec![]));
        for bad in ["-1", "4294967295", "99999999999"] {
            assert!((CALLERS.read)(&plain(bad)).is_err(), "{bad}");
        }
        assert!((CALLERS.read)(&Value::List(vec![String::new()])).is_err());
        assert!((PATTERNS.read)(&mixed).is_err(), "elsewhere a list is of text alone");
    }

    #[test]
    fn versions_are_numbers_behind_a_v() {
        for good in ["v30.0", "v30", " v31.0.1 "] {
            assert_eq!((VERSION.read)(&plain(good)), Ok(good.trim().to_owned()));
        }
        for bad in ["30", "V30.0", "v", "v30.", "v30/../..", "v30.0 beta"] {
            assert!((VERSION.read)(&plain(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_area_can_stand_in_a_hosts_name() {
        for good in ["na1", "EU-2", " au1 "] {
            assert_eq!((AREA.read)(&plain(good)), Ok(good.trim().to_owned()));
        }
        for bad in ["n a", "", "na1.evil", "na1/x", "-na1", "na1-", "na_1", "n\u{e4}1"] {
            assert!((AREA.read)(&plain(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn channels_by_word_without_repeats() {
        assert_eq!((CHANNELS.read)(&plain("call, chat,call")), Ok(Channels::parse(&["call", "chat"]).unwrap()));
        assert!((CHANNELS.read)(&plain("phone")).is_err());
        assert!((CHANNELS.read)(&Value::List(vec![])).is_err());
    }
}
