//! Who is served next: the most urgent class first; within it users take turns, each with the request that waits longest. Pure.
//!
//! Every request gets the number of a turn when it enters: the present one, or the one after its user's last. A user with many requests
//! therefore waits for the others' turns, and one with a single request for one turn at most.

use std::collections::{BTreeMap, HashMap};

use super::priority::Priority;
use crate::base::UserKey;

/// Requests of one user that may wait while another user waits too.
pub(super) const USER_WAITERS_MAX: usize = 64;

/// A place in the queue. Ordered as it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    priority: Priority,
    turn: u64,
    number: u64,
}

/// Waiters with what wakes them.
pub(super) struct Queue<W> {
    waiters: BTreeMap<Ticket, (UserKey, W)>,
    lines: HashMap<(Priority, UserKey), Line>,
    /// The turn that is being served, by class.
    turns: [u64; 4],
    next_number: u64,
}

/// One user's requests of one class.
#[derive(Clone, Copy, Default)]
struct Line {
    waiting: usize,
    /// The first turn that its next request may have.
    next_turn: u64,
    /// The same, had all that wait left.
    next_if_empty: u64,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { waiters: BTreeMap::new(), lines: HashMap::new(), turns: [0; 4], next_number: 0 }
    }
}

impl<W> Queue<W> {
    /// Joins behind everyone whose turn is before.
    pub fn enter(&mut self, priority: Priority, user: &UserKey, waiter: W) -> Ticket {
        let turns = &self.turns;
        self.lines.retain(|(class, _), line| line.waiting > 0 || line.next_turn > turns[*class as usize]);
        let line = self.lines.entry((priority, user.clone())).or_default();
        let turn = line.next_turn.max(self.turns[priority as usize]);
        line.waiting += 1;
        line.next_turn = turn + 1;
        let ticket = Ticket { priority, turn, number: self.next_number };
        self.next_number += 1;
        self.waiters.insert(ticket, (user.clone(), waiter));
        ticket
    }

    /// Leaves, served or not; says whether the ticket was still there.
    pub fn leave(&mut self, ticket: &Ticket, is_served: bool) -> bool {
        let Some((user, _)) = self.waiters.remove(ticket) else { return false };
        if is_served {
            self.turns[ticket.priority as usize] = ticket.turn;
        }
        if let Some(line) = self.lines.get_mut(&(ticket.priority, user)) {
            line.waiting -= 1;
            if is_served {
                line.next_if_empty = ticket.turn + 1;
            }
            if line.waiting == 0 {
                line.next_turn = line.next_if_empty;
            }
        }
        true
    }

    /// Whether no one is served before this one.
    pub fn is_next(&self, ticket: &Ticket) -> bool {
        self.waiters.first_key_value().is_some_and(|(first, _)| first == ticket)
    }

    /// The waiter that is served next.
    pub fn next(&self) -> Option<&W> {
        self.waiters.first_key_value().map(|(_, (_, waiter))| waiter)
    }

    /// Waiters by class.
    pub fn waiting(&self) -> [usize; 4] {
        let mut waiting = [0; 4];
        for ticket in self.waiters.keys() {
            waiting[ticket.priority as usize] += 1;
        }
        waiting
    }

    /// Waiters of one user.
    pub fn waiting_of(&self, user: &UserKey) -> usize {
        let of_class = |class| self.lines.get(&(class, user.clone())).map_or(0, |line| line.waiting);
        Priority::ALL.into_iter().map(of_class).sum()
    }

    /// Whether a user has as many waiters as may be, while another user waits.
    pub fn is_crowded_by(&self, user: &UserKey) -> bool {
        let own = self.waiting_of(user);
        own >= USER_WAITERS_MAX && self.waiters.len() > own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: UserKey = UserKey::Uid(1);
    const B: UserKey = UserKey::Uid(2);

    /// Serves everybody; gives what they brought.
    fn serve(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        let mut served = Vec::new();
        while let Some((ticket, (_, word))) =
            queue.waiters.first_key_value().map(|(ticket, waiter)| (*ticket, waiter.clone()))
        {
            served.push(word);
            queue.leave(&ticket, true);
        }
        served
    }

    #[test]
    fn users_take_turns_within_a_class_and_urgency_comes_first() {
        let mut queue = Queue::default();
        for word in ["a1", "a2", "a3"] {
            queue.enter(Priority::Open, &A, word);
        }
        queue.enter(Priority::List, &B, "b-list");
        queue.enter(Priority::Open, &B, "b1");
        queue.enter(Priority::Open, &B, "b2");
        assert_eq!(serve(&mut queue), ["a1", "b1", "a2", "b2", "a3", "b-list"]);
    }

    #[test]
    fn one_request_after_the_other_is_no_way_to_the_front() {
        let mut queue = Queue::default();
        for _ in 0..3 {
            queue.enter(Priority::Open, &A, "a");
        }
        let mut order = Vec::new();
        queue.enter(Priority::Open, &B, "b");
        for _ in 0..6 {
            let (ticket, word) = queue.waiters.first_key_value().map(|(ticket, (_, word))| (*ticket, *word)).unwrap();
            queue.leave(&ticket, true);
            order.push(word);
            if word == "b" {
                queue.enter(Priority::Open, &B, "b");
            }
        }
        assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
    }

    #[test]
    fn who_gave_up_waits_no_longer_for_it() {
        let mut queue = Queue::default();
        let gone: Vec<Ticket> = (0..100).map(|_| queue.enter(Priority::Open, &A, "gone")).collect();
        queue.enter(Priority::Open, &B, "b1");
        queue.enter(Priority::Open, &B, "b2");
        assert!(gone.iter().all(|ticket| queue.leave(ticket, false)) && !queue.leave(&gone[0], false));
        queue.enter(Priority::Open, &A, "a");
        assert_eq!(serve(&mut queue), ["b1", "a", "b2"]);
    }

    #[test]
    fn many_waiters_of_one_user_are_too_many_only_beside_another() {
        let mut queue = Queue::default();
        for _ in 0..USER_WAITERS_MAX {
            queue.enter(Priority::Warm, &A, "a");
        }
        assert!(!queue.is_crowded_by(&A));
        let other = queue.enter(Priority::Open, &B, "b");
        assert!(queue.is_crowded_by(&A) && !queue.is_crowded_by(&B));
        queue.leave(&other, true);
        assert!(!queue.is_crowded_by(&A));
    }
}
