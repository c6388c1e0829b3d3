//! Every metric: name, unit, labels, meaning. `docs/METRICS.md` is made from this table, and nothing is served that is not in it.
//!
//! Stability: a name, its unit and its labels stay as they are within a major version; labels' values and further metrics may be added.

use prometheus_client::registry::Unit;

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Never falls while the daemon runs.
    Counter,
    /// Durations by size.
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Without unit and `_total`, which are appended.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Option<Unit>,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Metric {
    /// The name as Prometheus shows it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name)
    }
}

macro_rules! metrics {
    ($($ident:ident: $kind:ident $name:literal $(, $unit:ident)? [$($label:literal),*] $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: metrics!(@unit $($unit)?),
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric, in the order of the documentation.
        pub const ALL: &[&Metric] = &[$(&$ident),*];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    INFO: Gauge "cxonefs_build" ["version"] "Always 1; the version of the daemon"
    REQUEST: Histogram "cxonefs_fuse_request_duration", Seconds ["operation"] "How long requests of the kernel took"
    ERRORS: Counter "cxonefs_fuse_errors" ["operation", "errno"] "Requests of the kernel that were answered with an error"
    API_CALLS: Counter "cxonefs_api_requests" ["operation", "outcome"] "Requests to CXone; outcome is 2xx, 3xx, 4xx, 429, 5xx, timeout or unreachable"
    LIMIT: Gauge "cxonefs_limiter_limit" [] "Billed calls that may be made in one window now"
    USED: Gauge "cxonefs_limiter_used" [] "Billed calls in the present window"
    WAITING: Gauge "cxonefs_limiter_waiting" ["class"] "Billed calls that wait for the rate limit"
    WAITED: Histogram "cxonefs_limiter_wait", Seconds ["class"] "How long billed calls waited for the rate limit"
    BILLED: Gauge "cxonefs_billed_calls_today" [] "Billed calls of this UTC day"
    BUDGET: Gauge "cxonefs_daily_budget_calls" [] "Billed calls allowed per UTC day; absent if unlimited"
    SERVICE: Gauge "cxonefs_service_up" ["service"] "1 while a service answers, 0 while it is known to be down"
    LOGIN: Gauge "cxonefs_login_failed" [] "1 while the last login failed"
    CACHE_USED: Gauge "cxonefs_cache_used", Bytes [] "Bytes that the cache occupies on disk"
    CACHE_SIZE: Gauge "cxonefs_cache_size", Bytes [] "Bytes that the cache may occupy on disk"
    READS: Counter "cxonefs_reads" ["source"] "Reads of recordings, by source: cache or network; without what the kernel reads by passthrough"
    READ_BYTES: Counter "cxonefs_read", Bytes ["source"] "Bytes of those reads"
    FETCHED: Counter "cxonefs_media_fetched", Bytes [] "Bytes that arrived from media hosts"
    AUDIT_LINES: Counter "cxonefs_audit_lines" [] "Lines written to the audit log"
    AUDIT_LOST: Counter "cxonefs_audit_lost" [] "Events that could not be written to the audit log"
    AUDIT_NOT_EXPORTED: Counter "cxonefs_audit_not_exported" [] "Audit lines that the log service did not take"
    AUDIT_FAILING: Gauge "cxonefs_audit_failing" [] "1 while the audit log cannot be written"
    AUDIT_SIZE: Gauge "cxonefs_audit_size", Bytes [] "Bytes that the audit log occupies on disk"
    AUDIT_FREE: Gauge "cxonefs_audit_free", Bytes [] "Bytes that are free on the audit log's disk"
    AUDIT_LOW: Gauge "cxonefs_audit_disk_low" [] "1 while that is less than the audit log needs"
    PASSTHROUGH: Counter "cxonefs_passthrough_opens" [] "Opens that the kernel serves from the cache by itself"
    INODES: Gauge "cxonefs_kernel_inodes" [] "Inodes that the kernel holds"
    OPEN_FILES: Gauge "cxonefs_open_files" [] "Open files"
    DAYS: Gauge "cxonefs_days_indexed" [] "Days in the index"
    DAYS_OPEN: Gauge "cxonefs_days_open" [] "Indexed days that may still change"
    INTERACTIONS: Gauge "cxonefs_interactions_indexed" [] "Interactions in the index"
    MEMORY: Gauge "cxonefs_resident_memory", Bytes [] "Resident memory of the daemon"
}

/// `docs/METRICS.md`.
#[must_use]
pub fn markdown() -> String {
    use std::fmt::Write;
    let mut text = String::from(HEAD);
    for metric in ALL {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{}` | {kind} | {} | {} |", metric.full_name(), labels.join(", "), metric.help);
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "\
# Metrics

<!-- Made from src/ops/metrics/names.rs by `UPDATE_DOCS=1 cargo test --lib ops::metrics`. Do not edit. -->

Off by default. `cxonefs mount --metrics 127.0.0.1:9402 …` (or `CXONEFS_METRICS`) serves them at `http://127.0.0.1:9402/metrics` in the
OpenMetrics text format, for as long as it is mounted. There is no login: keep it on the loopback address, or behind something that has one.
Nothing personal is in them: no path, no contact, no user.

Times are in seconds, sizes in bytes. Names, units and labels stay within a major version; metrics and values of labels may be added.
`packaging/grafana/cxonefs.json` is a dashboard over them.

| name | kind | labels | meaning |
| --- | --- | --- | --- |
";

const TAIL: &str = "
Histograms have the usual `_bucket`, `_sum` and `_count`.

## Worth an alert

| when | what it means |
| --- | --- |
| `up == 0` for the scrape | the mount is gone |
| `cxonefs_login_failed == 1` for 10 minutes | the access key is refused, or the login host is away: `cxonefs doctor` |
| `cxonefs_service_up == 0` for 10 minutes | Media Playback, Reporting or a media host is away |
| `cxonefs_billed_calls_today >= cxonefs_daily_budget_calls` | the budget is spent: opening what was never paid for fails until 00:00 UTC |
| `increase(cxonefs_audit_lost_total[1h]) > 0` or `cxonefs_audit_failing == 1` | opens go unrecorded, or with `audit.required` fail: the state directory's disk |
| `cxonefs_audit_disk_low == 1` | the state directory's disk will not hold the audit log for `audit.keep` |
| `rate(cxonefs_fuse_errors_total{errno=\"EIO\"}[5m]) > 0` | readers see errors: the log has a line for each |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == markdown(), "docs/METRICS.md is not what the names say; run with UPDATE_DOCS=1");
    }

    /// The dashboard shows every metric, and no other.
    #[test]
    fn the_dashboard_knows_these_names_and_no_others() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/grafana/cxonefs.json");
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let shown: std::collections::HashSet<&str> =
            text.split(|c| !is_part(c)).filter(|word| word.starts_with("cxonefs_")).collect();
        for metric in ALL {
            let name = metric.full_name();
            assert!(shown.iter().any(|word| word.starts_with(&name)), "{name} is not shown");
        }
        for word in shown {
            let plain = word.trim_end_matches("_bucket").trim_end_matches("_count");
            assert!(ALL.iter().any(|metric| metric.full_name() == plain), "{word} is no metric");
        }
    }

    #[test]
    fn names_are_distinct_and_ours() {
        let mut seen = std::collections::HashSet::new();
        for metric in ALL {
            assert!(metric.full_name().starts_with("cxonefs_") && seen.insert(metric.full_name()), "{metric:?}");
        }
    }
}
