//! How many bytes a second of a recording takes, learned by channel; a running sum, so that learning costs the same for ever.
//!
//! An estimate should be high rather than low, so it is the mean plus two standard deviations (about the 97th percentile of
//! sizes that scatter evenly), and never less than a quarter above the mean.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::CatalogError;
use super::handle::Catalog;
use super::highest::{self, FASTEST};
use super::kind::FileKind;
use crate::base::Channel;

/// Fewer recordings than this say nothing yet.
const MIN_SAMPLES: i64 = 5;

pub(super) const GET: &str = "SELECT samples, sum, sum_of_squares FROM rates WHERE channel = ?1";
const ADD: &str = "INSERT INTO rates(channel, samples, sum, sum_of_squares) VALUES(?1, 1, ?2, ?2 * ?2)
    ON CONFLICT(channel) DO UPDATE SET samples = samples + 1, sum = sum + excluded.sum,
    sum_of_squares = sum_of_squares + excluded.sum_of_squares";

impl Catalog {
    /// Bytes per second learned for a channel from recordings whose size became known; `None` before five of them.
    pub fn learned_rate(&self, channel: Channel) -> Result<Option<f64>, CatalogError> {
        let sums: Option<(i64, f64, f64)> = self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(GET)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            Ok(statement.query_row([channel.media_type_id()], read).optional()?)
        })?;
        Ok(sums.and_then(|(samples, sum, squares)| cautious_rate(samples, sum, squares)))
    }

    /// The most that was seen of files of that kind on that channel: bytes per second of recordings, counted over at least
    /// [`SHORTEST_SECONDS`](highest::SHORTEST_SECONDS), and bytes of documents.
    pub fn highest(&self, channel: Channel, kind: FileKind) -> Result<Option<f64>, CatalogError> {
        let (channel, class) = (channel.media_type_id(), highest::class(kind));
        if let Some(known) = self.inner.highest.known().get(&(channel, class)) {
            return Ok(*known);
        }
        let found = self.inner.db.read(|connection| highest::read(connection, channel, class))?;
        // What was learned meanwhile is higher.
        Ok(*self.inner.highest.known().entry((channel, class)).or_insert(found))
    }

    /// Grows whenever something was so much higher than all before that estimates which were shown are too low for its like.
    pub fn highest_raises(&self) -> u64 {
        self.inner.highest.raises()
    }
}

/// Learns from one recording of `size` bytes whose interaction lasts `seconds`.
pub(super) fn learn(connection: &Connection, channel: i64, size: u64, seconds: f64) -> Result<(), CatalogError> {
    let rate = size as f64 / seconds;
    if rate > 0.0 && rate <= FASTEST {
        connection.prepare_cached(ADD)?.execute(params![channel, rate])?;
    }
    Ok(())
}

fn cautious_rate(samples: i64, sum: f64, sum_of_squares: f64) -> Option<f64> {
    if samples < MIN_SAMPLES {
        return None;
    }
    let mean = sum / samples as f64;
    // Rounding may leave a variance a little below zero.
    let deviation = (sum_of_squares / samples as f64 - mean * mean).max(0.0).sqrt();
    Some((mean * 1.25).max(mean + 2.0 * deviation).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_of(rates: &[f64]) -> Option<f64> {
        cautious_rate(rates.len() as i64, rates.iter().sum(), rates.iter().map(|rate| rate * rate).sum())
    }

    #[test]
    fn few_samples_teach_nothing_and_equal_ones_a_quarter_more() {
        assert_eq!(rate_of(&[1000.0; 4]), None);
        assert_eq!(rate_of(&[1000.0; 5]), Some(1250.0));
    }

    #[test]
    fn scattered_samples_give_a_rate_above_nearly_all() {
        let rates: Vec<f64> = (0..100).map(|n| f64::from(n * 100)).collect();
        let rate = rate_of(&rates).unwrap();
        assert!(rates.iter().filter(|sample| **sample > rate).count() <= 5);
    }
}
