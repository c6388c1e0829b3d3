//! A future that is polled at once, on the thread at hand, and becomes a task only when something wakes it.
//!
//! Most requests of the kernel are ready at the first poll and never become one. Of the others a task that is spawned at once
//! would be polled a second time only to find that it has to wait: a hand-over to another thread, for nothing.
//!
//! Knows nothing of what the future does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;

/// Boxed: it moves into a task.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `future` to its end: as far as it gets at once here, then in a task of `runtime`, whose timers and tasks it may use. False: it
/// waits.
pub fn run(runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) -> bool {
    let mut work: Work = Box::pin(future);
    let parked = Arc::new(Parked { runtime: runtime.clone(), place: Mutex::new(Place::Polled) });
    let waker = Waker::from(Arc::clone(&parked));
    let _context = runtime.enter();
    if work.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
        return true;
    }
    let mut place = parked.lock();
    if matches!(*place, Place::Woken) {
        drop(place);
        runtime.spawn(work);
    } else {
        *place = Place::Waits(work);
    }
    false
}

/// A future between its first poll and its first waking.
struct Parked {
    runtime: Handle,
    place: Mutex<Place>,
}

enum Place {
    /// In the hands of [`run`].
    Polled,
    /// Here.
    Waits(Work),
    /// Gone on; or about to, from the hands of [`run`].
    Woken,
}

impl Parked {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock()
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let place = std::mem::replace(&mut *self.lock(), Place::Woken);
        if let Place::Waits(work) = place {
            self.runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn what_is_ready_is_done_on_the_spot() {
        let runtime = runtime();
        let (sender, receiver) = channel();
        let here = std::thread::current().id();
        run(runtime.handle(), async move { sender.send(std::thread::current().id()).unwrap() });
        assert_eq!(receiver.try_recv(), Ok(here));
    }

    #[test]
    fn what_waits_goes_on_in_the_runtime() {
        let runtime = runtime();
        let (sender, receiver) = channel();
        let (wake, mut woken) = tokio::sync::mpsc::channel::<u32>(1);
        run(runtime.handle(), async move {
            let first = woken.recv().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send((first, woken.recv().await, std::thread::current().id())).unwrap();
        });
        assert!(receiver.try_recv().is_err());
        wake.blocking_send(7).unwrap();
        drop(wake);
        let (first, second, thread) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((first, second), (7, None));
        assert_ne!(thread, std::thread::current().id());
    }

    /// Wakings that come before, while and after the future is put down.
    #[test]
    fn no_waking_is_lost() {
        let runtime = runtime();
        let (sender, receiver) = channel();
        for _ in 0..2000 {
            let (wake, woken) = tokio::sync::oneshot::channel();
            let waker = std::thread::spawn(move || wake.send(()).unwrap());
            let sender = sender.clone();
            run(runtime.handle(), async move {
                woken.await.unwrap();
                sender.send(()).unwrap();
            });
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
            waker.join().unwrap();
        }
    }
}
