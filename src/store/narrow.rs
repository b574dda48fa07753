//! The ids of the runs that a filter means, by the narrowest way: whatever the size of the tables, a page of them should
//! cost what a page costs.
//!
//! What a filter says of files, or of who asked, is looked up first: if few files fit, only their runs are looked at. A
//! status, a verdict and a state of the log have an index each, in the order of the runs; so each value gives its own
//! newest runs, and the page is the newest of them all. All else goes along the runs, the newest first.

use anyhow::Result;
use chrono::TimeDelta;
use sqlx::{PgExecutor, Postgres, QueryBuilder};
use uuid::Uuid;

use super::LogState;
use super::failure::DbContext as _;
use super::filter::RunFilter;

/// So many files, or batches, are few: their runs are read and sorted within milliseconds.
const FEW: i64 = 1000;

/// How far the server's clock may have been set back since.
const MARGIN: TimeDelta = TimeDelta::days(1);

/// What is known of a filter before its runs are looked for.
pub(super) struct Narrow {
    /// The files that fit what the filter says of them, if it does and they are few.
    files: Option<Vec<i64>>,
    /// The batches of who asked, in the same way.
    batches: Option<Vec<i64>>,
}

/// One of the values that a filter allows, each of which has its own stretch of an index.
#[derive(Debug, Clone, Copy)]
pub(super) enum OneOf<'f> {
    Status(&'f str),
    Verdict(&'f str),
    Log(&'f str),
}

impl Narrow {
    /// Looks for the files and batches that a filter means.
    pub(super) async fn of(db: impl PgExecutor<'_> + Copy, filter: &RunFilter) -> Result<Self> {
        let is_narrow = filter.data_file.is_some() || filter.batch.is_some() || filter.same_file_as.is_some();
        let (mut files, mut batches) = (None, None);
        if says_of_files(filter) && !is_narrow {
            let mut query = QueryBuilder::new("select f.id from data_file f where true");
            restrict_files(&mut query, filter);
            query.push(" limit ").push_bind(FEW + 1);
            let found = query.build_query_scalar().fetch_all(db).await.context("failed to look for files")?;
            files = Some(found).filter(|found: &Vec<i64>| found.len() as i64 <= FEW);
        }
        if let Some(who) = filter.requested_by.as_ref().filter(|_| !is_narrow) {
            let found = sqlx::query_scalar("select id from parse_meta where requested_by = $1 limit $2")
                .bind(who)
                .bind(FEW + 1)
                .fetch_all(db)
                .await
                .context("failed to look for who asked")?;
            batches = Some(found).filter(|found: &Vec<i64>| found.len() as i64 <= FEW);
        }
        Ok(Self { files, batches })
    }

    /// The ids of a page: the first in the filter's order, behind the run that it names.
    pub(super) fn push_page(&self, query: &mut QueryBuilder<Postgres>, filter: &RunFilter) {
        let (direction, behind) = if filter.order.ascends() { ("asc", ">") } else { ("desc", "<") };
        if let Some(key) = filter.order.by.key("r", "f") {
            self.push_ids(query, filter, None);
            if let Some(run) = filter.after {
                let of_it = filter.order.by.key("run", "run").unwrap_or_default();
                query.push(format!(
                    " and ({key}, r.id) {behind} (select {of_it}, run.id from run where run.id = "
                ));
                query.push_bind(run).push(")");
            }
            query.push(format!(" order by {key} {direction}, r.id {direction} limit "));
            query.push_bind(filter.limit);
            return;
        }
        let values = one_of(filter);
        let each: Vec<Option<OneOf<'_>>> =
            if values.is_empty() { vec![None] } else { values.into_iter().map(Some).collect() };
        query.push("select id from (");
        for (place, value) in each.iter().enumerate() {
            query.push(if place == 0 { "(" } else { " union (" });
            self.push_ids(query, filter, *value);
            if let Some(run) = filter.after {
                query.push(format!(" and r.id {behind} ")).push_bind(run);
            }
            query.push(format!(" order by r.id {direction} limit ")).push_bind(filter.limit).push(")");
        }
        query.push(format!(") page order by id {direction} limit ")).push_bind(filter.limit);
    }

    /// The ids of the runs that match, in any order; with `value`, of the runs that match because of it.
    pub(super) fn push_ids(
        &self,
        query: &mut QueryBuilder<Postgres>,
        filter: &RunFilter,
        value: Option<OneOf<'_>>,
    ) {
        if let Some(OneOf::Log(code)) = value
            && says_of_logs_alone(filter)
        {
            query.push("select r.id from (select run_id as id, state from log where run_id is not null) r where r.state = ");
            query.push_bind(code.to_owned());
            if let Some(run) = filter.before {
                query.push(" and r.id < ").push_bind(run);
            }
            return;
        }
        query.push("select r.id from parse_file_meta r");
        if !filter.log_state.is_empty() {
            query.push(" join log l on l.run_id = r.id");
        }
        let by_files = says_of_files(filter) && self.files.is_none();
        if by_files || filter.order.by.is_of_files() {
            query.push(" join data_file f on f.id = r.data_file_id");
        }
        let by_batches = filter.requested_by.is_some() && self.batches.is_none();
        if by_batches {
            query.push(" join parse_meta b on b.id = r.batch_id");
        }
        query.push(" where true");
        match &self.files {
            Some(files) => drop(query.push(" and r.data_file_id = any(").push_bind(files.clone()).push(")")),
            None if by_files => restrict_files(query, filter),
            None => {}
        }
        match (&self.batches, &filter.requested_by) {
            (Some(batches), _) => {
                query.push(" and r.batch_id = any(").push_bind(batches.clone()).push(")");
            }
            (None, Some(who)) => drop(query.push(" and b.requested_by = ").push_bind(who.clone())),
            (None, None) => {}
        }
        restrict_runs(query, filter, value);
    }
}

/// The values of which a run must have one, if each leads along an index.
fn one_of(filter: &RunFilter) -> Vec<OneOf<'_>> {
    // Most logs are archived: they have no index of their own.
    if !filter.log_state.is_empty() && !filter.log_state.contains(&LogState::Archived) {
        return filter.log_state.iter().map(|state| OneOf::Log(state.as_str())).collect();
    }
    let statuses = filter.status.iter().map(|status| OneOf::Status(status.as_str()));
    statuses.chain(filter.verdict.iter().map(|verdict| OneOf::Verdict(verdict.as_str()))).collect()
}

fn says_of_files(filter: &RunFilter) -> bool {
    let texts = [&filter.program, &filter.section, &filter.state, &filter.name];
    texts.into_iter().any(Option::is_some)
        || !filter.programs.is_empty()
        || filter.fiscal_year.is_some()
        || filter.fiscal_quarter.is_some()
}

/// Whether no other table than that of logs is needed.
fn says_of_logs_alone(filter: &RunFilter) -> bool {
    let ids = [filter.data_file, filter.same_file_as];
    filter.status.is_empty()
        && filter.verdict.is_empty()
        && !says_of_files(filter)
        && filter.requested_by.is_none()
        && ids.iter().all(Option::is_none)
        && filter.batch.is_none()
        && filter.since.or(filter.ended_since).is_none()
}

/// What the filter says of files.
fn restrict_files(query: &mut QueryBuilder<Postgres>, filter: &RunFilter) {
    let texts = [("f.program", &filter.program), ("f.section", &filter.section), ("f.state", &filter.state)];
    for (column, value) in texts {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind(value.clone());
        }
    }
    if !filter.programs.is_empty() {
        query.push(" and f.program = any(").push_bind(filter.programs.clone()).push(")");
    }
    if let Some(name) = &filter.name {
        query.push(" and position(lower(").push_bind(name.clone()).push(") in lower(f.name)) > 0");
    }
    if let Some(year) = filter.fiscal_year {
        query.push(" and f.fiscal_year = ").push_bind(year);
    }
    if let Some(quarter) = filter.fiscal_quarter {
        query.push(" and f.fiscal_quarter = ").push_bind(quarter);
    }
}

/// What the filter says of runs themselves, and of their logs.
fn restrict_runs(query: &mut QueryBuilder<Postgres>, filter: &RunFilter, value: Option<OneOf<'_>>) {
    match value {
        Some(OneOf::Status(code)) => drop(query.push(" and r.status = ").push_bind(code.to_owned())),
        Some(OneOf::Verdict(code)) => drop(query.push(" and r.summary_status = ").push_bind(code.to_owned())),
        Some(OneOf::Log(_)) | None if !filter.status.is_empty() || !filter.verdict.is_empty() => {
            let codes: Vec<_> = filter.status.iter().map(|status| status.as_str()).collect();
            let verdicts: Vec<_> = filter.verdict.iter().map(|verdict| verdict.as_str()).collect();
            query.push(" and (r.status = any(").push_bind(codes);
            query.push(") or r.summary_status = any(").push_bind(verdicts).push("))");
        }
        Some(OneOf::Log(_)) | None => {}
    }
    if let Some(OneOf::Log(code)) = value {
        query.push(" and l.state = ").push_bind(code.to_owned());
    } else if !filter.log_state.is_empty() {
        let codes: Vec<_> = filter.log_state.iter().map(|state| state.as_str()).collect();
        query.push(" and l.state = any(").push_bind(codes).push(")");
    }
    if let Some(data_file) = filter.data_file {
        query.push(" and r.data_file_id = ").push_bind(data_file);
    }
    if let Some(data_file) = filter.same_file_as {
        query
            .push(" and r.data_file_id in (select id from data_file where (bucket, identity, owner) =")
            .push(" (select bucket, identity, owner from data_file where id = ")
            .push_bind(data_file)
            .push("))");
    }
    if let Some(batch) = filter.batch {
        query.push(" and r.batch_id = ").push_bind(batch);
    }
    if let Some(since) = filter.since {
        query.push(" and r.queued_at >= ").push_bind(since);
        // An id tells when it was made, which is the moment of queuing, or a little later.
        let millis = u128::from((since - MARGIN).timestamp_millis().max(0).cast_unsigned());
        query.push(" and r.id >= ").push_bind(Uuid::from_u128(millis << 80));
    }
    if let Some(since) = filter.ended_since {
        query.push(" and r.finished_at >= ").push_bind(since);
    }
    if let Some(run) = filter.before {
        query.push(" and r.id < ").push_bind(run);
    }
}
