//! What goes wrong says so: before mounting in one line with its remedy, on the mount as the right errno, in time, and alone.

mod busy;
mod disk;
mod faults;
mod journal;
mod matrix;
mod network;
mod refusals;
mod sick;
mod starting;
mod state;
