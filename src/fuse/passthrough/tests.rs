//! The rule of modes: cached and passed-through opens of one file never meet.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// What the kernel would have registered; counts itself.
struct Id(Arc<AtomicUsize>);

impl Id {
    fn new(alive: &Arc<AtomicUsize>) -> Id {
        alive.fetch_add(1, Ordering::SeqCst);
        Id(Arc::clone(alive))
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn version(validator: &str) -> Version {
    Version { size: 5, validator: validator.into() }
}

fn file() -> File {
    File::open("/dev/null").unwrap()
}

type Modes = super::Modes<Id, ()>;

fn open(modes: &Modes, handle: u64, complete: bool, alive: &Arc<AtomicUsize>) -> Mode<Id, ()> {
    modes.open(1, handle, &version("a"), false, complete.then(|| (file(), ())), |_| Ok(Id::new(alive)))
}

#[test]
fn an_open_past_the_pages_reads_through_us_whatever_the_others_do() {
    let (modes, alive) = (Modes::new(PassthroughState::Untried), Arc::default());
    let past = |handle| modes.open(1, handle, &version("a"), true, Some((file(), ())), |_| Ok(Id::new(&alive)));
    assert!(matches!(past(1), Mode::Direct));
    assert!(modes.lock().inodes.is_empty(), "it binds nobody");
    assert!(matches!(open(&modes, 2, true, &alive), Mode::Passthrough(_)));
    assert!(matches!(past(3), Mode::DirectBeside(_)));
    modes.release(1, 2);
    assert_eq!(alive.load(Ordering::SeqCst), 1, "the kernel still has the file for handle 3");
    modes.release(1, 3);
    modes.release(1, 1);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(matches!(open(&modes, 4, false, &alive), Mode::Cached));
    assert!(matches!(past(5), Mode::Direct));
    modes.release(1, 4);
    modes.release(1, 5);
    assert!(modes.lock().inodes.is_empty() && modes.lock().handles.is_empty());
}

#[test]
fn a_mode_lasts_until_its_last_handle_is_closed() {
    let (modes, alive) = (Modes::new(PassthroughState::Untried), Arc::default());
    assert!(matches!(open(&modes, 1, false, &alive), Mode::Cached));
    assert!(matches!(open(&modes, 2, true, &alive), Mode::Cached));
    modes.release(1, 1);
    modes.release(1, 1);
    assert!(matches!(open(&modes, 3, true, &alive), Mode::Cached));
    modes.release(1, 2);
    modes.release(1, 3);
    assert!(matches!(open(&modes, 4, true, &alive), Mode::Passthrough(_)));
    // Evicted meanwhile: the kernel still must not be given anything else.
    assert!(matches!(open(&modes, 5, false, &alive), Mode::Passthrough(_)));
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    modes.release(1, 4);
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    modes.release(1, 5);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(modes.lock().inodes.is_empty() && modes.lock().handles.is_empty());
    assert_eq!(modes.state(), PassthroughState::Working { opens: 2 });
}

#[test]
fn another_version_is_not_served_beside_the_old_one() {
    let (modes, alive) = (Modes::new(PassthroughState::Untried), Arc::default());
    open(&modes, 1, true, &alive);
    let other = modes.open(1, 2, &version("b"), false, None, |_| Ok(Id::new(&alive)));
    assert!(matches!(other, Mode::OtherVersion));
    modes.release(1, 1);
    assert!(matches!(open(&modes, 3, true, &alive), Mode::Passthrough(_)));
}

/// Pages that were filled for the new one would be shown to who has the old one open.
#[test]
fn beside_an_old_one_that_is_read_through_us_the_new_one_is_read_past_its_pages() {
    let (modes, alive) = (Modes::new(PassthroughState::Untried), Arc::default());
    let open_other = |handle| modes.open(1, handle, &version("b"), false, None, |_| Ok(Id::new(&alive)));
    assert!(matches!(open(&modes, 1, false, &alive), Mode::Cached));
    assert!(matches!(open_other(2), Mode::Direct));
    assert!(matches!(open(&modes, 3, true, &alive), Mode::Cached), "more of the old one");
    modes.release(1, 1);
    modes.release(1, 2);
    assert!(matches!(open_other(4), Mode::Direct));
    modes.release(1, 3);
    assert!(matches!(open_other(5), Mode::Cached));
    modes.release(1, 5);
    modes.release(1, 4);
    assert!(modes.lock().inodes.is_empty() && modes.lock().handles.is_empty());
}

#[test]
fn a_kernel_that_refuses_is_asked_once() {
    let modes = Modes::new(PassthroughState::Untried);
    let asked = AtomicUsize::new(0);
    let refuse = |_: &File| {
        asked.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(1))
    };
    for handle in 0..3 {
        assert!(matches!(modes.open(handle, handle, &version("a"), false, Some((file(), ())), refuse), Mode::Cached));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(matches!(modes.state(), PassthroughState::Refused { .. }) && !modes.may_work());
}

#[test]
fn what_is_short_for_the_moment_does_not_end_it() {
    let modes = Modes::new(PassthroughState::Untried);
    let busy = |_: &File| Err(io::Error::from_raw_os_error(24));
    assert!(matches!(modes.open(1, 1, &version("a"), false, Some((file(), ())), busy), Mode::Cached));
    assert_eq!(modes.state(), PassthroughState::Untried);
}

#[test]
fn turned_off_asks_for_nothing() {
    let modes = Modes::new(PassthroughState::TurnedOff);
    let opened = modes.open(1, 1, &version("a"), false, None, |_| panic!("asked the kernel"));
    assert!(matches!(opened, Mode::Cached) && !modes.may_work());
}

proptest! {
    /// The kernel's side of the rule, kept beside ours: whatever opens and closes in whatever order, no inode is ever open in
    /// both modes, and never with two registrations.
    #[test]
    fn modes_never_mix(steps in prop::collection::vec((0u64..3, any::<bool>(), any::<bool>()), 1..80)) {
        let (modes, alive) = (Modes::new(PassthroughState::Untried), Arc::default());
        let mut open_now: Vec<(u64, u64, bool)> = Vec::new();
        for (handle, (ino, opens, complete)) in steps.into_iter().enumerate() {
            if opens {
                let handle = handle as u64;
                let verified = complete.then(|| (file(), ()));
                let mode = modes.open(ino, handle, &version("a"), false, verified, |_| Ok(Id::new(&alive)));
                open_now.push((ino, handle, matches!(mode, Mode::Passthrough(_))));
            } else if let Some(at) = open_now.iter().position(|(of, ..)| *of == ino) {
                let (ino, handle, _) = open_now.swap_remove(at);
                modes.release(ino, handle);
            }
            let passing = |ino| open_now.iter().any(|(of, _, passed)| *of == ino && *passed);
            let cached = |ino| open_now.iter().any(|(of, _, passed)| *of == ino && !*passed);
            prop_assert!((0..3).all(|ino| !(passing(ino) && cached(ino))));
            prop_assert_eq!(alive.load(Ordering::SeqCst), (0..3).filter(|ino| passing(*ino)).count());
        }
    }
}
