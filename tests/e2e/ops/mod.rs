//! What an administrator works with.

mod backup;
mod doctor;
mod first_run;
mod keys;
mod stuck;
mod warm;
mod watched;
