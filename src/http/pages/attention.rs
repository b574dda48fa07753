//! `/attention`: what needs somebody's attention. Runs that hang, files that nobody takes, logs that are kept back,
//! mails that were not delivered, and, if somebody asks, what the doctor finds.

use std::time::Duration;

use anyhow::Context as _;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use tokio::runtime::Handle;

use super::super::asker::Asker;
use super::super::error::HttpError;
use super::super::state::{ServerState, Shared};
use super::page::{Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use crate::carry;
use crate::desk::status::{SystemStatus, status};
use crate::desk::words::{counted, log_story};
use crate::doctor::{Doctor, FindingKind};
use crate::notify::IN_DOUBT;
use crate::store::notice::{self, Notice};
use crate::store::{self, LogState, Role, RunFilter};

/// What is younger may still be in progress, as for the doctor.
const GRACE: Duration = Duration::from_secs(600);

/// A mail that waits for longer is named.
const LATE: Duration = Duration::from_secs(3600);

/// Logs to name.
const NAMED: i64 = 100;

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Paged {
    if !asker.programs().is_empty() {
        let why = "this page is about every program, and you see some programs alone";
        return Err(HttpError::new(StatusCode::FORBIDDEN, why).into());
    }
    let pool = &state.system.pool;
    let status = status(&state.system, GRACE).await?;
    let notices = notice::undelivered(pool, IN_DOUBT, LATE).await?;
    let mut sections = vec![waiting(&status), stuck(&status), kept_back(&state).await?];
    sections.push(mails(&notices, asker.may(Role::Operator)));
    let may_act = query.as_deref() == Some("examine=yes");
    sections.push(if may_act { examined(&state).await? } else { examine() });
    sections.push(failing(&status));
    let found = sections.iter().filter(|section| section.grid.is_some()).count();
    let mut page = Page::new(&asker, "Attention", "What needs attention");
    page.say(match found {
        0 => "Nothing does.".to_owned(),
        _ => "Each list says what it is about, and what to do.".to_owned(),
    });
    page.sections = sections;
    send(&page)
}

fn waiting(status: &SystemStatus) -> PageSection {
    let mut grid =
        Grid::new("Files that no live worker has a parser for", &["Program, section", ">Queued", "Since"]);
    for kind in status.queue.iter().filter(|kind| !kind.is_taken) {
        let backlog = &kind.backlog;
        grid.row([
            PageCell::text(format_args!("{}, {}", backlog.program, backlog.section)),
            PageCell::count(Some(backlog.queued)),
            PageCell::times(backlog.oldest_due_at),
        ]);
    }
    let section = PageSection::new("waiting", "Waiting for a worker");
    let section = match status.workers.is_empty() {
        true => section.say("No worker is alive: `parselog worker` starts one."),
        false => {
            let slots: i32 = status.workers.iter().map(|worker| worker.slots).sum();
            let busy: i32 = status.workers.iter().map(|worker| worker.busy).sum();
            let workers = counted(status.workers.len() as u64, "worker");
            section.say(format_args!("{workers}, {busy} of {slots} slots busy."))
        }
    };
    section.list(grid, "Every queued run has a worker that can take it.")
}

fn stuck(status: &SystemStatus) -> PageSection {
    let mut grid = Grid::new("Runs that should have ended", &["Run", "Worker", "Why"]);
    for run in &status.stuck {
        let why = match run.lease_is_over {
            true => "its lease is over, and nobody ended it: any worker does, once one is alive",
            false => "it is past its deadline: its worker stops it, or may hang",
        };
        grid.row([
            PageCell::link(run.id, format!("/runs/{}", run.id)),
            PageCell::text(&run.worker),
            PageCell::text(why),
        ]);
    }
    PageSection::new("stuck", "Stuck").list(grid, "No run is.")
}

async fn kept_back(state: &ServerState) -> Result<PageSection, anyhow::Error> {
    let log_state = vec![LogState::Fallback, LogState::Lost];
    let filter = RunFilter { log_state, limit: Some(NAMED), ..RunFilter::default() };
    let mut grid = Grid::new("Logs that are not in the object store", &["Run", "File", "Log"]);
    for run in store::find(&state.system.pool, &filter).await? {
        grid.row([
            PageCell::link(run.id, format!("/runs/{}", run.id)),
            PageCell::text(&run.name),
            PageCell::text(log_story(&run)),
        ]);
    }
    Ok(PageSection::new("logs", "Logs that are kept back or lost").list(grid, "None is."))
}

fn mails(notices: &[Notice], may_act: bool) -> PageSection {
    let mut grid =
        Grid::new("Mails that were not delivered", &["Queued", "State", "About", "Address", "Error", "Act"]);
    for notice in notices {
        let about = match (notice.run_id, notice.batch_id) {
            (Some(run), _) => PageCell::link(run, format!("/runs/{run}")),
            (None, batch) => PageCell::text(batch.map(|batch| format!("batch {batch}")).unwrap_or_default()),
        };
        let act = match may_act {
            true => PageCell::link("send again …", format!("/notices/{}/resend", notice.id)),
            false => PageCell::text("–"),
        };
        grid.row([
            PageCell::time(notice.created_at),
            PageCell::text(notice.state),
            about,
            PageCell::text(&notice.address),
            PageCell::text(notice.last_error.as_deref().unwrap_or("–")),
            act,
        ]);
    }
    PageSection::new("mails", "Mails").list(grid, "Every mail was sent, or is on its way.")
}

fn examine() -> PageSection {
    let mut section = PageSection::new("doctor", "Rows, objects and spool")
        .say("The doctor compares them both ways. It lists the whole object store, so it runs if you ask.");
    section.links.push(PageCell::link("Compare them now", "/attention?examine=yes"));
    section
}

async fn examined(state: &ServerState) -> Result<PageSection, HttpError> {
    let _turn = state.pages.turn().await?;
    let mut grid = Grid::new("Differences", &["Kind", "About", "What", "Repair"]);
    let (doctor, runtime) = (Doctor::new(&state.system, GRACE), Handle::current());
    // It walks through whole stores, so it gets a thread of its own.
    let examined = carry::spawn_blocking(move || runtime.block_on(doctor.examine()));
    for finding in examined.await.context("examining panicked")?? {
        let about = match (finding.run, finding.batch) {
            // Some logs and objects have no row, which is what is found.
            (Some(run), _)
                if !matches!(finding.kind, FindingKind::SpoolWithoutRow | FindingKind::ObjectWithoutRow) =>
            {
                PageCell::link(run, format!("/runs/{run}"))
            }
            (Some(run), _) => PageCell::text(run),
            (None, Some(batch)) => PageCell::text(format_args!("batch {batch}")),
            (None, None) => PageCell::text("–"),
        };
        let repair =
            if finding.repairable { "`parselog doctor --fix` repairs it" } else { "somebody has to look" };
        grid.row([
            PageCell::text(finding.kind.code()),
            about,
            PageCell::text(&finding.what),
            PageCell::text(repair),
        ]);
    }
    let section = PageSection::new("doctor", "Rows, objects and spool");
    Ok(section.list(grid, "They fit together, as far as this machine sees."))
}

fn failing(status: &SystemStatus) -> PageSection {
    let mut grid =
        Grid::new("Runs of the last hour that failed, by reason", &[">Runs", "Outcome", "Latest", "Reason"]);
    for failing in &status.failing {
        grid.row([
            PageCell::count(Some(failing.runs)),
            PageCell::text(failing.status),
            PageCell::link(failing.latest, format!("/runs/{}", failing.latest)),
            PageCell::text(&failing.failure),
        ]);
    }
    PageSection::new("failing", "Failed lately").list(grid, "No run failed in the last hour.")
}
