//! The rules one by one, and against a model of the kernel with any order of events.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const INO: u64 = 7 << 20;
const GUESS: Shown = Shown { size: 100, is_estimate: true };
const TRUE: Shown = Shown { size: 60, is_estimate: false };

fn opened(handle: u64, size: u64) -> Opened {
    Opened { handle, size, keep_cache: true }
}

/// The verdict for an open that arrives now, and whether the kernel was told to look again.
fn open(told: &Told, thread: u32, opened: Opened) -> (Verdict, bool) {
    let mut notices = 0;
    let caller = caller(thread, told.arrived());
    let verdict = told.verdict(INO, opened, &caller, || notices += 1, &mut Vec::new());
    (verdict, notices > 0)
}

/// A process of one thread that means to read.
fn caller(thread: u32, arrival: Arrival) -> Caller<impl Fn() -> u32> {
    Caller { thread, process: move || thread, arrival, only_tries: false, now: Instant::now() }
}

fn known(shown: Shown) -> Told {
    let told = Told::new();
    told.looked_up(INO, shown, told.arrived());
    told
}

#[test]
fn what_was_told_as_it_is_opens_at_once() {
    let told = known(TRUE);
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::Exact, false));
    told.shown(INO, TRUE, told.arrived());
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::Exact, false));
    let right = known(Shown { is_estimate: true, ..TRUE });
    assert_eq!(open(&right, 1, opened(1, 60)), (Verdict::Exact, false), "an estimate that is right");
}

#[test]
fn an_open_by_another_size_is_repeated_once_with_the_same_file() {
    let told = known(GUESS);
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::LookAgain, true));
    told.looked_up(INO, TRUE, told.arrived());
    assert_eq!(told.repeated(INO, 1, told.arrived()), Some(Ok(opened(1, 60))));
    assert_eq!(told.repeated(INO, 1, told.arrived()), None);
    assert_eq!(open(&told, 2, opened(2, 60)), (Verdict::Exact, false), "for everybody from then on");
}

#[test]
fn each_thread_is_sent_back_until_one_came_again_and_the_kernel_is_told_once() {
    let told = known(GUESS);
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::LookAgain, true));
    assert_eq!(open(&told, 2, opened(2, 60)), (Verdict::LookAgain, false));
    told.looked_up(INO, TRUE, told.arrived());
    assert_eq!(open(&told, 3, opened(3, 60)), (Verdict::LookAgain, false), "told, but perhaps not yet taken over");
    for (thread, handle) in [(2, 2), (1, 1), (3, 3)] {
        assert_eq!(told.repeated(INO, thread, told.arrived()), Some(Ok(opened(handle, 60))));
    }
}

#[test]
fn a_program_that_only_tried_a_file_is_told_again_when_it_means_to_read() {
    let told = known(Shown { size: 40, is_estimate: true });
    let begun = Instant::now();
    let by = |process: u32, only_tries: bool, seconds: u64, handle: u64| {
        let now = begun + Duration::from_secs(seconds);
        let caller = Caller { thread: 9, process: || process, arrival: told.arrived(), only_tries, now };
        let verdict = told.verdict(INO, opened(handle, 60), &caller, || {}, &mut Vec::new());
        if verdict == Verdict::LookAgain {
            told.looked_up(INO, TRUE, told.arrived());
            assert_eq!(told.repeated(INO, 9, told.arrived()), Some(Ok(opened(handle, 60))));
        }
        verdict
    };
    assert_eq!(by(1, true, 0, 1), Verdict::TooLow { shown: 40 });
    assert_eq!(by(1, false, 0, 2), Verdict::TooLow { shown: 40 });
    assert_eq!(by(2, false, 0, 3), Verdict::LookAgain, "another process");
    assert_eq!(by(1, true, 0, 6), Verdict::Exact, "a server that opens everything so");
    assert_eq!(by(1, false, 1, 4), Verdict::TooLow { shown: 40 }, "the size that it saw is too low still");
    assert_eq!(by(1, false, 2, 5), Verdict::Exact, "long enough");
}

#[test]
fn a_program_that_means_to_read_or_cannot_be_seen_is_told_once() {
    for (process, only_tries) in [(1, false), (0, true)] {
        let told = known(Shown { size: 40, is_estimate: true });
        let open = |handle| {
            let (arrival, now) = (told.arrived(), Instant::now());
            let caller = Caller { thread: 9, process: || process, arrival, only_tries, now };
            told.verdict(INO, opened(handle, 60), &caller, || {}, &mut Vec::new())
        };
        assert_eq!((open(1), open(2)), (Verdict::TooLow { shown: 40 }, Verdict::LookAgain));
    }
}

#[test]
fn an_open_that_arrived_before_the_answer_does_not_repeat_it() {
    let told = known(GUESS);
    let before = told.arrived();
    assert_eq!(open(&told, 0, opened(1, 60)), (Verdict::LookAgain, true));
    assert_eq!(told.repeated(INO, 0, before), None, "another caller of whom no thread is known");
}

#[test]
fn answers_to_requests_from_before_the_notice_do_not_count() {
    let told = known(GUESS);
    let before = told.arrived();
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::LookAgain, true));
    told.shown(INO, TRUE, told.arrived());
    told.shown(INO, GUESS, before);
    assert_eq!(told.repeated(INO, 1, told.arrived()), Some(Ok(opened(1, 60))));
}

#[test]
fn a_file_that_changes_again_is_looked_at_again() {
    let told = known(TRUE);
    assert_eq!(open(&told, 1, opened(1, 70)), (Verdict::LookAgain, true));
    told.looked_up(INO, Shown { size: 80, is_estimate: false }, told.arrived());
    assert_eq!(told.repeated(INO, 1, told.arrived()), Some(Err(opened(1, 70))));
    assert_eq!(open(&told, 1, opened(2, 80)), (Verdict::LookAgain, true));
}

#[test]
fn nobody_who_did_not_look_again_is_let_through() {
    let told = known(GUESS);
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::LookAgain, true));
    assert_eq!(told.repeated(INO, 1, told.arrived()), Some(Err(opened(1, 60))));
}

#[test]
fn a_notice_waits_for_an_open_that_is_expected() {
    let told = known(GUESS);
    assert!(told.notice(INO, || {}) && told.notice(1, || {}), "a file, and a directory");
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::LookAgain, true));
    assert!(!told.notice(INO, || panic!("the kernel would discard the answer to the second look")));
    assert_eq!(told.expire(INO, 1), Some(opened(1, 60)));
    assert_eq!(told.expire(INO, 1), None);
    assert!(told.notice(INO, || {}));
}

#[test]
fn an_estimate_that_was_too_low_fails_all_who_may_have_gone_by_it_once() {
    let told = known(Shown { size: 50, ..GUESS });
    let waiting = told.arrived();
    told.shown(INO, GUESS, told.arrived());
    assert_eq!(open(&told, 1, opened(1, 60)), (Verdict::TooLow { shown: 50 }, true));
    let same = told.verdict(INO, opened(2, 60), &caller(2, waiting), || {}, &mut Vec::new());
    assert_eq!(same, Verdict::TooLow { shown: 50 }, "it waited for the same call");
    told.looked_up(INO, TRUE, told.arrived());
    assert_eq!(open(&told, 1, opened(3, 60)).0, Verdict::LookAgain);
    told.looked_up(INO, TRUE, told.arrived());
    assert_eq!(told.repeated(INO, 1, told.arrived()), Some(Ok(opened(3, 60))));
    assert_eq!(open(&told, 2, opened(4, 60)).0, Verdict::Exact);
    let grown = known(Shown { size: 50, is_estimate: false });
    assert_eq!(open(&grown, 1, opened(1, 60)).0, Verdict::LookAgain, "no estimate");
}

#[test]
fn an_estimate_that_was_raised_counts_for_those_who_look_afterwards() {
    let told = known(Shown { size: 50, ..GUESS });
    let before = told.arrived();
    let mut dropped = 0;
    told.raised(|_| ());
    told.shown(INO, GUESS, told.arrived());
    let late = told.verdict(INO, opened(1, 60), &caller(1, before), || dropped += 1, &mut Vec::new());
    assert_eq!((late, dropped), (Verdict::TooLow { shown: 50 }, 1), "it looked before");
    let told = known(Shown { size: 50, ..GUESS });
    told.raised(|_| ());
    assert_eq!(open(&told, 1, opened(1, 60)).0, Verdict::TooLow { shown: 50 }, "it did not look again");
    let told = known(Shown { size: 50, ..GUESS });
    told.raised(|_| ());
    told.shown(INO, GUESS, told.arrived());
    assert_eq!(open(&told, 1, opened(1, 60)).0, Verdict::LookAgain);
}

#[test]
fn the_end_of_an_older_version_counts_as_told() {
    let told = known(TRUE);
    told.ended_at(INO, 60);
    assert_eq!(open(&told, 1, opened(1, 60)).0, Verdict::Exact);
    told.ended_at(INO, 40);
    assert_eq!(open(&told, 1, opened(2, 60)), (Verdict::LookAgain, true));
}

#[test]
fn what_the_kernel_forgot_is_not_remembered() {
    let told = known(GUESS);
    told.looked_up(INO, GUESS, told.arrived());
    assert_eq!(open(&told, 1, opened(1, 60)).0, Verdict::LookAgain);
    assert_eq!(told.forget(INO, 1), []);
    assert_eq!(told.forget(INO, 1), [opened(1, 60)]);
    assert_eq!(told.forget(INO, 1), []);
    let shard = told.shard(INO);
    assert!(shard.files.is_empty() && shard.unsure.is_empty() && shard.expected.is_empty());
}

/// The kernel as far as sizes go: replies that are older than what it took over, or than a notice, are discarded.
struct Kernel {
    version: u64,
    size: u64,
    attributes_are_valid: bool,
}

/// A request for attributes: the kernel's version when it was sent; when we got it; what it was answered.
struct Look {
    version: u64,
    arrival: Option<Arrival>,
    answer: Option<u64>,
}

/// Where a program's `open` is.
enum Step {
    /// Its path is walked, for the first or second time, by the answer to a request if one was sent.
    Walking(bool, Option<Look>),
    /// Our answer is awaited since then.
    Opening(bool, Option<Arrival>),
    Done,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Four programs open one file, others look at it, its size becomes known or grows, the kernel is told of unrelated changes: in any order
    /// and with any delay. Nobody reads by a wrong size. If the size changes once, nobody sees an error either.
    #[test]
    fn no_order_of_events_lets_a_program_read_by_a_wrong_size(moves in proptest::collection::vec((0u8..12, 0usize..4), 0..80), grows in any::<bool>()) {
        let told = Told::new();
        let mut truth = 100;
        told.looked_up(INO, Shown { size: 100, is_estimate: false }, told.arrived());
        let mut kernel = Kernel { version: 1, size: 100, attributes_are_valid: true };
        let mut looks: Vec<Look> = Vec::new();
        let mut programs: Vec<Step> = (0..4).map(|_| Step::Walking(false, None)).collect();
        let mut changes = 0;
        let mut parked: HashSet<u64> = HashSet::new();
        let mut handles = 0;
        let (look, take) = (
            |kernel: &Kernel| Look { version: kernel.version, arrival: None, answer: None },
            |kernel: &mut Kernel, look: &Look| {
                if kernel.version <= look.version {
                    kernel.version += 1;
                    kernel.size = look.answer.unwrap();
                    kernel.attributes_are_valid = true;
                }
            },
        );
        let answer = |look: &mut Look, truth: u64| {
            let shown = Shown { size: truth, is_estimate: false };
            told.shown(INO, shown, look.arrival.unwrap());
            look.answer = Some(truth);
        };
        for (kind, who) in moves {
            match kind {
                0 if changes == 0 || grows => {
                    changes += 1;
                    truth += 1;
                }
                1 => { told.notice(INO, || { kernel.version += 1; kernel.attributes_are_valid = false; }); }
                2 => looks.push(look(&kernel)),
                3 => if let Some(look) = looks.iter_mut().find(|look| look.arrival.is_none()) { look.arrival = Some(told.arrived()) },
                4 => if let Some(look) = looks.iter_mut().find(|look| look.arrival.is_some() && look.answer.is_none()) { answer(look, truth) },
                5 => if let Some(index) = looks.iter().position(|look| look.answer.is_some()) {
                    let look = looks.swap_remove((index + who) % looks.len());
                    if look.answer.is_some() { take(&mut kernel, &look) }
                },
                _ => {
                    let thread = who as u32 + 1;
                    programs[who] = match std::mem::replace(&mut programs[who], Step::Done) {
                        // The second walk always asks, and so does the check of permissions where attributes were dropped.
                        Step::Walking(again, None) if again || !kernel.attributes_are_valid => Step::Walking(again, Some(look(&kernel))),
                        Step::Walking(again, None) => Step::Opening(again, None),
                        Step::Walking(again, Some(mut look)) => {
                            if look.arrival.is_none() { look.arrival = Some(told.arrived()); Step::Walking(again, Some(look)) }
                            else if look.answer.is_none() { answer(&mut look, truth); Step::Walking(again, Some(look)) }
                            else { take(&mut kernel, &look); Step::Opening(again, None) }
                        }
                        Step::Opening(again, None) => {
                            let arrival = told.arrived();
                            match told.repeated(INO, thread, arrival) {
                                Some(Ok(opened)) => {
                                    prop_assert!(parked.remove(&opened.handle));
                                    prop_assert_eq!(kernel.size, opened.size, "by a file that was kept");
                                    Step::Done
                                }
                                Some(Err(opened)) => { prop_assert!(parked.remove(&opened.handle)); Step::Opening(again, Some(arrival)) }
                                None => Step::Opening(again, Some(arrival)),
                            }
                        }
                        Step::Opening(again, Some(arrival)) => {
                            handles += 1;
                            let mut useless = Vec::new();
                            let notify = || { kernel.version += 1; kernel.attributes_are_valid = false; };
                            let verdict = told.verdict(INO, opened(handles, truth), &caller(thread, arrival), notify, &mut useless);
                            for opened in useless { prop_assert!(parked.remove(&opened.handle)); }
                            match verdict {
                                Verdict::Exact => { prop_assert_eq!(kernel.size, truth); Step::Done }
                                Verdict::LookAgain => {
                                    prop_assert!(grows || !again, "a program saw ESTALE");
                                    parked.insert(handles);
                                    if again { Step::Done } else { Step::Walking(true, None) }
                                }
                                Verdict::TooLow { .. } => panic!("no estimate was shown"),
                            }
                        }
                        Step::Done => Step::Walking(false, None),
                    };
                }
            }
        }
    }
}
