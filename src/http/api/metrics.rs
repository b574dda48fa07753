//! `GET /metrics`, for Prometheus: what this process counted, and how the whole system stands.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::super::error::{Answered, HttpError};
use super::super::metrics::LabelValues;
use super::super::state::{ServerState, Shared};
use crate::carry;
use crate::queue::REAPED_WITHIN;
use crate::store::load::{self, CodeCount, SystemCounts};
use crate::store::{LogState, NoticeState, RunStatus, health, tally};

/// How long the database may take; a scrape without it says so.
const DATABASE_TIME: Duration = Duration::from_secs(5);

/// `GET /metrics`: the answer is there even if the database is away, and says so.
pub(in super::super) async fn scrape(State(state): State<Shared>) -> Answered<Response> {
    let mut registry = state.metrics.registry();
    add_process(&mut registry);
    add_spool(&mut registry, &state).await;
    let asked = tokio::time::timeout(DATABASE_TIME, SystemNumbers::ask(&state)).await;
    let numbers = match asked {
        Ok(Ok(numbers)) => Some(numbers),
        Ok(Err(error)) => {
            tracing::warn!("failed to count for a scrape: {error:#}");
            None
        }
        Err(_) => {
            tracing::warn!("failed to count for a scrape: the database takes too long");
            None
        }
    };
    whole(&mut registry, "database_up", "Whether the database answers", i64::from(numbers.is_some()));
    if let Some(numbers) = &numbers {
        numbers.add(&mut registry);
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)
        .map_err(|_| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written"))?;
    Ok(([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response())
}

/// The numbers that the database tells.
struct SystemNumbers {
    counts: SystemCounts,
    stuck: i64,
    runs: Vec<CodeCount>,
    kept_back: Vec<CodeCount>,
    undelivered: Vec<CodeCount>,
}

impl SystemNumbers {
    async fn ask(state: &ServerState) -> Result<Self> {
        let pool = &state.system.pool;
        let kept_back = load::kept_back(pool).await?;
        let kept_back =
            kept_back.into_iter().map(|kept| CodeCount { code: kept.state.to_string(), rows: kept.logs });
        Ok(Self {
            counts: load::counts(pool).await?,
            stuck: health::stuck(pool, REAPED_WITHIN, REAPED_WITHIN).await?.len() as i64,
            runs: tally::runs(pool).await?,
            kept_back: kept_back.collect(),
            undelivered: load::undelivered(pool).await?,
        })
    }

    fn add(&self, registry: &mut Registry) {
        let counts = &self.counts;
        let statuses = RunStatus::ALL.iter().map(|status| status.as_str());
        by_code(registry, ("runs", "status"), "Runs, by their status", statuses, &self.runs);
        let states = [LogState::Fallback, LogState::Lost].map(LogState::as_str);
        let help = "Logs that the object store did not take at once, and lost ones";
        by_code(registry, ("logs_kept_back", "state"), help, states, &self.kept_back);
        let states =
            [NoticeState::Queued, NoticeState::Sending, NoticeState::Failed].map(NoticeState::as_str);
        by_code(
            registry,
            ("notices_undelivered", "state"),
            "Mails that did not arrive",
            states,
            &self.undelivered,
        );
        whole(registry, "queue_due_runs", "Queued runs that could start now", counts.due);
        let oldest = Gauge::<i64, AtomicI64>::default();
        oldest.set(counts.oldest_due_seconds);
        let help = "How long the oldest run that could start has waited";
        registry.register_with_unit("queue_oldest_age", help, Unit::Seconds, oldest);
        whole(registry, "runs_stuck", "Running runs that should have ended", self.stuck);
        whole(
            registry,
            "archives_waiting",
            "Complete logs that are not in the object store",
            counts.unarchived,
        );
        whole(registry, "workers_alive", "Workers that said lately that they are alive", counts.workers);
        whole(registry, "worker_slots", "Slots of the live workers", counts.slots);
        whole(registry, "worker_slots_busy", "Slots of the live workers that have a run", counts.busy);
    }
}

fn add_process(registry: &mut Registry) {
    let builds = Family::<LabelValues<1>, Gauge>::default();
    builds.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    registry.register("build_info", "The version that answers", builds);
}

/// The spool of this machine; nothing if its disk does not say.
async fn add_spool(registry: &mut Registry, state: &ServerState) {
    let spool = state.system.spool.clone();
    let space = carry::spawn_blocking(move || spool.free()).await;
    let Ok(Ok(free)) = space else { return };
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(free as f64);
    registry.register_with_unit("spool_free", "Free space on the disk of the spool", Unit::Bytes, gauge);
}

fn whole(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64, AtomicI64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

/// A gauge for each code, so that none is missing before it first happens.
fn by_code(
    registry: &mut Registry,
    (name, label): (&str, &'static str),
    help: &str,
    codes: impl IntoIterator<Item = &'static str>,
    counts: &[CodeCount],
) {
    let family = Family::<LabelValues<1>, Gauge>::default();
    for code in codes {
        let rows = counts.iter().find(|count| count.code == code).map_or(0, |count| count.rows);
        family.get_or_create(&[(label, code)]).set(rows);
    }
    registry.register(name, help, family);
}
