//! What an administrator works with.

mod doctor;
mod first_run;
mod warm;
mod watched;
