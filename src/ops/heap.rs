//! Memory that a burst of work needed goes back to the system, and what was freed does not keep what it held.
//! Listing a day of a large tenant takes a hundred MiB of small pieces for
//! a moment; glibc keeps what was freed in its arenas for ever unless told otherwise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// After this, what a burst held is free as a rule, and further bursts have joined it.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Gives memory back after bursts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trimmer {
    is_due: Arc<AtomicBool>,
}

impl Trimmer {
    /// A burst of work is over, or nearly. Must be called within a runtime.
    pub fn burst_ends(&self) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let is_due = Arc::clone(&self.is_due);
        tokio::spawn(async move {
            tokio::time::sleep(SETTLED_AFTER).await;
            is_due.store(false, Ordering::Release);
            // It walks the heap, some milliseconds.
            let _ = tokio::task::spawn_blocking(trim).await;
        });
    }
}

/// Gives every page that is free back to the system, which wipes it: for what was erased. Walks the heap, some milliseconds.
pub fn give_back() {
    trim();
}

/// The allocator of the program: small pieces are wiped when they are freed. Names, paths, ids and documents are such; bytes of recordings, which
/// are not, would take as long again as copying them.
#[derive(Debug)]
pub struct Wiping;

/// Larger pieces are not wiped (bytes of recordings); after an erasure most of their pages go back to the system. A buffer for what is said of
/// people must not be larger.
pub const WIPED_MAX: usize = 32 << 10;

// SAFETY: every request is passed on to the system's allocator as it came, with the layout that the caller vouches for; a piece is written to
// only within its layout, while it is still the caller's, and before it is freed.
#[expect(unsafe_code, reason = "an allocator is not written otherwise")]
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if layout.size() <= WIPED_MAX {
            // SAFETY: the piece has this size, and nobody else reads it. The compiler must not leave the writes out.
            unsafe { wipe(piece, layout.size()) };
        }
        // SAFETY: as above.
        unsafe { System.dealloc(piece, layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() > WIPED_MAX {
            // SAFETY: as above.
            return unsafe { System.realloc(piece, layout, size) };
        }
        // SAFETY: the caller vouches for the size with this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above; both pieces have the bytes that are copied, and do not overlap.
        unsafe {
            let new = System.alloc(new_layout);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(piece, new, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

/// # Safety
/// `size` bytes from `piece` on must be the caller's to write.
#[expect(unsafe_code, reason = "writes to what is about to be freed")]
unsafe fn wipe(piece: *mut u8, size: usize) {
    // SAFETY: as the caller vouches.
    unsafe { std::ptr::write_bytes(piece, 0, size) };
    // What is freed is never read again, so the compiler could leave the writes out; it must take this for a read.
    std::hint::black_box(piece);
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: no preconditions; it takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Wipes or not, so that both can be measured in one run.
    struct Switched;

    static WIPES: AtomicBool = AtomicBool::new(false);

    #[global_allocator]
    static ALLOCATOR: Switched = Switched;

    #[expect(unsafe_code, reason = "an allocator is not written otherwise")]
    // SAFETY: both pass every request on to the same allocator.
    unsafe impl GlobalAlloc for Switched {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as above.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            // SAFETY: as above.
            unsafe {
                if WIPES.load(Ordering::Relaxed) {
                    Wiping.dealloc(piece, layout);
                } else {
                    System.dealloc(piece, layout);
                }
            }
        }

        unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: as above.
            unsafe {
                if WIPES.load(Ordering::Relaxed) {
                    Wiping.realloc(piece, layout, size)
                } else {
                    System.realloc(piece, layout, size)
                }
            }
        }
    }

    /// A page of a listing becomes values, and text again.
    fn work(page: &str) -> usize {
        let values: Vec<serde_json::Value> = serde_json::from_str(page).unwrap();
        values.iter().map(|value| serde_json::to_string(value).unwrap().len()).sum()
    }

    /// How much wiping costs where much is allocated and little else is done; prints it.
    #[test]
    #[ignore = "measures"]
    fn wiping_costs() {
        let record = r#"{"contactId":701000000122,"agentName":"Keller, Rosa","from":"+14155550100","tags":["a","b"],"note":"some words of a call"}"#;
        let page = format!("[{}]", vec![record; 1000].join(","));
        let mut best = [Duration::MAX; 2];
        for round in 0..60 {
            WIPES.store(round % 2 == 1, Ordering::Relaxed);
            let begun = Instant::now();
            (0..10).for_each(|_| assert!(work(&page) > 100_000));
            best[round % 2] = best[round % 2].min(begun.elapsed());
        }
        WIPES.store(false, Ordering::Relaxed);
        let [without, with] = best.map(|time| time.as_secs_f64());
        eprintln!(
            "a page a thousand records: {:.3} ms without wiping, {:.3} ms with: {:+.1} %",
            without * 100.0,
            with * 100.0,
            100.0 * (with / without - 1.0)
        );
    }
}
