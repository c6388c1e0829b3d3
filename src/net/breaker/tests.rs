//! The breaker at work, on a paused clock.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Service {
    /// 0 answers, 1 refuses, 2 is silent.
    mood: AtomicU8,
    probes: AtomicU32,
}

#[async_trait]
impl Probe for Service {
    async fn probe(&self) -> Result<(), ApiError> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        match self.mood.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(refused()),
            _ => std::future::pending().await,
        }
    }
}

fn refused() -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, "cannot be reached").unsent()
}

fn silent() -> ApiError {
    ApiError::new(ApiErrorKind::Timeout, "did not answer")
}

fn breaker(mood: u8) -> (Breaker, Arc<Service>) {
    let service = Arc::new(Service::default());
    service.mood.store(mood, Ordering::Relaxed);
    (Breaker::new("test", service.clone()), service)
}

async fn fail(breaker: &Breaker, error: ApiError) {
    let admitted = breaker.admit().await.unwrap();
    breaker.conclude(admitted, Ask::of(&1), &Err::<(), _>(error));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_every_call_fails_within_two_seconds_and_says_why() {
    for (mood, error, kind) in [(1, refused(), ApiErrorKind::Unavailable), (2, silent(), ApiErrorKind::Timeout)] {
        let (breaker, service) = breaker(mood);
        fail(&breaker, error).await;
        // A probe asks whether a silent service is there at all.
        sleep(PROBE_MAX * 2).await;
        for _ in 0..20 {
            let begun = Instant::now();
            let error = breaker.admit().await.unwrap_err();
            assert!(begun.elapsed() < SECOND * 2, "{:?}", begun.elapsed());
            assert!(error.kind == kind && error.is_outage());
            assert!(std::error::Error::source(&error).is_some());
        }
        let many: Vec<_> = (0..100).map(|_| breaker.admit()).collect();
        let before = service.probes.load(Ordering::Relaxed);
        assert!(futures_util::future::join_all(many).await.iter().all(Result::is_err));
        assert!(service.probes.load(Ordering::Relaxed) <= before + 2, "one probe for all");
        assert!(breaker.state().down_for.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_after_it_is_back_is_served() {
    for (mood, error) in [(1, refused()), (2, silent())] {
        // Whatever the probe was doing when it came back.
        for offset_ms in (0..4000).step_by(130) {
            let (breaker, service) = breaker(mood);
            fail(&breaker, error.clone()).await;
            sleep(PROBE_MAX * 2).await;
            let _ = breaker.admit().await;
            sleep(Duration::from_millis(offset_ms)).await;
            service.mood.store(0, Ordering::Relaxed);
            let begun = Instant::now();
            let admitted = breaker.admit().await.unwrap();
            assert!(begun.elapsed() < SECOND * 2);
            breaker.conclude(admitted, Ask::of(&1), &Ok(()));
            assert_eq!(breaker.state().down_for, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_anybody_asking_probes_grow_rare() {
    let (breaker, service) = breaker(1);
    fail(&breaker, refused()).await;
    sleep(Duration::from_hours(1)).await;
    let probes = service.probes.load(Ordering::Relaxed);
    assert!((60..80).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn a_trial_lets_one_through_and_the_others_follow_its_success() {
    let (breaker, service) = breaker(1);
    fail(&breaker, refused()).await;
    service.mood.store(0, Ordering::Relaxed);
    let first = breaker.admit().await.unwrap();
    let second = tokio::spawn({
        let breaker = breaker.clone();
        async move { breaker.admit().await.is_ok() }
    });
    sleep(SECOND).await;
    assert!(!second.is_finished());
    breaker.conclude(first, Ask::of(&1), &Ok(()));
    assert!(second.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_the_tenant_refuses_is_no_outage() {
    let (breaker, _service) = breaker(1);
    for kind in [ApiErrorKind::Denied, ApiErrorKind::BadAnswer, ApiErrorKind::RateLimited { retry_after: None }] {
        for _ in 0..20 {
            fail(&breaker, ApiError::new(kind, "no")).await;
        }
    }
    assert!(breaker.admit().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_outage_ends_with_it() {
    let (breaker, _service) = breaker(1);
    let waiting = tokio::spawn({
        let breaker = breaker.clone();
        async move { breaker.down().await }
    });
    sleep(SECOND).await;
    assert!(!waiting.is_finished());
    fail(&breaker, refused()).await;
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_silent_ask_is_no_outage_while_the_service_answers_a_probe() {
    let (breaker, service) = breaker(0);
    for _ in 0..20 {
        fail(&breaker, silent()).await;
        sleep(PROBE_MAX * 2).await;
        assert_eq!(breaker.state().down_for, None);
    }
    assert!(service.probes.load(Ordering::Relaxed) <= 20);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_quiet_for_long_makes_a_probe_and_only_that_decides() {
    for (mood, is_down) in [(0, false), (1, true), (2, true)] {
        let (breaker, _service) = breaker(mood);
        let slow = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.watch(SECOND, sleep(SECOND * 20)).await }
        });
        sleep(SECOND * 3).await;
        assert!(!slow.is_finished());
        assert_eq!(breaker.state().down_for.is_some(), is_down, "{mood}");
        let _ = slow.await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_answer_meanwhile_spares_the_probe() {
    let (breaker, service) = breaker(2);
    let slow = tokio::spawn({
        let breaker = breaker.clone();
        async move { breaker.watch(SECOND * 2, sleep(SECOND * 20)).await }
    });
    sleep(SECOND).await;
    let admitted = breaker.admit().await.unwrap();
    breaker.conclude(admitted, Ask::of(&2), &Ok(()));
    slow.await.unwrap();
    assert_eq!((service.probes.load(Ordering::Relaxed), breaker.state().down_for), (0, None));
}
