//! What an administrator works with.

mod doctor;
mod first_run;
mod keys;
mod stuck;
mod warm;
mod watched;
