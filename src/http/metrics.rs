//! What this process counts: requests and records. `api/metrics` tells it to Prometheus.
//!
//! Every label has a fixed set of values: nothing that is sent or submitted makes a new series.

use axum::http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Labels, each with its value.
pub(super) type LabelValues<const N: usize> = [(&'static str, &'static str); N];

/// What this process counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    requests: Family<LabelValues<3>, Counter>,
    records: Family<LabelValues<2>, Counter>,
}

/// Where records come in over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Logs,
    Otlp,
    Loki,
}

impl Metrics {
    /// Counts an answered request of a route.
    pub(super) fn count_request(&self, method: &'static str, route: &'static str, status: StatusCode) {
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        let labels = [("method", method), ("route", route), ("status", status)];
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts the records of a body that was stored.
    pub(super) fn count_records(&self, door: Door, taken: u64, refused: u64) {
        let door = match door {
            Door::Logs => "logs",
            Door::Otlp => "otlp",
            Door::Loki => "loki",
        };
        for (result, count) in [("taken", taken), ("refused", refused)] {
            self.records.get_or_create(&[("door", door), ("result", result)]).inc_by(count);
        }
    }

    /// All of it, to be told.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("parselog");
        registry.register("http_requests", "Requests that were answered, by route", self.requests.clone());
        let help = "Records that came over HTTP: taken, or refused and kept with the reason";
        registry.register("http_records", help, self.records.clone());
        registry
    }
}
