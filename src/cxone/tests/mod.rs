//! The client against a fake tenant on loopback, by theme.

mod endpoints;
mod fake;
mod faults;
mod listing;
mod login;
mod playing;
