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

/// Claims the next run for $1, who gets a lease of $2 and a deadline in $3, of the programs $4 and their sections $5, out
/// of the first $6 of each kind of file. Returns it, and whether there was any.
///
/// Each kind that waits has a stretch of the index of its own, so what waits for other workers costs nothing. Runs that
/// were queued before there were kinds have none, and are looked up. Whether a file is busy is a value, so that it is
/// looked up for each file: as a condition it becomes a join, which goes through all that runs. `is true` keeps the indexes
/// of a status out of where ids are known.
const CLAIM_NEXT: &str = "
    with recursive kind as (
        (select file_kind from parse_file_meta where status = 'queued' and file_kind is not null
         order by file_kind limit 1)
        union all
        select (select q.file_kind from parse_file_meta q where q.status = 'queued' and q.file_kind > kind.file_kind
                order by q.file_kind limit 1)
        from kind where kind.file_kind is not null
    ), ours as (
        select file_kind from kind
        where exists (select from unnest($4::text[], $5::text[]) as takes (program, section)
                      where takes.program in ('*', split_part(file_kind, '/', 1))
                        and takes.section in ('*', split_part(file_kind, '/', 2)))
    ), head as materialized (
        select first.* from ours cross join lateral (
            select q.id, q.priority, q.run_after from parse_file_meta q
            where q.status = 'queued' and q.file_kind = ours.file_kind and q.run_after <= now()
              and (select true from parse_file_meta busy
                   where busy.data_file_id = q.data_file_id and busy.status = 'running') is null
            order by q.priority, q.run_after, q.id limit $6) as first
        union all
        select old.* from (
            select q.id, q.priority, q.run_after from parse_file_meta q
            where q.status = 'queued' and q.file_kind is null and q.run_after <= now()
              and (select true from parse_file_meta busy
                   where busy.data_file_id = q.data_file_id and busy.status = 'running') is null
              and (select bool_or(takes.program in ('*', f.program) and takes.section in ('*', f.section))
                   from data_file f, unnest($4::text[], $5::text[]) as takes (program, section)
                   where f.id = q.data_file_id)
            order by q.priority, q.run_after, q.id limit $6) as old
    ), next as (
        select q.id from parse_file_meta q
        where q.id in (select id from head order by priority, run_after, id limit $6) and (q.status = 'queued') is true
        order by q.priority, q.run_after, q.id
        for update of q skip locked
        limit 1
    ), claimed as (
        update parse_file_meta q
        set status = 'running', worker = $1, lease_token = gen_random_uuid(), lease_until = now() + $2,
            deadline = now() + $3, started_at = now(), heartbeat_at = now()
        from next where q.id = next.id
        returning q.id
    )
    select (select id from claimed) as id, exists (select from head) as is_waiting";

/// Claims run $4 on the same terms, whatever it is.
const CLAIM_THIS: &str = "
    with next as (
        select q.id from parse_file_meta q
        where q.id = $4 and (q.status = 'queued') is true and q.run_after <= now()
          and (select true from parse_file_meta busy
               where busy.data_file_id = q.data_file_id and busy.status = 'running') is null
        for update of q skip locked
    ), claimed as (
        update parse_file_meta q
        set status = 'running', worker = $1, lease_token = gen_random_uuid(), lease_until = now() + $2,
            deadline = now() + $3, started_at = now(), heartbeat_at = now()
        from next where q.id = next.id
        returning q.id
    )
    select (select id from claimed) as id, false as is_waiting";

/// The columns of a claimed run.
const CLAIMED: &str = "
    select *, array(select e.id from parse_file_meta e
                    where e.data_file_id = run.data_file_id and e.id <> run.id
                      and (e.status in ('fail', 'terminate', 'crash')) is true) as earlier
    from run where id = $1";

/// How many runs of a kind to look at, since other workers may claim the first of them at the same moment; and how many
/// more each time that others had all of these.
const HEAD: i64 = 16;
const MORE: i64 = 8;
const MOST: i64 = 10_000;

async fn claim_one(pool: &PgPool, claimant: &Claimant, only: Option<RunId>) -> Result<Option<ClaimedRun>> {
    let mut head = HEAD;
    loop {
        match try_claim(pool, claimant, only, head).await {
            // Another worker claimed another run of the same file at the same moment, and the index let only
            // one through. The next check sees that file as busy.
            Err(sqlx::Error::Database(error)) if error.constraint() == Some("one_running_per_file") => {}
            Ok((None, true)) if head < MOST => head *= MORE,
            claimed => return Ok(claimed.context("failed to claim a run")?.0),
        }
    }
}

/// The claimed run, and whether there was any to claim.
async fn try_claim(
    pool: &PgPool,
    claimant: &Claimant,
    only: Option<RunId>,
    head: i64,
) -> Result<(Option<ClaimedRun>, bool), sqlx::Error> {
    let mut transaction = pool.begin_along_indexes().await?;
    let query = sqlx::query_as(if only.is_some() { CLAIM_THIS } else { CLAIM_NEXT })
        .bind(fit::label(&claimant.worker))
        .bind(claimant.lease)
        .bind(claimant.timeout);
    let query = match only {
        Some(run) => query.bind(run),
        None => {
            let kinds = claimant.takes.0.iter();
            let (programs, sections): (Vec<&str>, Vec<&str>) =
                kinds.map(|(program, section)| (program.as_str(), section.as_str())).unzip();
            query.bind(programs).bind(sections).bind(head)
        }
    };
    let (run, is_waiting): (Option<RunId>, bool) = query.fetch_one(&mut *transaction).await?;
    let claimed = match run {
        Some(run) => Some(sqlx::query_as(CLAIMED).bind(run).fetch_one(&mut *transaction).await?),
        None => None,
    };
    transaction.commit().await?;
    Ok((claimed, is_waiting))
}
