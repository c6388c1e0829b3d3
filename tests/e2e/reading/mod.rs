//! Bytes: any range, by any number of readers, through read, mmap and the usual tools.

mod hosts;
mod line;
mod many;
mod model;
mod ranges;
