//! What each part is told of the configuration. Pure.

use crate::base::{ResolveOn, accounts};
use crate::book::DailyBudget;
use crate::config::{AlsoConfig, CacheConfig, Config, LimitsConfig, MountConfig, TenantConfig};
use crate::cxone::{CallTimes, ClientCredentials, Credentials, TenantSettings, is_loopback};
use crate::fuse::Ownership;
use crate::media::{MediaReach, MediaSettings};
use crate::net::LimiterSettings;
use crate::tree::{Callers, GuardedPrograms, ProgramPatterns, ResolveLimits, TreeSettings};
use std::path::Path;

/// The rate of billed calls.
pub fn rate(limits: &LimitsConfig) -> LimiterSettings {
    LimiterSettings { calls: limits.playback_requests, window: limits.playback_window }
}

/// What the resolver keeps within.
pub fn resolve_limits(limits: &LimitsConfig) -> ResolveLimits {
    ResolveLimits {
        budget: DailyBudget(limits.daily_budget.map(u64::from)),
        user_budget: DailyBudget(limits.daily_budget_per_user.map(u64::from)),
        deadline: limits.deadline,
        patience: limits.patience,
    }
}

/// Programs that cause no billed call, or none by a document.
pub fn guarded(mount: &MountConfig) -> GuardedPrograms {
    GuardedPrograms {
        scanners: ProgramPatterns::new(&mount.deny_processes),
        file_managers: ProgramPatterns::new(&mount.file_managers),
    }
}

/// What the tree is told that is mounted at `door`.
pub fn tree_settings(config: &Config, door: &Path) -> TreeSettings {
    let mount = &config.mount;
    TreeSettings {
        door: door.to_string_lossy().into(),
        timezone: config.tree.timezone.clone(),
        since: config.tree.since,
        channels: config.tree.media_types.clone(),
        resolve_on: mount.resolve_on,
        // What the profile for backups sets, and nobody sets for anything else.
        anticipate: mount.resolve_on == ResolveOn::List && config.limits.patience.is_none(),
        guarded: guarded(mount),
        exact_for: Callers::new(&mount.resolve_on_stat_for, accounts::user_id),
        deadline: config.limits.deadline,
    }
}

/// Who owns what is mounted.
pub fn ownership(mount: &MountConfig) -> Ownership {
    Ownership { uid: mount.uid, gid: mount.gid, dir_mode: mount.dir_mode, file_mode: mount.file_mode }
}

/// [`tree_settings`] for a further door.
pub fn also_settings(config: &Config, also: &AlsoConfig) -> TreeSettings {
    let anticipate = also.resolve_on == ResolveOn::List && (also.waits_long || config.limits.patience.is_none());
    TreeSettings { resolve_on: also.resolve_on, anticipate, ..tree_settings(config, &also.dir) }
}

/// What the tenant client is told.
pub fn tenant_settings(config: &Config) -> TenantSettings {
    let tenant = &config.tenant;
    let client = tenant.client.as_ref().map(|client| ClientCredentials {
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.clone(),
    });
    TenantSettings {
        issuer: tenant.issuer.clone(),
        credentials: Credentials {
            access_key_id: tenant.access_key_id.clone(),
            access_key_secret: tenant.access_key_secret.clone(),
            client,
        },
        area: tenant.area.clone(),
        auth_endpoint: tenant.auth_endpoint.clone(),
        api_endpoint: tenant.api_endpoint.clone(),
        playback_endpoint: tenant.playback_endpoint.clone(),
        reporting_version: tenant.reporting_version.clone(),
        login_hosts: tenant.login_hosts.clone(),
        ca: tenant.ca_file.clone(),
        times: CallTimes::with_billed(config.limits.call_timeout),
    }
}

/// What the cache is told.
pub fn media_settings(cache: &CacheConfig, limits: &LimitsConfig) -> MediaSettings {
    MediaSettings {
        cache_dir: cache.dir.clone(),
        cache_size: cache.size,
        min_free: cache.min_free,
        whole_file_below: cache.whole_file_below,
        max_age: cache.max_age,
        connections: limits.media_connections,
        memory: limits.memory,
        reach: MediaReach::default(),
        ca: None,
        deadline: limits.deadline,
    }
}

/// Where recordings may be fetched from. The tenant's own links are trusted with this machine's loopback only where the tenant is there.
pub fn media_reach(tenant: &TenantConfig) -> MediaReach {
    let endpoint = tenant.playback_endpoint.as_ref().or(tenant.api_endpoint.as_ref()).unwrap_or(&tenant.issuer);
    MediaReach { hosts: tenant.media_hosts.clone(), loopback: is_loopback(endpoint) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::daemon::testing;

    #[test]
    fn the_parts_are_told_what_the_configuration_says() {
        let config = testing::config(&[]);
        let settings = tenant_settings(&config);
        assert_eq!(settings.times.billed, Duration::from_mins(5));
        assert!(settings.credentials.client.is_none());
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(media_settings(&config.cache, &config.limits).cache_size, 10 << 30);
    }

    /// What the kernel calls the programs of a desktop, as measured, and what must not be among them.
    #[test]
    fn the_default_lists_know_a_desktop() {
        let guarded = guarded(&testing::config(&[]).mount);
        let (scans, manages) =
            (|comm| guarded.scanners.matches_comm(comm), |comm| guarded.file_managers.matches_comm(comm));
        for comm in [
            "totem-video-thu",
            "clamscan",
            "wdavdaemon",
            "falcon-sensor",
            "recollindex",
            "ffmpegthumbnai",
            "ffmpegthumbnail",
            "gnome-thumbnail",
            "evince-thumbnai",
            "gdk-pixbuf-thum",
            "gst-video-thumb",
            "tumblerd",
            "kioslave5",
            "kioworker",
            "tracker-extract",
            "tracker-miner-f",
            "localsearch-3",
            "localsearch-ext",
            "baloo_file_extr",
            "baloo_file",
            "mlocate",
            "updatedb.plocat",
            "thumbnail.so",
            "falcon-sensor-b",
            "clamd",
            "atril-thumbnail",
            "xreader-thumbna",
            "clamdscan",
        ] {
            assert!(scans(comm), "{comm}");
        }
        for comm in [
            "gio",
            "nautilus",
            "org.gnome.Nauti",
            "Thunar",
            "thunar",
            "pcmanfm",
            "pcmanfm-qt",
            "nemo",
            "nemo-desktop",
            "caja",
            "dolphin",
            "xdg-desktop-por",
            "konqueror",
            "krusader",
            "plasmashell",
            "io.elementary.f",
            "dde-file-manage",
            "xfdesktop",
            "gvfsd",
        ] {
            assert!(manages(comm) && !scans(comm), "{comm}");
        }
        for comm in [
            "cat",
            "jq",
            "grep",
            "mpv",
            "totem",
            "vlc",
            "ffmpeg",
            "restic",
            "rsync",
            "gedit",
            "python3",
            "smbd",
            "libreoffice-wri",
        ] {
            assert!(!manages(comm) && !scans(comm), "{comm}");
        }
    }
}
