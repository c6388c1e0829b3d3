//! Memory for keys: it is not swapped out, not in a core dump, and overwritten when it is given back.
//!
//! Pages are asked of the system by themselves, locked (`mlock`) and left out of dumps, and shared out in slots. Where the system allows no
//! more locked memory (`RLIMIT_MEMLOCK`), keys are kept in pages that are not locked, and that is said once.
//!
//! Not protected against: a reader of this process's memory, a hibernating machine, and copies that a computation leaves on the stack or in
//! registers.

use std::fmt;
use std::mem::{align_of, needs_drop, size_of};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use zeroize::Zeroize;

/// Bytes of a slot: a key schedule of AES-256-GCM, the largest thing that is kept here, has about 550.
const SLOT_BYTES: usize = 1024;
/// Bytes that are asked of the system at once.
const ARENA_BYTES: usize = 16 * 1024;

/// Slots that nobody has.
static FREE: Mutex<Vec<Slot>> = Mutex::new(Vec::new());
/// All that was asked of the system.
static ARENAS: Mutex<Vec<Slot>> = Mutex::new(Vec::new());
/// The system refused to lock some of the memory.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// That was said.
static SAID: AtomicBool = AtomicBool::new(false);

struct Slot(NonNull<u8>);

// SAFETY: a slot is plain memory that its one holder has for himself.
unsafe impl Send for Slot {}

/// Whether every key is in memory that is not swapped out. True before there is one.
#[must_use]
pub fn is_locked() -> bool {
    !REFUSED.load(Ordering::Relaxed)
}

/// Says once in the log that some of the memory could not be locked.
pub fn say_refused() {
    // Before there is a log nobody would hear it.
    if !is_locked() && tracing::dispatcher::has_been_set() && !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "keys are in memory that may be swapped out: raise the limit of locked memory (LimitMEMLOCK= in a unit, ulimit -l), or use encrypted swap"
        );
    }
}

/// Locks the memory for a child of a fork, which inherits what is in it and no lock.
pub fn lock_again() {
    for arena in ARENAS.lock().iter() {
        lock(arena.0);
    }
}

/// A value in memory of that kind. It has no destructor of its own: its bytes are overwritten.
pub struct Locked<T: Copyable>(NonNull<T>);

/// What can be kept there: plain values, without destructor.
pub trait Copyable: Send + Sync {}
impl<const N: usize> Copyable for [u8; N] {}
impl Copyable for ring::aead::LessSafeKey {}
impl Copyable for ring::hmac::Key {}

// SAFETY: it owns the value, which may be sent and shared.
unsafe impl<T: Copyable> Send for Locked<T> {}
// SAFETY: as above; it gives out shared references only.
unsafe impl<T: Copyable> Sync for Locked<T> {}

impl<T: Copyable> Locked<T> {
    /// Moves a value there.
    #[must_use]
    pub fn new(value: T) -> Locked<T> {
        const { assert!(size_of::<T>() <= SLOT_BYTES && align_of::<T>() <= SLOT_BYTES && !needs_drop::<T>()) };
        let slot = take();
        let place = slot.0.cast::<T>();
        // SAFETY: the slot is ours, large enough, and aligned to its own size.
        unsafe { place.write(value) };
        Locked(place)
    }
}

impl<T: Copyable> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written by `new`, and ours until dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Copyable> Drop for Locked<T> {
    fn drop(&mut self) {
        let slot = Slot(self.0.cast());
        // SAFETY: the slot is ours, and the value needs no destructor.
        unsafe { std::slice::from_raw_parts_mut(slot.0.as_ptr(), SLOT_BYTES) }.zeroize();
        FREE.lock().push(slot);
    }
}

/// Shows nothing.
impl<T: Copyable> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

fn take() -> Slot {
    let mut free = FREE.lock();
    if free.is_empty() {
        let arena = pages();
        free.extend((0..ARENA_BYTES / SLOT_BYTES).map(|slot| {
            // SAFETY: within the arena.
            Slot(unsafe { arena.add(slot * SLOT_BYTES) })
        }));
    }
    match free.pop() {
        Some(slot) => slot,
        None => unreachable!("an arena has slots"),
    }
}

/// Fresh pages, never given back to the system.
fn pages() -> NonNull<u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: new memory at a place of the kernel's choice.
    let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), ARENA_BYTES, access, flags) };
    let Some(arena) = mapped.ok().and_then(|arena| NonNull::new(arena.cast::<u8>())) else {
        std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; ARENA_BYTES]>());
    };
    lock(arena);
    ARENAS.lock().push(Slot(arena));
    arena
}

fn lock(arena: NonNull<u8>) {
    // SAFETY: an arena is mapped for good.
    let locked = unsafe { rustix::mm::mlock(arena.as_ptr().cast(), ARENA_BYTES) };
    #[cfg(target_os = "linux")]
    // SAFETY: as above; it changes what dumps get.
    unsafe {
        use rustix::mm::{Advice, madvise};
        let _ = madvise(arena.as_ptr().cast(), ARENA_BYTES, Advice::LinuxDontDump);
    }
    if locked.is_err() {
        REFUSED.store(true, Ordering::Relaxed);
        say_refused();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_apart_and_overwritten() {
        let many: Vec<Locked<[u8; 32]>> = (0..100).map(|byte| Locked::new([byte; 32])).collect();
        for (byte, value) in (0..).zip(&many) {
            assert_eq!(**value, [byte; 32]);
        }
        let place = many[7].0;
        let kept: Vec<_> = many.into_iter().filter(|value| value[0] != 7).collect();
        // SAFETY: slots are never given back to the system, and no other test has taken this one if it is still zero.
        let bytes = unsafe { place.read() };
        assert!(bytes != [7; 32], "{bytes:?}");
        drop(kept);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_pages_are_locked_and_not_dumped() {
        let value = Locked::new([1u8; 32]);
        let address = value.0.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut flags = None;
        let mut within = false;
        for line in maps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((from, to)) = range.split_once('-')
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                within = (from..to).contains(&address);
            }
            if within && line.starts_with("VmFlags:") {
                flags = Some(line.to_owned());
            }
        }
        let flags = flags.unwrap();
        assert!(flags.contains(" dd"), "{flags}");
        assert!(flags.contains(" lo") || !is_locked(), "{flags}");
    }
}
