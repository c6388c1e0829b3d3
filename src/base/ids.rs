//! Identifiers of the tenant, as newtypes, and the local day.

use std::fmt;
use std::str::FromStr;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

numeric_id! {
    /// One leg of an interaction (Reporting `contactId`; about 12 digits).
    ContactId
}
numeric_id! {
    /// The interaction as a whole (Reporting `masterContactId`, Media Playback `acd-call-id`).
    MasterId
}
numeric_id! {
    /// An agent (Reporting `agentId`); [`AgentId::NONE`] where a leg had none.
    AgentId
}

impl AgentId {
    /// A leg that no agent handled: the tenant says null, 0 or a negative number.
    pub const NONE: AgentId = AgentId(0);

    /// Whether a person handled the leg.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 > 0
    }
}

/// A civil day, counted in days since 1970-01-01. Which instants belong to it is the time zone's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    const EPOCH: jiff::civil::Date = jiff::civil::Date::constant(1970, 1, 1);

    /// The day that a civil date names.
    #[must_use]
    pub fn from_date(date: jiff::civil::Date) -> Day {
        let span = date.since((jiff::Unit::Day, Self::EPOCH)).unwrap_or_default();
        Day(span.get_days())
    }

    /// The civil date of this day; days outside jiff's range are clamped to its ends.
    #[must_use]
    pub fn date(self) -> jiff::civil::Date {
        Self::EPOCH.saturating_add(jiff::Span::new().days(self.0.clamp(-4_000_000, 2_900_000)))
    }

    /// The local day on which an instant falls.
    #[must_use]
    pub fn of(instant: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> Day {
        Day::from_date(zone.to_datetime(instant).date())
    }

    /// The instant at which this local day begins. A midnight that a DST change skips begins at the first instant after it.
    ///
    /// Instants outside jiff's range are clamped to its ends.
    #[must_use]
    pub fn start(self, zone: &jiff::tz::TimeZone) -> jiff::Timestamp {
        match self.date().to_zoned(zone.clone()) {
            Ok(zoned) => zoned.start_of_day().map_or_else(|_| zoned.timestamp(), |start| start.timestamp()),
            Err(_) if self.0 < 0 => jiff::Timestamp::MIN,
            Err(_) => jiff::Timestamp::MAX,
        }
    }

    /// The next day.
    #[must_use]
    pub fn next(self) -> Day {
        Day(self.0.saturating_add(1))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

/// The text was not exactly `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date of the form YYYY-MM-DD")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Day, NotADay> {
        let date: jiff::civil::Date = text.parse().map_err(|_| NotADay)?;
        let day = Day::from_date(date);
        // One spelling only: a second name for a directory would be a second dentry for its inode.
        if day.to_string() == text { Ok(day) } else { Err(NotADay) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_print_and_parse_in_one_spelling() {
        let day: Day = "2026-11-02".parse().unwrap();
        assert_eq!(day.to_string(), "2026-11-02");
        assert!("2026-11-2".parse::<Day>().is_err());
        assert!("20261102".parse::<Day>().is_err());
        assert!("..".parse::<Day>().is_err());
    }

    #[test]
    fn a_local_day_is_23_24_or_25_hours_long() {
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let hours = |text: &str| {
            let day: Day = text.parse().unwrap();
            (day.next().start(&zone).as_second() - day.start(&zone).as_second()) / 3600
        };
        assert_eq!(hours("2026-03-08"), 23);
        assert_eq!(hours("2026-11-01"), 25);
        assert_eq!(hours("2026-11-02"), 24);
    }

    #[test]
    fn an_instant_falls_on_the_local_day() {
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let instant: jiff::Timestamp = "2026-11-02T03:00:00Z".parse().unwrap();
        assert_eq!(Day::of(instant, &zone).to_string(), "2026-11-01");
    }
}
