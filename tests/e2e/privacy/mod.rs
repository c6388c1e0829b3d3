//! Recordings are people's: erasing, ageing, who may read, what is written where.

mod access;
mod document;
mod erasing;
mod evidence;
mod forgotten;
mod holding;
mod keeping;
mod keys;
mod leaks;
mod local_users;
mod members;
mod never;
mod rights;
