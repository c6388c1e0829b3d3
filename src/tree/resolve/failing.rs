//! Whose calls failed one after the other.

/// Whose calls failed one after the other.
#[derive(Debug)]
pub struct Failing<T> {
    pub whose: Vec<T>,
    /// The service was down meanwhile: they were not to blame.
    outage: bool,
}

impl<T> Default for Failing<T> {
    fn default() -> Failing<T> {
        Failing { whose: Vec::new(), outage: false }
    }
}

impl<T: PartialEq> Failing<T> {
    /// One failed, or the service was down.
    pub fn note(&mut self, whose: Option<T>, outage: bool) {
        self.outage |= outage;
        if let Some(whose) = whose.filter(|whose| !self.whose.contains(whose) && self.whose.len() < FAILING_MAX) {
            self.whose.push(whose);
        }
    }

    /// Something succeeded: those who were not to blame.
    pub fn take(&mut self) -> Vec<T> {
        let failing = std::mem::take(self);
        if failing.outage { failing.whose } else { Vec::new() }
    }
}

/// Failures in a row that are remembered; a service is down long before.
const FAILING_MAX: usize = 64;
