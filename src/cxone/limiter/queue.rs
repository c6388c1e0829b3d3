//! Who is served next: the most urgent class first, first come first served within it.

use std::collections::BTreeMap;

use super::Priority;

/// A place in the queue. Ordered as it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    priority: Priority,
    number: u64,
}

/// Waiters with what wakes them.
pub(super) struct Queue<W> {
    waiters: BTreeMap<Ticket, W>,
    next_number: u64,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { waiters: BTreeMap::new(), next_number: 0 }
    }
}

impl<W> Queue<W> {
    /// Joins behind everyone of the same class.
    pub fn enter(&mut self, priority: Priority, waiter: W) -> Ticket {
        let ticket = Ticket { priority, number: self.next_number };
        self.next_number += 1;
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Leaves; says whether the ticket was still there.
    pub fn leave(&mut self, ticket: &Ticket) -> bool {
        self.waiters.remove(ticket).is_some()
    }

    /// Whether no one is served before this one.
    pub fn is_next(&self, ticket: &Ticket) -> bool {
        self.waiters.first_key_value().is_some_and(|(first, _)| first == ticket)
    }

    /// The waiter that is served next.
    pub fn next(&self) -> Option<&W> {
        self.waiters.first_key_value().map(|(_, waiter)| waiter)
    }

    /// Waiters by class.
    pub fn waiting(&self) -> [usize; 4] {
        let mut waiting = [0; 4];
        for ticket in self.waiters.keys() {
            waiting[ticket.priority as usize] += 1;
        }
        waiting
    }
}
