//! `media::sync` over the scheduler.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, Ordering};

pub use shuttle::future::yield_now;
pub use shuttle::sync::atomic::{AtomicI64, AtomicU64};
pub use shuttle::sync::{Mutex, MutexGuard};

/// Time passes where it passes in earnest: at the disk, and until somebody looks whether a thread has ended.
pub fn pause() {
    let turns = shuttle::rand::thread_rng().gen_range(0..4);
    for _ in 0..turns * turns * turns {
        shuttle::thread::yield_now();
    }
}

/// A blocking thread's end.
pub struct JoinHandle<T> {
    value: oneshot::Receiver<T>,
    finished: Arc<AtomicBool>,
}

impl<T> JoinHandle<T> {
    pub fn is_finished(&self) -> bool {
        pause();
        self.finished.load(Ordering::SeqCst)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.value).poll(cx)
    }
}

pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (sender, value) = oneshot::channel();
    let finished = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&finished);
    shuttle::thread::spawn(move || {
        let value = work();
        mark.store(true, Ordering::SeqCst);
        let _ = sender.send(value);
    });
    JoinHandle { value, finished }
}

pub fn aside(work: impl FnOnce() + Send + 'static) {
    shuttle::thread::spawn(work);
}

/// Here every task runs.
pub fn never_ran(_error: &oneshot::error::RecvError) -> bool {
    false
}

/// Never up.
pub async fn timeout<F: Future>(_limit: Duration, future: F) -> Result<F::Output, ()> {
    Ok(future.await)
}

/// Spawns on the scheduler.
pub struct Runtime;

impl Runtime {
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(future));
    }
}
