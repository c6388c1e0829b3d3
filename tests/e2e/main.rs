//! The whole way, for real: a simulated tenant over HTTP, the program as a process, kernel mounts, and the tools that people use.
//!
//! One module per theme; `tests/README.md` says what each shows. Only the harness knows how to mount and how to ask the tenant.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has to say so and end")]

mod audit;
mod browse;
mod cli;
mod clients;
mod costs;
mod crash;
mod demo;
mod desktop;
mod docs;
mod encrypted;
mod failures;
mod harness;
mod irregular;
mod kills;
mod limits;
mod media_tools;
mod names;
mod networks;
mod ops;
mod privacy;
mod programs;
mod reading;
mod sizes;
mod soak;
mod speed;
mod stability;
mod tenants;
mod tools;
