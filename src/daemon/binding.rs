//! State and cache belong to the tenant that they saw first: another tenant's mount must neither show what is indexed nor read what is
//! cached. The state's note is a fact in its database, so that it moves with it; the cache's is a file beside the blocks.
//!
//! Knows what was noted and which login there is; makes no request and opens no database itself.

use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::base::failure::Failure;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::cxone::TenantIdentity;

/// Key of the state's fact.
const FACT: &str = "tenant.binding";
/// Name of the cache's file.
const FILE: &str = "tenant";
/// Logins that are remembered; a key is replaced a few times a year.
const LOGINS_MAX: usize = 64;

/// What a directory knows of its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Binding {
    tenant: TenantIdentity,
    /// Digests of issuer and access key of the logins that reached this tenant, the latest last.
    logins: Vec<String>,
}

impl Binding {
    /// The note after `login` reached `tenant`; `None` where it is another tenant than before.
    fn after(before: Option<&Binding>, tenant: &TenantIdentity, login: &str) -> Option<Binding> {
        let Some(before) = before else {
            return Some(Binding { tenant: tenant.clone(), logins: vec![login.to_owned()] });
        };
        if !before.tenant.is_same(tenant) {
            return None;
        }
        let mut logins: Vec<String> = before.logins.iter().filter(|known| *known != login).cloned().collect();
        logins.push(login.to_owned());
        logins.drain(..logins.len().saturating_sub(LOGINS_MAX));
        Some(Binding { tenant: tenant.clone().completed_by(&before.tenant), logins })
    }
}

/// The tenant that a state directory belongs to, in words; none where no login has told yet.
pub fn tenant_of(catalog: &Catalog) -> Option<String> {
    let binding: Binding = serde_json::from_str(&catalog.fact(FACT).ok()??).ok()?;
    Some(binding.tenant.to_string())
}

/// The notes of both directories, as found before anything is served.
pub struct Bindings {
    state: Option<Binding>,
    cache: Option<Binding>,
    login: String,
}

impl Bindings {
    /// Reads both notes. One that cannot be read is no note: the next login writes it anew.
    pub fn read(config: &Config, catalog: &Catalog) -> Result<Bindings, Failure> {
        let fact = catalog.fact(FACT).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
        let cache = match std::fs::read(config.cache.dir.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            Err(error) => return Err(Failure::failed(error).while_doing("reading whose cache.dir is")),
        };
        Ok(Bindings {
            state: fact.and_then(|text| serde_json::from_str(&text).ok()),
            cache,
            login: login_digest(config),
        })
    }

    /// Whether both directories saw this issuer and access key reach their tenant, or none that is known: then what is here may be
    /// shown before the login has told.
    pub fn know_login(&self) -> bool {
        let knows = |binding: &Option<Binding>| binding.as_ref().is_none_or(|known| known.logins.contains(&self.login));
        knows(&self.state) && knows(&self.cache)
    }

    /// The tenant that both directories belong to, if any is known.
    pub fn tenant(&self) -> Option<&TenantIdentity> {
        self.state.as_ref().or(self.cache.as_ref()).map(|known| &known.tenant)
    }

    /// Notes which tenant the login reached. Refuses directories of another one.
    pub fn bind(&self, config: &Config, catalog: &Catalog, tenant: &TenantIdentity) -> Result<(), Failure> {
        let next = |place: &str, dir: &Path, before: &Option<Binding>| {
            Binding::after(before.as_ref(), tenant, &self.login).ok_or_else(|| {
                let known = before.as_ref().map_or_else(String::new, |before| before.tenant.to_string());
                Failure::usage(format!("{place} {} belongs to {known}, and this login is {tenant}", dir.display()))
                    .remedy(
                        "give each tenant directories of its own: state.dir and cache.dir in the configuration, or --state-dir and --cache-dir",
                    )
            })
        };
        // Both are compared before either is written.
        let state = next("state.dir", &config.state.dir, &self.state)?;
        let cache = next("cache.dir", &config.cache.dir, &self.cache)?;
        if self.state.as_ref() != Some(&state) {
            let text = serde_json::to_string(&state).map_err(Failure::failed)?;
            catalog.set_fact(FACT, &text).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
        }
        if self.cache.as_ref() != Some(&cache) {
            write(&config.cache.dir, &cache)
                .map_err(|error| Failure::failed(error).while_doing("noting whose cache.dir is"))?;
        }
        Ok(())
    }
}

/// In one step, so that a crash leaves the old note or the new one. The directory is private already: the cache was opened before.
fn write(dir: &Path, binding: &Binding) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer(&mut file, binding)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(dir.join(FILE)).map(drop).map_err(|error| error.error)
}

/// Tells one login from another without writing the access key's id down.
fn login_digest(config: &Config) -> String {
    let tenant = &config.tenant;
    let text = format!("{}\n{}", tenant.issuer, tenant.access_key_id);
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    base64::prelude::BASE64_STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantIdentity {
        TenantIdentity { tenant_id: Some(id.to_owned()), ..TenantIdentity::default() }
    }

    #[test]
    fn the_first_login_binds_and_only_the_same_tenant_goes_on() {
        let first = Binding::after(None, &tenant("a"), "1").unwrap();
        let second = Binding::after(Some(&first), &tenant("a"), "2").unwrap();
        assert_eq!(second.logins, ["1", "2"]);
        assert_eq!(Binding::after(Some(&second), &tenant("a"), "1").unwrap().logins, ["2", "1"]);
        assert_eq!(Binding::after(Some(&second), &tenant("b"), "1"), None);
    }

    #[test]
    fn logins_are_bounded() {
        let mut binding = Binding::after(None, &tenant("a"), "0").unwrap();
        for login in 1..200 {
            binding = Binding::after(Some(&binding), &tenant("a"), &login.to_string()).unwrap();
        }
        assert_eq!((binding.logins.len(), binding.logins.last().unwrap().as_str()), (LOGINS_MAX, "199"));
    }

    #[test]
    fn what_is_bound_to_another_login_is_not_shown_before_the_login_tells() {
        let known = Binding::after(None, &tenant("a"), "1");
        let bindings = |state: &Option<Binding>, cache: &Option<Binding>, login: &str| Bindings {
            state: state.clone(),
            cache: cache.clone(),
            login: login.to_owned(),
        };
        assert!(bindings(&None, &None, "9").know_login(), "nothing is bound yet");
        assert!(bindings(&known, &None, "1").know_login());
        assert!(!bindings(&known, &None, "2").know_login());
        assert!(!bindings(&None, &known, "2").know_login());
    }
}
