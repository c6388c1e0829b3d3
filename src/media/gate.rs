//! Who may talk to a media host now: so many connections per host, and memory for all of them together.
//!
//! Fair between hosts: a connection that is free for several goes to the host that has the fewest, and the last one that memory
//! allows only to a host that has none. So a host that is slow, or asked for much, keeps none away from the others. Within a host,
//! fetches that a read waits for go first, whatever recording they are of, then first come, first served; a fetch that nobody waits for gives
//! its connection back between two blocks when one that a read waits for has none.
//!
//! Decisions are in [`Turns`]; [`Gate`] keeps it behind a mutex that is never held across an await. Knows neither links nor bytes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::error::MediaError;
use super::settings::FETCH_MEMORY_BYTES;
use super::traffic::Traffic;

/// With fewer fetches than this in memory none is set aside.
const SHARED_FETCHES_MIN: usize = 4;

/// A media host, by its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(pub Arc<str>);

/// What is in use, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSnapshot {
    /// Connections that each host may have.
    pub connections_max: usize,
    /// Bytes that buffers of fetches under way may take.
    pub buffer_bytes: u64,
    /// Hosts that are in use.
    pub hosts: Vec<HostUse>,
}

/// One host's part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUse {
    pub host: HostName,
    pub connections: usize,
    /// Fetches that wait for a connection.
    pub waiting: usize,
}

/// Limits what all fetches together take: connections and memory. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Mutex<State>>,
}

struct State {
    turns: Turns,
    waiting: HashMap<u64, oneshot::Sender<Pass>>,
}

/// The right to one connection and to memory for what it brings; given back when dropped.
#[must_use]
pub struct Pass {
    shared: Arc<Mutex<State>>,
    /// None once the connection was given back.
    host: Option<HostName>,
    /// It is about to be given back to a fetch that a read waits for.
    yields: bool,
}

impl Pass {
    /// Gives the connection back and keeps the memory, for what is still on its way to the disk.
    pub fn hang_up(&mut self) {
        if let Some(host) = self.host.take() {
            lock(&self.shared).turns.hang_up(&host, self.yields);
            grant(&self.shared);
        }
    }

    /// Whether the fetch `own`, whose pass this is, must hang up so that one goes on that a read waits for. To be asked where it can stop
    /// without losing what arrived.
    pub fn must_yield(&mut self, own: &Traffic) -> bool {
        if !self.yields
            && !own.is_awaited()
            && let Some(host) = &self.host
        {
            self.yields = lock(&self.shared).turns.ask_back(host);
        }
        self.yields
    }
}

impl Gate {
    /// At most `connections` fetches per host, which together buffer at most `memory` bytes. One fetch always fits.
    pub fn new(connections: usize, memory: u64) -> Gate {
        let fetches = usize::try_from(memory / FETCH_MEMORY_BYTES).unwrap_or(usize::MAX);
        let state = State { turns: Turns::new(connections, fetches), waiting: HashMap::new() };
        Gate { shared: Arc::new(Mutex::new(state)) }
    }

    /// Waits for a connection to this host for the fetch that `traffic` tells of. Dropping the future leaves the queue.
    pub async fn enter(&self, host: &HostName, traffic: &Arc<Traffic>) -> Result<Pass, MediaError> {
        let (sender, pass) = oneshot::channel();
        let ticket = {
            let mut state = lock(&self.shared);
            let ticket = state.turns.join(host, Arc::clone(traffic));
            state.waiting.insert(ticket, sender);
            ticket
        };
        let _place = Place { shared: &self.shared, host, ticket };
        grant(&self.shared);
        pass.await.map_err(|_| MediaError::source("the cache is closed"))
    }

    /// Fetches that readahead may start now without making a waiting read queue. `host`: where they lead, as far as that is known.
    pub fn spare(&self, host: Option<&HostName>) -> usize {
        lock(&self.shared).turns.spare(host)
    }

    /// What is in use.
    pub fn snapshot(&self) -> GateSnapshot {
        let state = lock(&self.shared);
        let hosts = state.turns.hosts.iter().map(|(host, queue)| HostUse {
            host: host.clone(),
            connections: queue.active,
            waiting: queue.waiting.len(),
        });
        GateSnapshot {
            connections_max: state.turns.connections_max,
            buffer_bytes: (state.turns.fetches_max as u64).saturating_mul(FETCH_MEMORY_BYTES),
            hosts: hosts.collect(),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.snapshot()).finish()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pass").field(&self.host).finish()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.hang_up();
        lock(&self.shared).turns.leave();
        grant(&self.shared);
    }
}

/// A place in the queue, given up on drop if nothing came of it.
struct Place<'a> {
    shared: &'a Arc<Mutex<State>>,
    host: &'a HostName,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.shared);
        if state.waiting.remove(&self.ticket).is_some() {
            state.turns.give_up(self.host, self.ticket);
        }
    }
}

/// Hands out what is free.
fn grant(shared: &Arc<Mutex<State>>) {
    let mut granted = Vec::new();
    {
        let mut state = lock(shared);
        while let Some((host, ticket)) = state.turns.next() {
            let pass = Pass { shared: Arc::clone(shared), host: Some(host), yields: false };
            granted.push((state.waiting.remove(&ticket), pass));
        }
    }
    for (sender, pass) in granted {
        // A pass that nobody takes any more is dropped here, and goes on to the next.
        match sender {
            Some(sender) => drop(sender.send(pass)),
            None => drop(pass),
        }
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock()
}

/// Whose turn it is. Pure.
#[derive(Debug)]
struct Turns {
    connections_max: usize,
    /// Fetches that memory allows at once.
    fetches_max: usize,
    /// Fetches in memory: those that have a connection, and those that wait for the disk.
    fetches: usize,
    next_ticket: u64,
    /// Hosts with somebody active or waiting.
    hosts: BTreeMap<HostName, HostQueue>,
}

#[derive(Debug, Default)]
struct HostQueue {
    active: usize,
    /// Of the active ones, those that are about to give their connection back.
    yielding: usize,
    waiting: VecDeque<(u64, Arc<Traffic>)>,
}

impl HostQueue {
    /// The place in the queue whose turn is next, and whether a read waits for it.
    fn first(&self) -> Option<(usize, bool)> {
        let awaited = self.waiting.iter().position(|(_, traffic)| traffic.is_awaited());
        awaited.map(|place| (place, true)).or_else(|| (!self.waiting.is_empty()).then_some((0, false)))
    }
}

impl Turns {
    fn new(connections: usize, fetches: usize) -> Turns {
        let (connections_max, fetches_max) = (connections.clamp(1, 1024), fetches.max(1));
        Turns { connections_max, fetches_max, fetches: 0, next_ticket: 0, hosts: BTreeMap::new() }
    }

    fn join(&mut self, host: &HostName, traffic: Arc<Traffic>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.hosts.entry(host.clone()).or_default().waiting.push_back((ticket, traffic));
        ticket
    }

    /// Takes the next turn that may be had now: host and ticket.
    fn next(&mut self) -> Option<(HostName, u64)> {
        if self.fetches >= self.fetches_max {
            return None;
        }
        let last_is_kept = self.fetches_max >= SHARED_FETCHES_MIN && self.fetches + 1 == self.fetches_max;
        let may = |queue: &HostQueue| queue.active < self.connections_max && !(last_is_kept && queue.active > 0);
        let candidates = self.hosts.iter_mut().filter(|(_, queue)| may(queue));
        let waiting = candidates.filter_map(|(host, queue)| {
            let (place, awaited) = queue.first()?;
            let order = (!awaited, queue.active, queue.waiting[place].0);
            Some((order, place, host, queue))
        });
        let (_, place, host, queue) = waiting.min_by_key(|(order, ..)| *order)?;
        let (ticket, _) = queue.waiting.remove(place)?;
        queue.active += 1;
        self.fetches += 1;
        Some((host.clone(), ticket))
    }

    /// Memory is free again.
    fn leave(&mut self) {
        self.fetches = self.fetches.saturating_sub(1);
    }

    /// Whether one more active fetch of this host must give its connection back: reads wait for more fetches than have been promised one.
    fn ask_back(&mut self, host: &HostName) -> bool {
        let Some(queue) = self.hosts.get_mut(host) else { return false };
        let awaited = queue.waiting.iter().filter(|(_, traffic)| traffic.is_awaited()).count();
        let asks = awaited > queue.yielding;
        queue.yielding += usize::from(asks);
        asks
    }

    /// A connection is free again.
    fn hang_up(&mut self, host: &HostName, yielded: bool) {
        if let Some(queue) = self.hosts.get_mut(host) {
            queue.active = queue.active.saturating_sub(1);
            queue.yielding = queue.yielding.saturating_sub(usize::from(yielded));
        }
        self.forget_if_idle(host);
    }

    /// One who waited does so no more.
    fn give_up(&mut self, host: &HostName, ticket: u64) {
        if let Some(queue) = self.hosts.get_mut(host) {
            queue.waiting.retain(|(waiting, _)| *waiting != ticket);
        }
        self.forget_if_idle(host);
    }

    fn forget_if_idle(&mut self, host: &HostName) {
        if self.hosts.get(host).is_some_and(|queue| queue.active == 0 && queue.waiting.is_empty()) {
            self.hosts.remove(host);
        }
    }

    fn spare(&self, host: Option<&HostName>) -> usize {
        let active = match host {
            Some(host) => self.hosts.get(host).map_or(0, |queue| queue.active),
            None => self.hosts.values().map(|queue| queue.active).max().unwrap_or(0),
        };
        let by_host = self.connections_max.saturating_sub(active);
        // What is kept free is for reads that wait.
        by_host.min(self.fetches_max.saturating_sub(self.fetches)).saturating_sub(self.connections_max / 4)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn host(name: &str) -> HostName {
        HostName(name.into())
    }

    /// A fetch that nobody waits for.
    fn idle() -> Arc<Traffic> {
        Arc::default()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_read_waits_for_goes_before_readahead_that_has_queued_longer() {
        let (gate, a) = (Gate::new(2, 1 << 30), host("a"));
        let mut first = gate.enter(&a, &idle()).await.unwrap();
        let mut second = gate.enter(&a, &idle()).await.unwrap();
        assert!(!first.must_yield(&idle()), "nobody waits");
        let behind = |traffic: Arc<Traffic>| {
            let (gate, a) = (gate.clone(), a.clone());
            tokio::spawn(async move { gate.enter(&a, &traffic).await })
        };
        let (ahead, later) = (behind(idle()), Arc::<Traffic>::default());
        tokio::task::yield_now().await;
        let asked = behind(Arc::new(Traffic::asked()));
        let reads_later = behind(Arc::clone(&later));
        tokio::task::yield_now().await;
        assert!(!first.must_yield(&Traffic::asked()), "it is awaited itself");
        assert!(first.must_yield(&idle()) && !second.must_yield(&idle()), "one for one");
        drop(first);
        let asked = asked.await.unwrap().unwrap();
        assert!(!second.must_yield(&idle()));
        let waiter = later.wait();
        assert!(second.must_yield(&idle()), "a read came to wait for it in the queue");
        drop(second);
        let reads_later = reads_later.await.unwrap().unwrap();
        drop((waiter, asked));
        assert!(ahead.await.unwrap().is_ok());
        drop(reads_later);
        assert_eq!(gate.snapshot().hosts, []);
    }

    #[tokio::test]
    async fn readahead_leaves_connections_and_memory_to_waiting_reads() {
        let (gate, a) = (Gate::new(8, 1 << 30), host("a"));
        assert_eq!(gate.spare(None), 6);
        let passes = [gate.enter(&a, &idle()).await.unwrap(), gate.enter(&a, &idle()).await.unwrap()];
        assert_eq!((gate.spare(Some(&a)), gate.spare(None), gate.spare(Some(&host("b")))), (4, 4, 6));
        drop(passes);
        assert_eq!(Gate::new(8, 3 * FETCH_MEMORY_BYTES).spare(None), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_fits_into_any_memory() {
        let (gate, a) = (Gate::new(1, 0), host("a"));
        let pass = gate.enter(&a, &idle()).await.unwrap();
        assert!(timeout(SECOND, gate.enter(&a, &idle())).await.is_err());
        drop(pass);
        assert!(gate.enter(&a, &idle()).await.is_ok());
        assert_eq!(gate.snapshot().hosts, [], "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_connections_are_all_busy_keeps_nobody_from_another() {
        let gate = Gate::new(4, 1 << 30);
        let mut busy = Vec::new();
        for _ in 0..4 {
            busy.push(gate.enter(&host("slow"), &idle()).await.unwrap());
        }
        let queued = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(&host("slow"), &idle()).await }
        });
        tokio::task::yield_now().await;
        for _ in 0..4 {
            busy.push(timeout(SECOND, gate.enter(&host("quick"), &idle())).await.unwrap().unwrap());
        }
        let expected = [(host("quick"), 4, 0), (host("slow"), 4, 1)];
        let seen = gate.snapshot().hosts.into_iter().map(|used| (used.host, used.connections, used.waiting));
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        drop(busy);
        assert!(queued.await.unwrap().is_ok());
        assert_eq!(gate.snapshot().hosts, []);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_disk_takes_memory_but_no_connection() {
        let a = host("a");
        let (wide, narrow) = (Gate::new(1, 2 * FETCH_MEMORY_BYTES), Gate::new(1, 0));
        let mut written_later = [wide.enter(&a, &idle()).await.unwrap(), narrow.enter(&a, &idle()).await.unwrap()];
        written_later.iter_mut().for_each(Pass::hang_up);
        assert_eq!((wide.snapshot().hosts, narrow.snapshot().hosts), (Vec::new(), Vec::new()));
        assert!(wide.enter(&a, &idle()).await.is_ok());
        assert!(timeout(SECOND, narrow.enter(&a, &idle())).await.is_err());
        drop(written_later);
        assert!(narrow.enter(&a, &idle()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_no_trace() {
        let (gate, a) = (Gate::new(1, 1 << 30), host("a"));
        let pass = gate.enter(&a, &idle()).await.unwrap();
        assert!(timeout(SECOND, gate.enter(&a, &idle())).await.is_err());
        let behind = tokio::spawn({
            let (gate, a) = (gate.clone(), a.clone());
            async move { gate.enter(&a, &idle()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(gate.snapshot().hosts[0].waiting, 1);
        drop(pass);
        behind.await.unwrap().unwrap();
        assert_eq!(gate.snapshot().hosts, []);
    }

    #[test]
    fn where_memory_is_short_hosts_take_turns_and_the_last_place_is_for_one_that_has_none() {
        let mut turns = Turns::new(16, 6);
        let (a, b) = (host("a"), host("b"));
        for _ in 0..20 {
            turns.join(&a, idle());
        }
        let taken: Vec<HostName> = std::iter::from_fn(|| turns.next().map(|(host, _)| host)).collect();
        assert_eq!(taken, vec![a.clone(); 5], "the sixth is kept");
        for _ in 0..20 {
            turns.join(&b, idle());
        }
        assert_eq!(turns.next().map(|(host, _)| host), Some(b.clone()));
        assert_eq!(turns.next(), None);
        let leave = |turns: &mut Turns| {
            turns.hang_up(&a, false);
            turns.leave();
        };
        leave(&mut turns);
        assert_eq!(turns.next(), None, "the last place again");
        for _ in 0..4 {
            leave(&mut turns);
        }
        let taken: Vec<HostName> = std::iter::from_fn(|| turns.next().map(|(host, _)| host)).collect();
        assert_eq!(taken, [a.clone(), a.clone(), b, a], "whoever has fewest, and of equals who came first");
    }
}
