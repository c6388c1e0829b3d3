//! A state directory that was filled under another time zone.
//!
//! Days and the times in names are local, so another zone is another tree: the index is emptied and listed anew. Interactions,
//! documents and the ledger know no zone and stay, so nothing is paid for twice.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::db::Db;
use super::error::CatalogError;
use super::facts;

const KEY: &str = "index.timezone";

/// Makes the index one of `zone`.
pub(super) fn adopt(db: &Db, zone: &TimeZone) -> Result<(), CatalogError> {
    let wanted = fingerprint(zone);
    let found = db.read(|connection| facts::get(connection, KEY))?;
    if found.as_ref() == Some(&wanted) {
        return Ok(());
    }
    if let Some(found) = &found {
        tracing::warn!(was = %found, now = %wanted, "the time zone (tree.timezone) was {found} and is {wanted} now: days are listed anew; nothing is billed again");
    }
    db.write(|transaction| {
        transaction.execute_batch(
            "DELETE FROM days; DELETE FROM agents; DELETE FROM agent_channels; DELETE FROM folders; DELETE FROM legs;
             UPDATE interactions SET places = 0 WHERE places <> 0;",
        )?;
        facts::set(transaction, KEY, &wanted)
    })
}

/// The zone's IANA name; without one (POSIX rules, a copied `/etc/localtime`) its offsets in two winters and two summers.
fn fingerprint(zone: &TimeZone) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let offsets = [1_577_836_800, 1_593_561_600, 1_767_225_600, 1_782_864_000]
        .map(|second| Timestamp::from_second(second).map_or(0, |instant| zone.to_offset(instant).seconds()));
    format!("offsets {offsets:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_stable_names() {
        assert_eq!(fingerprint(&TimeZone::get("Europe/Berlin").unwrap()), "Europe/Berlin");
        let posix = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        assert_eq!(fingerprint(&posix), "offsets [-18000, -14400, -18000, -14400]");
    }
}
