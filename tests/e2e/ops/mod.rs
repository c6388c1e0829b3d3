//! What an administrator works with.

mod doctor;
mod warm;
