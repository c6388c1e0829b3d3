//! What an administrator works with.

mod doctor;
mod first_run;
mod stuck;
mod warm;
mod watched;
