//! Listings that are being read. A large directory takes several requests, and the kernel names no handle with them where it keeps
//! directories, so a listing is remembered by its directory until it is read from its beginning again.
//!
//! Where a reader goes on is told by the inode number of the last entry that it got: what appears meanwhile moves nobody's place.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::tree::DirEntry;

/// Directories that are read at once, by the same or by different readers. One that is squeezed out is listed again.
const DIRECTORIES_MAX: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// The listings.
pub struct Listings(Mutex<LruCache<u64, Arc<[DirEntry]>>>);

impl Listings {
    /// None yet.
    pub fn new() -> Listings {
        Listings(Mutex::new(LruCache::new(DIRECTORIES_MAX)))
    }

    /// The listing of a directory that is being read.
    pub fn get(&self, ino: u64) -> Option<Arc<[DirEntry]>> {
        self.0.lock().get(&ino).cloned()
    }

    /// Forgets all of them; a reader in the middle of one lists again.
    pub fn forget_all(&self) {
        self.0.lock().clear();
    }

    /// A directory is being read from its beginning.
    pub fn put(&self, ino: u64, listing: Arc<[DirEntry]>) {
        self.0.lock().put(ino, listing);
    }
}

/// Entries of a directory from some place on.
#[derive(Clone, Debug)]
pub struct Page {
    listing: Arc<[DirEntry]>,
    start: usize,
}

impl Page {
    /// All of it.
    pub fn whole(listing: Arc<[DirEntry]>) -> Page {
        Page { listing, start: 0 }
    }

    /// What follows the entry with inode number `last`. Nothing if that entry is gone: only the few names of an interaction's folder
    /// ever go, and they are read at once.
    pub fn after(listing: Arc<[DirEntry]>, last: u64) -> Page {
        let start = listing.iter().position(|entry| entry.id == last).map_or(listing.len(), |position| position + 1);
        Page { listing, start }
    }

    /// The entries, in order of name.
    pub fn entries(&self) -> &[DirEntry] {
        self.listing.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(inos: &[u64]) -> Arc<[DirEntry]> {
        inos.iter().map(|&ino| DirEntry { id: ino, is_dir: true, name: ino.to_string().into() }).collect()
    }

    fn inos(page: &Page) -> Vec<u64> {
        page.entries().iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_whatever_appeared_meanwhile() {
        assert_eq!(inos(&Page::after(listing(&[10, 20, 30]), 20)), [30]);
        assert_eq!(inos(&Page::after(listing(&[5, 10, 15, 20, 25, 30]), 20)), [25, 30]);
        assert_eq!(inos(&Page::after(listing(&[10, 20]), 20)), [0u64; 0]);
        assert_eq!(inos(&Page::after(listing(&[10]), 20)), [0u64; 0]);
        assert_eq!(inos(&Page::whole(listing(&[10]))), [10]);
    }

    #[test]
    fn few_listings_are_remembered() {
        let listings = Listings::new();
        for ino in 0..1000 {
            listings.put(ino, listing(&[ino]));
        }
        assert!(listings.get(0).is_none() && listings.get(999).is_some());
    }
}
