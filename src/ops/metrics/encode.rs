//! From measures to the `OpenMetrics` text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::measures::Measures;
use super::names::{self, Kind, Metric};
use crate::base::Counted;
use crate::base::histogram::BOUNDS_S;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole page; none if it cannot be written, which is a defect.
pub fn page(measures: Measures) -> Option<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(measures));
    let mut text = String::new();
    encode(&mut text, &registry).ok().map(|()| text)
}

/// Labels of one value, in the order of the metric's labels.
type Labels<'a> = &'a [&'a str];

impl Collector for Measures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.traffic(&mut page)?;
        self.state(&mut page)
    }
}

impl Measures {
    /// What happened since mounting.
    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let took: Vec<_> = self.requests.iter().map(|(operation, counted)| ([*operation], counted)).collect();
        page.histograms(&names::REQUEST, took.iter().map(|(labels, counted)| (&labels[..], *counted)))?;
        let pairs = |rows: &[(&'static str, &'static str, u64)]| -> Vec<([&'static str; 2], u64)> {
            rows.iter().map(|(one, other, count)| ([*one, *other], *count)).collect()
        };
        for (metric, rows) in [(&names::ERRORS, &self.errors), (&names::API_CALLS, &self.api_calls)] {
            let rows = pairs(rows);
            page.values(metric, rows.iter().map(|(labels, count)| (&labels[..], *count as f64)))?;
        }
        let waits: Vec<_> = self.waits.iter().map(|(class, counted)| ([*class], counted)).collect();
        page.histograms(&names::WAITED, waits.iter().map(|(labels, counted)| (&labels[..], *counted)))?;
        let reads = &self.status.reads;
        let by_source = |cache: u64, network: u64| [(&["cache"][..], cache as f64), (&["network"][..], network as f64)];
        page.values(&names::READS, by_source(self.reads.0, self.reads.1))?;
        page.values(&names::READ_BYTES, by_source(reads.cache_bytes, reads.network_bytes))?;
        page.value(&names::FETCHED, reads.fetched_bytes)?;
        let audit = &self.status.audit;
        page.value(&names::AUDIT_LINES, audit.written)?;
        page.value(&names::AUDIT_LOST, audit.lost)?;
        page.value(&names::AUDIT_NOT_EXPORTED, audit.not_exported)?;
        page.value(&names::AUDIT_FAILING, u64::from(audit.trouble.is_some()))?;
        page.value(&names::AUDIT_SIZE, audit.bytes)?;
        if let Some(free) = audit.free_bytes {
            page.value(&names::AUDIT_FREE, free)?;
        }
        page.value(&names::AUDIT_LOW, u64::from(audit.warning.is_some()))?;
        page.value(&names::PASSTHROUGH, self.status.kernel.passthrough.opens)
    }

    /// How it is now.
    fn state(&self, page: &mut Page<'_>) -> fmt::Result {
        let status = &self.status;
        page.values(&names::INFO, [(&[status.version.as_str()][..], 1.0)])?;
        page.value(&names::LIMIT, u64::from(status.playback.learned_limit))?;
        page.value(&names::USED, u64::from(status.playback.used))?;
        let waiting = status.playback.waiting;
        let classes = [("open", waiting.open), ("stat", waiting.stat), ("list", waiting.list), ("warm", waiting.warm)];
        let classes = classes.map(|(class, count)| ([class], count as f64));
        page.values(&names::WAITING, classes.iter().map(|(labels, count)| (&labels[..], *count)))?;
        page.value(&names::BILLED, status.budget.spent_today)?;
        if let Some(budget) = status.budget.limit {
            page.value(&names::BUDGET, budget)?;
        }
        let services: Vec<_> = status
            .services
            .iter()
            .map(|service| ([service.name.as_str()], f64::from(service.down_for_s.is_none())))
            .collect();
        page.values(&names::SERVICE, services.iter().map(|(labels, up)| (&labels[..], *up)))?;
        page.value(&names::LOGIN, u64::from(status.tenant.login.state == "failed"))?;
        page.value(&names::CACHE_USED, status.cache.used_bytes)?;
        page.value(&names::CACHE_SIZE, status.cache.size_bytes)?;
        page.value(&names::INODES, status.kernel.inodes)?;
        page.value(&names::OPEN_FILES, status.kernel.open_files)?;
        page.value(&names::DAYS, status.tree.days_indexed)?;
        page.value(&names::DAYS_OPEN, status.tree.days_open)?;
        page.value(&names::INTERACTIONS, status.tree.interactions)?;
        page.value(&names::MEMORY, status.memory_bytes)
    }
}

/// A page that is being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A metric without labels.
    fn value(&mut self, metric: &Metric, value: u64) -> fmt::Result {
        self.values(metric, [(&[][..], value as f64)])
    }

    fn values<'l>(&mut self, metric: &Metric, values: impl IntoIterator<Item = (Labels<'l>, f64)>) -> fmt::Result {
        let is_counter = metric.kind == Kind::Counter;
        let mut encoder = self.describe(metric)?;
        for (labels, value) in values {
            let write = |mut encoder: MetricEncoder<'_>| {
                if is_counter {
                    encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
                } else {
                    encoder.encode_gauge(&value)
                }
            };
            if labels.is_empty() {
                return write(encoder);
            }
            let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(labels.iter().copied()).collect();
            write(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn histograms<'l>(
        &mut self,
        metric: &Metric,
        values: impl IntoIterator<Item = (Labels<'l>, &'l Counted)>,
    ) -> fmt::Result {
        let mut encoder = self.describe(metric)?;
        for (labels, counted) in values {
            let bounds = BOUNDS_S.into_iter().chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counted.buckets).collect();
            let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(labels.iter().copied()).collect();
            let mut family = encoder.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(counted.sum_s, counted.count(), &buckets, None)?;
        }
        Ok(())
    }

    fn describe<'s>(&'s mut self, metric: &'s Metric) -> Result<MetricEncoder<'s>, fmt::Error> {
        let kind = match metric.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        self.0.encode_descriptor(metric.name, metric.help, metric.unit.as_ref(), kind)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::Histogram;
    use crate::ops::status::example;

    fn measures() -> Measures {
        let histogram = Histogram::default();
        histogram.note(Duration::from_millis(2));
        histogram.note(Duration::from_secs(1000));
        Measures {
            status: example(),
            requests: vec![("read", histogram.counted())],
            errors: vec![("open", "EDQUOT", 3)],
            api_calls: vec![("media playback", "2xx", 7)],
            waits: vec![("warm", histogram.counted())],
            reads: (5, 6),
        }
    }

    #[test]
    fn a_page_holds_every_metric_and_nothing_else() {
        let text = page(measures()).unwrap();
        for metric in names::ALL {
            let plain = metric.full_name();
            assert!(text.lines().any(|line| line.starts_with(&plain)), "{plain} is missing in {text}");
            let described = plain.strip_suffix("_total").unwrap_or(&plain);
            assert!(text.contains(&format!("# HELP {described} {}\n", metric.help)), "{described}: {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let known = names::ALL.iter().any(|metric| line.starts_with(&metric.full_name()));
            assert!(known, "{line}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn values_and_labels_are_as_documented() {
        let text = page(measures()).unwrap();
        for line in [
            "cxonefs_fuse_errors_total{operation=\"open\",errno=\"EDQUOT\"} 3.0",
            "cxonefs_fuse_request_duration_seconds_count{operation=\"read\"} 2",
            "cxonefs_fuse_request_duration_seconds_bucket{le=\"0.005\",operation=\"read\"} 1",
            "cxonefs_fuse_request_duration_seconds_bucket{le=\"+Inf\",operation=\"read\"} 2",
            "cxonefs_service_up{service=\"reporting\"} 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
