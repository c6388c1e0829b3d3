//! The limiter as a whole, on a paused clock, against a model of the tenant's own window.
