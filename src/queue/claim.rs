//! Claims: a queued run belongs to this worker for as long as its lease lasts.

use std::time::Duration;

use anyhow::Result;
use sqlx::FromRow;
use uuid::Uuid;

use crate::ids::RunId;
use crate::store::DbContext as _;
use crate::store::{PgPool, Run, fit};

/// Who claims, and on what terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The worker's name, for people.
    pub worker: String,
    /// How long the run stays the worker's without a heartbeat.
    pub lease: Duration,
    /// How long the run may take.
    pub timeout: Duration,
    /// The files that it has a parser for.
    pub takes: Takes,
}

/// The files that a worker has a parser for: programs and sections, each a code or `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takes(Vec<(String, String)>);

impl Takes {
    /// Files of these programs and sections.
    pub fn of(kinds: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// Every file.
    pub fn any() -> Self {
        Self::of([("*".to_owned(), "*".to_owned())])
    }

    /// Whether files of this program and section are among them.
    pub fn has(&self, program: &str, section: &str) -> bool {
        let fits = |pattern: &str, code: &str| pattern == "*" || pattern == code;
        self.0.iter().any(|(programs, sections)| fits(programs, program) && fits(sections, section))
    }

    /// Each as `program/section`, for people.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(program, section)| format!("{program}/{section}")).collect()
    }

    fn is_any(&self) -> bool {
        self.has("*", "*")
    }
}

/// A run that we claimed.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ClaimedRun {
    #[sqlx(flatten)]
    pub run: Run,
    /// Proves the claim to [`super::heartbeat`] and [`super::finish()`].
    pub lease_token: Uuid,
    /// Earlier runs of the same file that did not succeed. None of them runs any more, but the external
    /// parser of one may be left if its worker died or lost its lease.
    pub earlier: Vec<RunId>,
}

/// Claims the next run: due, with the lowest priority number, of a file that the claimant has a parser for and that
/// no other run is parsing.
/// `None` if there is none now.
///
/// # Errors
/// The database fails. If it fails after the claim, the run has no owner until its lease expires.
pub async fn claim(pool: &PgPool, claimant: &Claimant) -> Result<Option<ClaimedRun>> {
    claim_one(pool, claimant, None).await
}

/// Claims this run and no other. `None` if it is not available now.
///
/// # Errors
/// As [`claim`].
pub async fn claim_run(pool: &PgPool, claimant: &Claimant, run: RunId) -> Result<Option<ClaimedRun>> {
    claim_one(pool, claimant, Some(run)).await
}

/// Claims the next run for $1, who gets a lease of $2 and a deadline in $3.
const CLAIM_NEXT: &str = "
    with next as (
        select q.id from parse_file_meta q
        where q.status = 'queued' and q.run_after <= now()
          and not exists (select 1 from parse_file_meta busy
                          where busy.data_file_id = q.data_file_id and busy.status = 'running')
        order by q.priority, q.run_after, q.id
        for update of q skip locked
        limit 1
    )
    update parse_file_meta q
    set status = 'running', worker = $1, lease_token = gen_random_uuid(), lease_until = now() + $2,
        deadline = now() + $3, started_at = now(), heartbeat_at = now()
    from next where q.id = next.id
    returning q.id";

/// Claims the next run of the programs $4 and their sections $5 in the same way. The condition is a value and no
/// join, so that Postgres goes along the index of the queue as above.
const CLAIM_NEXT_OF: &str = "
    with next as (
        select q.id from parse_file_meta q
        where q.status = 'queued' and q.run_after <= now()
          and not exists (select 1 from parse_file_meta busy
                          where busy.data_file_id = q.data_file_id and busy.status = 'running')
          and (select bool_or(takes.program in ('*', f.program) and takes.section in ('*', f.section))
               from data_file f, unnest($4::text[], $5::text[]) as takes (program, section)
               where f.id = q.data_file_id)
        order by q.priority, q.run_after, q.id
        for update of q skip locked
        limit 1
    )
    update parse_file_meta q
    set status = 'running', worker = $1, lease_token = gen_random_uuid(), lease_until = now() + $2,
        deadline = now() + $3, started_at = now(), heartbeat_at = now()
    from next where q.id = next.id
    returning q.id";

/// Claims run $4 in the same way, whatever it is. It is a statement of its own: with a condition for both, behind an `or`,
/// Postgres comes to a plan that sorts the whole queue at each claim.
const CLAIM_THIS: &str = "
    with next as (
        select q.id from parse_file_meta q
        where q.id = $4 and q.status = 'queued' and q.run_after <= now()
          and not exists (select 1 from parse_file_meta busy
                          where busy.data_file_id = q.data_file_id and busy.status = 'running')
        for update of q skip locked
    )
    update parse_file_meta q
    set status = 'running', worker = $1, lease_token = gen_random_uuid(), lease_until = now() + $2,
        deadline = now() + $3, started_at = now(), heartbeat_at = now()
    from next where q.id = next.id
    returning q.id";

/// The columns of a claimed run.
const CLAIMED: &str = "
    select *, array(select e.id from parse_file_meta e
                    where e.data_file_id = run.data_file_id and e.id <> run.id
                      and e.status in ('fail', 'terminate', 'crash')) as earlier
    from run where id = $1";

async fn claim_one(pool: &PgPool, claimant: &Claimant, only: Option<RunId>) -> Result<Option<ClaimedRun>> {
    let claimed: Option<RunId> = loop {
        let takes_any = claimant.takes.is_any();
        let mut query = sqlx::query_scalar(if only.is_some() {
            CLAIM_THIS
        } else if takes_any {
            CLAIM_NEXT
        } else {
            CLAIM_NEXT_OF
        })
        .bind(fit::label(&claimant.worker))
        .bind(claimant.lease)
        .bind(claimant.timeout);
        if let Some(run) = only {
            query = query.bind(run);
        } else if !takes_any {
            let (programs, sections): (Vec<&str>, Vec<&str>) = claimant
                .takes
                .0
                .iter()
                .map(|(program, section)| (program.as_str(), section.as_str()))
                .unzip();
            query = query.bind(programs).bind(sections);
        }
        match query.fetch_optional(pool).await {
            // Another worker claimed another run of the same file at the same moment, and the index let only
            // one through. The next check sees that file as busy.
            Err(sqlx::Error::Database(error)) if error.constraint() == Some("one_running_per_file") => {}
            claimed => break claimed.context("failed to claim a run")?,
        }
    };
    let Some(run) = claimed else { return Ok(None) };
    let claimed = sqlx::query_as(CLAIMED).bind(run).fetch_one(pool).await;
    claimed.map(Some).with_context(|| format!("failed to read run {run}, which was claimed"))
}
