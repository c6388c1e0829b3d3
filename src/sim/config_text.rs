//! The configuration that mounts a running tenant, as text.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, value};

use super::state::Tenant;

/// Which login the configuration uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    /// An access key alone.
    AccessKey,
    /// An access key and a client; the path is the file with the client's secret.
    Oidc { client_secret_file: &'a Path },
}

/// TOML with the tenant, the tree's first day and zone, and both directories. The secrets stand in the files named.
pub(super) fn config_toml(
    tenant: &Tenant,
    login: Login<'_>,
    state_dir: &Path,
    cache_dir: &Path,
    secret_file: &Path,
) -> String {
    let settings = tenant.settings();
    let mut document = DocumentMut::new();
    let text = |path: &Path| value(path.display().to_string());
    let mut at = |table: &str, entries: Vec<(&str, Item)>| {
        let mut section = Table::new();
        for (key, item) in entries {
            section.insert(key, item);
        }
        document.insert(table, Item::Table(section));
    };
    let mut entries = vec![
        ("issuer", value(&tenant.url)),
        ("access_key_id", value(&settings.credentials.access_key_id)),
        ("access_key_secret_file", text(secret_file)),
    ];
    if let Login::Oidc { client_secret_file } = login {
        entries.push(("client_id", value(&settings.credentials.client_id)));
        entries.push(("client_secret_file", text(client_secret_file)));
    }
    entries.push(("auth_endpoint", value(&tenant.url)));
    entries.push(("api_endpoint", value(&tenant.url)));
    entries.push(("playback_endpoint", value(&tenant.url)));
    at("tenant", entries);
    let mut tree = vec![("since", value(settings.first_day().to_string()))];
    if let Some(zone) = settings.timezone.iana_name() {
        tree.push(("timezone", value(zone)));
    }
    at("tree", tree);
    at("cache", vec![("dir", text(cache_dir))]);
    at("state", vec![("dir", text(state_dir))]);
    document.to_string()
}
