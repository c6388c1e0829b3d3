//! The limiter as a whole, on a paused clock, against a model of the tenant's own window.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Priority::{List, Open, Stat, Warm};
use super::*;
use crate::base::clock::ManualClock;

const MS: Duration = Duration::from_millis(1);
const SETTINGS: LimiterSettings = LimiterSettings { calls: 20, window: Duration::from_secs(2) };

fn limiter(settings: LimiterSettings) -> Limiter {
    Limiter::new(settings, Vec::new(), Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)))
}

/// The most arrivals in any window that begins with an arrival.
fn peak(mut arrivals: Vec<Instant>, window: Duration) -> usize {
    arrivals.sort_unstable();
    let within = |from: usize| arrivals[from..].iter().take_while(|at| **at < arrivals[from] + window).count();
    (0..arrivals.len()).map(within).max().unwrap_or(0)
}

/// Runs `callers` that each make calls one after the other for `span`; a call travels for `before`, then arrives, then is answered
/// after `behind`. Gives the arrivals.
async fn load(
    limiter: &Limiter,
    callers: usize,
    span: Duration,
    pending: impl Fn(&mut fastrand::Rng) -> (Duration, Duration) + Clone + Send + 'static,
) -> Vec<Instant> {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let end = Instant::now() + span;
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (limiter, arrivals, pending) = (limiter.clone(), arrivals.clone(), pending.clone());
        tasks.spawn(async move {
            let mut rng = fastrand::Rng::with_seed(caller as u64);
            while Instant::now() < end {
                let permit = limiter.acquire(Priority::ALL[caller % 4]).await;
                let in_flight = permit.spend();
                let (before, behind) = pending(&mut rng);
                sleep(before).await;
                arrivals.lock().unwrap().push(Instant::now());
                sleep(behind).await;
                in_flight.finished();
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    Arc::try_unwrap(arrivals).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn at_least_97_percent_of_the_limit_is_used() {
    let limiter = limiter(SETTINGS);
    let (begun, span) = (Instant::now(), Duration::from_secs(400));
    let arrivals = load(&limiter, 40, span, |_| (25 * MS, 25 * MS)).await;
    let made = arrivals.iter().filter(|at| **at < begun + span).count();
    let possible = 20.0 * span.as_secs_f64() / 2.0;
    assert!(made as f64 >= 0.97 * possible, "{made} of {possible}");
    assert_eq!(peak(arrivals, SETTINGS.window), 20);
}

#[tokio::test(start_paused = true)]
async fn the_tenant_never_sees_more_than_the_limit_however_long_requests_travel() {
    let limiter = limiter(SETTINGS);
    let millis = |rng: &mut fastrand::Rng| MS * rng.u32(0..3000);
    let arrivals = load(&limiter, 60, Duration::from_secs(200), move |rng| (millis(rng), millis(rng))).await;
    assert!(arrivals.len() > 300);
    assert!(peak(arrivals, SETTINGS.window) <= 20);
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_is_served_first_and_equals_in_order() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_secs(1) });
    limiter.acquire(Priority::Open).await.spend().finished();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for (number, priority) in [Warm, List, Open, Warm, Stat, Open, List, Stat].into_iter().enumerate() {
        let (limiter, order) = (limiter.clone(), order.clone());
        tasks.spawn(async move {
            let in_flight = limiter.acquire(priority).await.spend();
            order.lock().unwrap().push((priority, number));
            in_flight.finished();
        });
        // Each joins the queue before the next.
        tokio::task::yield_now().await;
        sleep(MS).await;
    }
    assert_eq!(limiter.snapshot().waiting, [2, 2, 2, 2]);
    while tasks.join_next().await.is_some() {}
    let expected = [(Open, 2), (Open, 5), (Stat, 4), (Stat, 7), (List, 1), (List, 6), (Warm, 0), (Warm, 3)];
    assert_eq!(*order.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiters_leave_no_trace() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_secs(10) });
    let begun = Instant::now();
    limiter.acquire(Priority::Open).await.spend().finished();
    for priority in Priority::ALL {
        assert!(timeout(MS, limiter.acquire(priority)).await.is_err());
    }
    assert_eq!(limiter.snapshot().waiting, [0; 4]);
    // The head of the queue gives up in the middle of its sleep; the one behind takes over.
    let behind = tokio::spawn({
        let limiter = limiter.clone();
        async move {
            sleep(MS).await;
            drop(limiter.acquire(Priority::Warm).await);
            Instant::now()
        }
    });
    assert!(timeout(Duration::from_secs(5), limiter.acquire(Priority::Open)).await.is_err());
    let served = behind.await.unwrap() - begun;
    assert!(served >= Duration::from_secs(10) && served < Duration::from_millis(10_010), "{served:?}");
    assert_eq!(limiter.snapshot().used, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_gives_its_slot_back_at_once() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_secs(10) });
    let permit = limiter.acquire(Priority::Open).await;
    assert_eq!(limiter.snapshot().used, 1);
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move { drop(limiter.acquire(Priority::Warm).await) }
    });
    sleep(MS).await;
    let returned = Instant::now();
    drop(permit);
    waiting.await.unwrap();
    assert_eq!(Instant::now(), returned);
    assert_eq!(limiter.snapshot().used, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_of_an_earlier_process_count() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let clock = Arc::new(ManualClock::new(now));
    let ago = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).unwrap();
    let settings = LimiterSettings { calls: 2, window: Duration::from_mins(5) };
    let limiter = Limiter::new(settings, vec![ago(10), ago(200), ago(301), ago(5000)], clock);
    assert_eq!(limiter.snapshot().used, 2, "three may still count; the latest two decide");
    let begun = Instant::now();
    let _permit = limiter.acquire(Priority::Open).await;
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(100) && waited < Duration::from_secs(103), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_everyone_and_loses_no_one() {
    let limiter = limiter(SETTINGS);
    limiter.acquire(Priority::Open).await.spend().throttled(Some(Duration::from_secs(7)));
    assert_eq!(limiter.snapshot().paused_for, Duration::from_secs(7));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..30 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            limiter.acquire(Priority::Stat).await.spend().finished();
            Instant::now()
        });
    }
    sleep(MS).await;
    assert_eq!(limiter.snapshot().held_by, Some(HeldBy::Pause));
    let served = tasks.join_all().await;
    assert!(served.iter().all(|at| *at - begun >= Duration::from_secs(7)));
}

/// A tenant that allows `allowed` calls in any window of the limiter's; it counts what it accepts. `callers` work off `calls`.
/// Gives the refusals, and how long it took.
async fn work_off(
    limiter: &Limiter,
    allowed: usize,
    callers: usize,
    calls: usize,
    latency: Duration,
) -> (usize, Duration) {
    let accepted: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let refused: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let window = limiter.snapshot().window;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (limiter, accepted, refused) = (limiter.clone(), accepted.clone(), refused.clone());
        tasks.spawn(async move {
            while accepted.lock().unwrap().len() < calls {
                let in_flight = limiter.acquire(Priority::Open).await.spend();
                sleep(latency).await;
                let admitted = {
                    let (now, mut accepted) = (Instant::now(), accepted.lock().unwrap());
                    let admitted = accepted.iter().filter(|at| **at + window > now).count() < allowed;
                    accepted.extend(admitted.then_some(now));
                    admitted
                };
                if admitted {
                    sleep(latency).await;
                    in_flight.finished();
                } else {
                    refused.lock().unwrap().push(Instant::now());
                    in_flight.throttled(None);
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let (refused, accepted) = (refused.lock().unwrap(), accepted.lock().unwrap());
    // Callers that had begun another one by then do not count.
    let end = accepted[calls - 1];
    (refused.iter().filter(|at| **at <= end).count(), end - begun)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_a_lower_limit_refuses_few_and_all_are_served() {
    for allowed in [2, 3, 7, 10, 19] {
        for callers in [1, 50] {
            let limiter = limiter(SETTINGS);
            let calls = 30 * allowed;
            let (refused, took) = work_off(&limiter, allowed, callers, calls, 5 * MS).await;
            assert!(refused <= 8 + 30 * 2, "{refused} refusals where {allowed} are allowed");
            let least = SETTINGS.window * 29;
            assert!(took < least * 3, "{took:?} for {calls} calls where {allowed} are allowed, at least {least:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_tenant_refuses_everything_it_is_asked_less_and_less() {
    let limiter = limiter(LimiterSettings { calls: 150, window: Duration::from_mins(5) });
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_mins(5) {
        // Whatever the tenant says of when to come back.
        limiter.acquire(Priority::Open).await.spend().throttled(Some(Duration::ZERO));
        refused += 1;
    }
    assert!(refused <= 12, "{refused}");
    assert_eq!(limiter.snapshot().learned_limit, 150, "nothing accepted shows no limit");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_limiter_starts_slowly_for_seconds_and_says_so() {
    let limiter = limiter(LimiterSettings { calls: 150, window: Duration::from_mins(5) });
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..24 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let in_flight = limiter.acquire(Priority::Open).await.spend();
            sleep(Duration::from_secs(1)).await;
            in_flight.finished();
        });
    }
    sleep(MS).await;
    assert_eq!((limiter.snapshot().used, limiter.snapshot().held_by), (8, Some(HeldBy::SlowStart)));
    tasks.join_all().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "8 and then 16");
    assert_eq!((limiter.snapshot().held_by, limiter.snapshot().held_for), (None, None));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_told_how_long() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_mins(5) });
    limiter.acquire(Priority::Open).await.spend().finished();
    assert_eq!(limiter.snapshot().held_for, None, "nobody waits");
    let waiter = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire(Priority::Open).await }
    });
    sleep(Duration::from_mins(1)).await;
    let snapshot = limiter.snapshot();
    assert_eq!(snapshot.held_by, Some(HeldBy::Window));
    assert_eq!(snapshot.held_for.map(|wait| wait.as_secs_f64().round()), Some(240.0));
    drop(waiter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_hold_nobody_back() {
    let limiter = limiter(LimiterSettings { calls: 150, window: Duration::from_mins(5) });
    let mut hanging = Vec::new();
    for _ in 0..100 {
        hanging.push(limiter.acquire(Priority::Open).await.spend());
    }
    let begun = Instant::now();
    limiter.acquire(Priority::Open).await.spend().finished();
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn one_user_with_many_calls_leaves_the_others_their_turn() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_secs(1) });
    let (greedy, modest) = (UserKey::Uid(1), UserKey::Named("modest".into()));
    let mut tasks = JoinSet::new();
    for _ in 0..300 {
        let (limiter, greedy) = (limiter.clone(), greedy.clone());
        tasks.spawn(async move { limiter.acquire_for(Priority::Open, &greedy).await.unwrap().spend().finished() });
    }
    sleep(MS).await;
    assert_eq!(limiter.waiting_of(&greedy), 299, "alone, it may have as many as it likes");
    let begun = Instant::now();
    let other = limiter.acquire_for(Priority::Open, &modest);
    let beyond = async {
        sleep(MS).await;
        limiter.acquire_for(Priority::Open, &greedy).await
    };
    let (served, beyond) = tokio::join!(other, beyond);
    served.unwrap().spend().finished();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(beyond.err(), Some(Crowded { waiting: 299 }));
    tasks.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_cost_nothing_go_out_side_by_side() {
    let limiter = Limiter::for_free_calls("listing", SETTINGS, Timestamp::UNIX_EPOCH, 1);
    let begun = Instant::now();
    let permits: Vec<Permit> = futures_util::future::join_all((0..20).map(|_| limiter.acquire(Priority::List))).await;
    assert_eq!((permits.len(), begun.elapsed()), (20, Duration::ZERO));
    for permit in permits {
        permit.spend().finished();
    }
    assert!(timeout(MS, limiter.acquire(Priority::List)).await.is_err(), "and not one more");
}

#[tokio::test(start_paused = true)]
async fn refusals_that_cost_nothing_slow_down_for_as_long_as_they_last() {
    let settings = LimiterSettings { calls: 600, window: Duration::from_mins(1) };
    let limiter = Limiter::for_free_calls("listing", settings, Timestamp::UNIX_EPOCH, 1);
    // More in this window than a limit that was learned too early would allow.
    for _ in 0..120 {
        limiter.acquire(Priority::List).await.spend().finished();
    }
    limiter.acquire(Priority::List).await.spend().throttled(Some(Duration::from_secs(1)));
    let begun = Instant::now();
    for _ in 0..50 {
        limiter.acquire(Priority::List).await.spend().finished();
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(limiter.snapshot().learned_limit, 600);
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_left_cost_no_slot() {
    let limiter = limiter(LimiterSettings { calls: 1, ..SETTINGS });
    for _ in 0..5 {
        limiter.acquire(Priority::Open).await.spend().unsent();
    }
    assert_eq!(limiter.snapshot().used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_holds_at_once_and_a_lowered_one_is_never_exceeded() {
    let limiter = limiter(LimiterSettings { calls: 1, window: Duration::from_secs(100) });
    limiter.acquire(Priority::Open).await.spend().finished();
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire(Priority::Open).await.spend().finished() }
    });
    sleep(MS).await;
    let begun = Instant::now();
    limiter.reconfigure(LimiterSettings { calls: 2, window: Duration::from_secs(100) });
    waiting.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    limiter.reconfigure(LimiterSettings { calls: 1, window: Duration::from_secs(10) });
    limiter.acquire(Priority::Open).await.spend().finished();
    assert!(begun.elapsed() >= Duration::from_secs(100), "what was taken stays taken");
}

#[tokio::test(start_paused = true)]
async fn the_permit_can_move_to_another_task() {
    fn movable<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let limiter = movable(limiter(SETTINGS));
    let permit = movable(limiter.acquire(Priority::Open).await);
    tokio::spawn(async move { movable(permit.spend()).finished() }).await.unwrap();
    assert_eq!(limiter.snapshot().used, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever callers do (give up, return permits, make long calls, report 429s), the tenant never sees too many, everyone
    /// who stays is served, and at the end nothing is left behind.
    #[test]
    fn under_any_use_the_limit_holds(seed in any::<u64>(), calls in 1_u32..8, window_ms in 1_u64..3000, callers in 1_usize..24) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let window = Duration::from_millis(window_ms);
        let outcome = runtime.block_on(async move {
            let limiter = limiter(LimiterSettings { calls, window });
            let arrivals = Arc::new(Mutex::new(Vec::new()));
            let mut tasks = JoinSet::new();
            for caller in 0..callers {
                let (limiter, arrivals) = (limiter.clone(), arrivals.clone());
                let mut rng = fastrand::Rng::with_seed(seed ^ (caller as u64).wrapping_mul(0x9e37_79b9));
                tasks.spawn(async move {
                    for _ in 0..12 {
                        let acquire = limiter.acquire(Priority::ALL[rng.usize(0..4)]);
                        let permit = if rng.u8(0..4) == 0 {
                            match timeout(MS * rng.u32(0..2000), acquire).await {
                                Ok(permit) => permit,
                                Err(_) => continue,
                            }
                        } else {
                            acquire.await
                        };
                        sleep(MS * rng.u32(0..20)).await;
                        if rng.u8(0..5) == 0 {
                            continue;
                        }
                        let in_flight = permit.spend();
                        sleep(MS * rng.u32(0..400)).await;
                        arrivals.lock().unwrap().push(Instant::now());
                        sleep(MS * rng.u32(0..400)).await;
                        match rng.u8(0..20) {
                            0 => in_flight.throttled(if rng.bool() { Some(MS * rng.u32(0..500)) } else { None }),
                            1 => drop(in_flight),
                            _ => in_flight.finished(),
                        }
                    }
                });
            }
            let all = async { while let Some(task) = tasks.join_next().await { task.unwrap() } };
            let ended = timeout(Duration::from_hours(48), all).await.is_ok();
            sleep(window * 2).await;
            let arrivals = arrivals.lock().unwrap().clone();
            (ended, peak(arrivals, window), limiter.snapshot())
        });
        let (ended, peak, snapshot) = outcome;
        prop_assert!(ended, "someone was never served");
        prop_assert!(peak <= calls as usize, "{peak} of {calls}");
        prop_assert_eq!((snapshot.used, snapshot.waiting), (0, [0; 4]));
    }
}
