//! What someone probably meant by a name that does not exist. Pure.

use std::fmt;

use super::keys::{self, Standing};

/// A guess, or none; prints as `; did you mean …?` or as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion(Option<String>);

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(guess) => write!(f, "; did you mean {guess}?"),
            None => Ok(()),
        }
    }
}

/// How alike two names must be (Jaro-Winkler, 0 to 1) to be offered. Below 0.8, guesses are more often wrong than right.
const ALIKE: f64 = 0.8;

/// For a key that does not exist in a section that does.
#[must_use]
pub fn key(section: &str, name: &str) -> Suggestion {
    let here = keys::ALL.iter().map(|key| key.info()).filter(|info| info.section == section);
    if let Some(best) = closest(name, here.map(|info| info.name.to_owned())) {
        return Suggestion(Some(format!("\"{best}\"")));
    }
    // Right name, wrong section.
    let elsewhere = keys::ALL.iter().map(|key| key.info()).find(|info| info.name == name);
    Suggestion(elsewhere.map(|info| format!("\"{}\" in section [{}]", info.name, info.section)))
}

/// For a name at the top level that is no section.
#[must_use]
pub fn section(name: &str) -> Suggestion {
    if let Some(info) = keys::ALL.iter().map(|key| key.info()).find(|info| info.name == name) {
        return Suggestion(Some(format!("\"{}\" in section [{}]", info.name, info.section)));
    }
    let best = closest(name, keys::sections().into_iter().map(str::to_owned));
    Suggestion(best.map(|best| format!("[{best}]")))
}

/// For a key that was named without its section.
#[must_use]
pub fn path(name: &str) -> Suggestion {
    let settable = || keys::ALL.iter().map(|key| key.info()).filter(|info| info.standing == Standing::Settable);
    let best = closest(name, settable().map(|info| info.name.to_owned()));
    let info = best.and_then(|best| settable().find(|info| info.name == best));
    Suggestion(info.map(keys::Info::path))
}

/// For an environment variable that sets no key; `others` are variables that exist besides those of the keys.
#[must_use]
pub fn variable(name: &str, others: &[&str]) -> Suggestion {
    let known = keys::ALL.iter().flat_map(|key| key.info().variables());
    Suggestion(closest(name, known.chain(others.iter().map(|other| (*other).to_owned()))))
}

/// For a name that is none of a few.
#[must_use]
pub fn among(name: &str, known: &[&str]) -> Suggestion {
    let best = closest(name, known.iter().map(|known| (*known).to_owned()));
    Suggestion(best.map(|best| format!("\"{best}\"")))
}

fn closest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let mut best: Option<(f64, String)> = None;
    for candidate in candidates {
        let alike = strsim::jaro_winkler(name, &candidate);
        if alike >= ALIKE && best.as_ref().is_none_or(|(score, _)| alike > *score) {
            best = Some((alike, candidate));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        assert_eq!(key("tree", "timezon").to_string(), "; did you mean \"timezone\"?");
        assert_eq!(key("tree", "allow_other").to_string(), "; did you mean \"allow_other\" in section [mount]?");
        assert_eq!(key("tree", "qqqq").to_string(), "");
        assert_eq!(section("limit").to_string(), "; did you mean [limits]?");
        assert_eq!(section("timezone").to_string(), "; did you mean \"timezone\" in section [tree]?");
        assert_eq!(path("daily_budget").to_string(), "; did you mean limits.daily_budget?");
        assert_eq!(path("access_key_secret").to_string(), "; did you mean tenant.access_key_secret_file?");
        assert_eq!(variable("CXONEFS_ACCES_KEY_ID", &[]).to_string(), "; did you mean CXONEFS_ACCESS_KEY_ID?");
    }
}
