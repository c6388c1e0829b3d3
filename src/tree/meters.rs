//! Reads of recordings, counted by where their bytes came from. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Reads of recordings by where their bytes came from. What a front end reads past the tree is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads<T> {
    pub cache: T,
    pub cache_bytes: T,
    /// Reads that had to wait for the media host.
    pub network: T,
    pub network_bytes: T,
}

/// The counters.
#[derive(Default)]
pub struct ReadCounters(Reads<AtomicU64>);

impl ReadCounters {
    /// One read.
    pub fn note(&self, from_cache: bool, bytes: usize) {
        let Reads { cache, cache_bytes, network, network_bytes } = &self.0;
        let (reads, read) = if from_cache { (cache, cache_bytes) } else { (network, network_bytes) };
        reads.fetch_add(1, Ordering::Relaxed);
        read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// As of now.
    pub fn counted(&self) -> Reads<u64> {
        let told = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Reads { cache, cache_bytes, network, network_bytes } = &self.0;
        Reads {
            cache: told(cache),
            cache_bytes: told(cache_bytes),
            network: told(network),
            network_bytes: told(network_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_by_where_their_bytes_came_from() {
        let counters = ReadCounters::default();
        counters.note(true, 5);
        counters.note(false, 7);
        assert_eq!(counters.counted(), Reads { cache: 1, cache_bytes: 5, network: 1, network_bytes: 7 });
    }
}
