//! The slots of a sliding window. Pure: the time is passed in and must not go backwards.
//!
//! A slot is taken when a permit is handed out, stays taken while the call is under way, and is free a window after the call's end.
//! Between two calls that use the same slot there is therefore at least a window from the first one's answer to the second one's
//! sending, hence also between their arrivals at the tenant, however long either travelled.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::settings::LimiterSettings;

/// Clocks run at different speeds: 100 parts in a million is what an undisciplined quartz may be off. The window is made longer by
/// this part of it (30 ms in 5 minutes).
const CLOCK_DRIFT_DIVISOR: u32 = 10_000;
/// A call of an earlier process is known by its row in the ledger; this part of the window, within these bounds, is allowed for
/// writing the row and for the call's way to the tenant.
const SEED_FLIGHT_DIVISOR: u32 = 20;
const SEED_FLIGHT_MIN: Duration = Duration::from_millis(250);
const SEED_FLIGHT_MAX: Duration = Duration::from_secs(2);

/// When a slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FreeAt {
    Now,
    At(Instant),
    /// Not before a call that is under way, or a permit that is out, has come to its end.
    AfterACall,
}

/// Which slots are taken, and until when.
#[derive(Debug)]
pub(super) struct Window {
    /// How long a slot stays taken after its call's end.
    hold: Duration,
    /// Permits handed out and not yet spent.
    reserved: u32,
    /// Calls under way.
    in_flight: u32,
    /// The slots of ended calls, in the order in which they come free.
    ended: VecDeque<Ended>,
}

/// A call that has ended and still counts.
#[derive(Clone, Copy, Debug)]
struct Ended {
    free_at: Instant,
    /// The tenant accepted it, as far as we know.
    accepted: bool,
}

impl Window {
    /// A window in which calls began at these wall times. Times in the future (a clock was set back) count as the present.
    pub fn seeded(settings: LimiterSettings, recent: &[Timestamp], wall_now: Timestamp, now: Instant) -> Window {
        let hold = hold(settings.window);
        let allowance = (settings.window / SEED_FLIGHT_DIVISOR).clamp(SEED_FLIGHT_MIN, SEED_FLIGHT_MAX);
        let mut ages: Vec<Duration> = recent
            .iter()
            .map(|begun| Duration::try_from(wall_now.duration_since(*begun)).unwrap_or(Duration::ZERO))
            // The call had ended, or its process with it, by now.
            .map(|age| age.saturating_sub(allowance))
            .filter(|age| *age < hold)
            .collect();
        ages.sort_unstable_by(|one, other| other.cmp(one));
        // Of more calls than the limit, only the latest decide when there is room again.
        let surplus = ages.len().saturating_sub(settings.calls as usize);
        let slot = |age: &Duration| Ended { free_at: now + hold.saturating_sub(*age), accepted: true };
        Window { hold, reserved: 0, in_flight: 0, ended: ages[surplus..].iter().map(slot).collect() }
    }

    /// When a further slot is free under this limit.
    pub fn free_at(&mut self, limit: u32, now: Instant) -> FreeAt {
        let used = self.used(now);
        if used < limit {
            return FreeAt::Now;
        }
        // So many slots have to come free; ended calls' slots do so by themselves, in order.
        let needed = (used - limit) as usize;
        self.ended.get(needed).map_or(FreeAt::AfterACall, |slot| FreeAt::At(slot.free_at))
    }

    /// Takes a slot for a permit.
    pub fn take(&mut self) {
        self.reserved += 1;
    }

    /// A permit came back unused.
    pub fn give_back(&mut self) {
        debug_assert!(self.reserved > 0, "a permit that was never handed out");
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A permit is spent.
    pub fn spend(&mut self) {
        self.give_back();
        self.in_flight += 1;
    }

    /// A call has ended; `accepted` if the tenant is known to have accepted it.
    pub fn finish(&mut self, accepted: bool, now: Instant) {
        self.unspend();
        let free_at = now + self.hold;
        // In order even after the window became shorter.
        let place = self.ended.partition_point(|slot| slot.free_at <= free_at);
        self.ended.insert(place, Ended { free_at, accepted });
    }

    /// A call came to nothing before it left this machine.
    pub fn unspend(&mut self) {
        debug_assert!(self.in_flight > 0, "a call that was never begun");
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Slots that are taken.
    pub fn used(&mut self, now: Instant) -> u32 {
        while self.ended.front().is_some_and(|slot| slot.free_at <= now) {
            self.ended.pop_front();
        }
        self.outstanding() + self.ended.len() as u32
    }

    /// Permits handed out and calls under way.
    pub fn outstanding(&self) -> u32 {
        self.reserved + self.in_flight
    }

    /// Calls that still count and that the tenant accepted.
    pub fn accepted(&mut self, now: Instant) -> u32 {
        self.used(now);
        self.ended.iter().filter(|slot| slot.accepted).count() as u32
    }

    /// Another window, for calls that end from now on; slots that are taken keep the time for which they were taken, or the new
    /// one if that is longer.
    pub fn resize(&mut self, window: Duration) {
        let longer = hold(window).saturating_sub(self.hold);
        self.hold = hold(window);
        for slot in &mut self.ended {
            slot.free_at += longer;
        }
    }
}

fn hold(window: Duration) -> Duration {
    window + window / CLOCK_DRIFT_DIVISOR
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LimiterSettings = LimiterSettings { calls: 3, window: Duration::from_secs(100) };

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[tokio::test]
    async fn earlier_calls_take_slots_until_a_window_after_they_can_have_arrived() {
        let now = Instant::now();
        let mut window = Window::seeded(SETTINGS, &[wall(-90), wall(-10), wall(-103), wall(5)], wall(0), now);
        assert_eq!(window.used(now), 3, "the oldest has left; the one from the future counts as now");
        let FreeAt::At(free) = window.free_at(3, now) else { panic!() };
        // 90 s ago, perhaps 2 s on the way, and 10 ms for the drift of clocks.
        assert_eq!((free - now).as_millis(), 12_010);
        assert_eq!(window.free_at(3, free), FreeAt::Now);
    }

    #[tokio::test]
    async fn more_earlier_calls_than_the_limit_keep_the_latest() {
        let now = Instant::now();
        let recent: Vec<Timestamp> = (0..50).map(|second| wall(-second)).collect();
        let mut window = Window::seeded(SETTINGS, &recent, wall(0), now);
        assert_eq!(window.used(now), 3);
        let FreeAt::At(free) = window.free_at(3, now) else { panic!() };
        assert_eq!((free - now).as_secs(), 100);
    }

    #[tokio::test]
    async fn a_lower_limit_waits_for_as_many_slots_as_are_too_many() {
        let now = Instant::now();
        let mut window = Window::seeded(SETTINGS, &[wall(-90), wall(-50), wall(-10)], wall(0), now);
        let FreeAt::At(free) = window.free_at(1, now) else { panic!() };
        assert_eq!((free - now).as_secs(), 92, "the youngest of three has to go");
        window.take();
        assert_eq!(window.free_at(1, now), FreeAt::AfterACall);
    }
}
