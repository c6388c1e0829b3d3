//! What tests of commands share.

use std::ffi::OsString;

use crate::config::{Assignment, Config, Host, Sources, env, resolve};

/// A configuration as the flags `--set` make it, of a tenant that does not answer.
pub fn config(settings: &[&str]) -> Config {
    let variables = [("CXONEFS_ACCESS_KEY_ID", "KEYID"), ("CXONEFS_ACCESS_KEY_SECRET", "hunter2")];
    let environment = env::read(variables.map(|(name, value)| (OsString::from(name), OsString::from(value)))).unwrap();
    let issuer = ["tenant.issuer=http://127.0.0.1:9"];
    let flags = issuer.iter().chain(settings).map(|text| Assignment::parse(text, "--set").unwrap()).collect();
    let host = Host { home: Some("/home/u".into()), ..Host::default() };
    resolve(&Sources { environment, flags, ..Sources::default() }, &host).unwrap()
}
