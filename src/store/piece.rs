//! `log_piece`: the remote tail of running logs, in pieces of whole lines, for readers on other machines and for
//! the case that the machine of a run is lost. The database drops a log's pieces when it is archived or let go.

use std::ops::Range;

use anyhow::Result;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::fit;
use crate::ids::LogId;

/// The place of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PiecePlace {
    pub log: LogId,
    /// Whether it is of what the log holds behind its cut.
    pub behind: bool,
    /// Its first byte in the log; behind the cut, its first event.
    pub at: u64,
}

/// Whole lines of a log, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    pub place: PiecePlace,
    pub raw_bytes: u64,
    /// One gzip member.
    pub bytes: Vec<u8>,
}

/// A piece as the table has it.
#[derive(FromRow)]
struct PieceRow {
    log_id: LogId,
    behind: bool,
    at: i64,
    raw_bytes: i32,
    bytes: Vec<u8>,
}

impl From<PieceRow> for LogPiece {
    fn from(row: PieceRow) -> Self {
        let place = PiecePlace { log: row.log_id, behind: row.behind, at: row.at.cast_unsigned() };
        Self { place, raw_bytes: row.raw_bytes.unsigned_abs().into(), bytes: row.bytes }
    }
}

/// Ships the pieces of any number of logs and drops others, all in one statement. It refuses pieces of logs that
/// are archived by now, or that another machine composes. Returns which of `logs` somebody follows.
///
/// `spool` is the folder of the logs, if they are to outlive their machine. A piece that is there already, since the
/// answer to an earlier try was lost, is replaced by a longer one.
///
/// # Errors
/// The database fails.
pub async fn ship(
    db: impl PgExecutor<'_>,
    spool: Option<Uuid>,
    logs: &[LogId],
    pieces: &[LogPiece],
    dropped: &[PiecePlace],
) -> Result<Vec<LogId>> {
    let places = |places: Vec<PiecePlace>| -> (Vec<Uuid>, (Vec<bool>, Vec<i64>)) {
        places.into_iter().map(|place| (place.log.0, (place.behind, fit::count(place.at)))).unzip()
    };
    let (piece_logs, (behind, at)) = places(pieces.iter().map(|piece| piece.place).collect());
    let (dropped_logs, (dropped_behind, dropped_at)) = places(dropped.to_vec());
    let raw_bytes = |piece: &LogPiece| i32::try_from(piece.raw_bytes).unwrap_or(i32::MAX);
    sqlx::query_scalar(
        "with mine as (
             select id from log where id = any($2) and state not in ('archived', 'pruned') and taken_by is null
             order by id for share
         ), known as (
             update log set spool = $1 from mine where log.id = mine.id and log.spool is null and $1::uuid is not null
         ), dropped as (
             delete from log_piece p using unnest($8::uuid[], $9::boolean[], $10::bigint[]) as old (log_id, behind, at)
             where p.log_id = old.log_id and p.behind = old.behind and p.at = old.at
         ), shipped as (
             insert into log_piece (log_id, behind, at, raw_bytes, bytes)
             select piece.log_id, piece.behind, piece.at, piece.raw_bytes, piece.bytes
             from unnest($3::uuid[], $4::boolean[], $5::bigint[], $6::integer[], $7::bytea[])
                 as piece (log_id, behind, at, raw_bytes, bytes)
             join mine on mine.id = piece.log_id
             on conflict (log_id, behind, at) do update set raw_bytes = excluded.raw_bytes, bytes = excluded.bytes
             where excluded.raw_bytes > log_piece.raw_bytes
         )
         select run_id from log_follow where run_id = any($2) and wanted_until > now()",
    )
    .bind(spool)
    .bind(ids(logs))
    .bind(piece_logs)
    .bind(behind)
    .bind(at)
    .bind(pieces.iter().map(raw_bytes).collect::<Vec<_>>())
    .bind(pieces.iter().map(|piece| piece.bytes.as_slice()).collect::<Vec<_>>())
    .bind(dropped_logs)
    .bind(dropped_behind)
    .bind(dropped_at)
    .fetch_all(db)
    .await
    .context("failed to ship pieces of running logs")
}

/// Up to which byte a log was shipped.
///
/// # Errors
/// The database fails.
pub async fn shipped_to(db: impl PgExecutor<'_>, log: LogId) -> Result<u64> {
    let to: i64 = sqlx::query_scalar(
        "select coalesce(max(at + raw_bytes), 0) from log_piece where log_id = $1 and not behind",
    )
    .bind(log)
    .fetch_one(db)
    .await
    .with_context(|| format!("failed to ask how much of log {log} was shipped"))?;
    Ok(to.cast_unsigned())
}

/// The bytes of a log's file that its pieces have, piece by piece in order.
///
/// # Errors
/// The database fails.
pub async fn stretches(db: impl PgExecutor<'_>, log: LogId) -> Result<Vec<Range<u64>>> {
    let rows: Vec<(i64, i32)> =
        sqlx::query_as("select at, raw_bytes from log_piece where log_id = $1 and not behind order by at")
            .bind(log)
            .fetch_all(db)
            .await
            .with_context(|| format!("failed to ask which pieces log {log} has"))?;
    let stretch =
        |(at, bytes): (i64, i32)| at.cast_unsigned()..at.cast_unsigned() + u64::from(bytes.unsigned_abs());
    Ok(rows.into_iter().map(stretch).collect())
}

/// The next pieces of a log's file that reach beyond this byte, in order: a few, not all.
///
/// # Errors
/// The database fails.
pub async fn from_byte(db: impl PgExecutor<'_>, log: LogId, from: u64) -> Result<Vec<LogPiece>> {
    let rows: Vec<PieceRow> = sqlx::query_as(
        "select * from log_piece where log_id = $1 and not behind and at + raw_bytes > $2 order by at limit 16",
    )
    .bind(log)
    .bind(fit::count(from))
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to fetch pieces of log {log}"))?;
    Ok(rows.into_iter().map(LogPiece::from).collect())
}

/// The next pieces behind this place, or the first: those of the log's file in order, then those behind its cut.
///
/// # Errors
/// The database fails.
pub async fn after(
    db: impl PgExecutor<'_>,
    log: LogId,
    place: Option<PiecePlace>,
    limit: i64,
) -> Result<Vec<LogPiece>> {
    let rows: Vec<PieceRow> = sqlx::query_as(
        "select * from log_piece where log_id = $1 and (behind, at) > ($2, $3) order by behind, at limit $4",
    )
    .bind(log)
    .bind(place.is_some_and(|place| place.behind))
    .bind(place.map_or(-1, |place| fit::count(place.at)))
    .bind(limit)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to fetch the pieces of log {log}"))?;
    Ok(rows.into_iter().map(LogPiece::from).collect())
}

/// Drops the pieces of logs that do not outlive their machine and that nobody follows any more.
///
/// # Errors
/// The database fails.
pub async fn clean(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query(
        "with over as (delete from log_follow where wanted_until < now())
         delete from log_piece p using log l
         where l.id = p.log_id and l.spool is null
           and not exists (select from log_follow f where f.run_id = p.log_id and f.wanted_until > now())",
    )
    .execute(db)
    .await
    .context("failed to drop pieces of logs that nobody follows")?;
    Ok(())
}

/// Logs that are archived or let go and have pieces, or noted parts, all the same: there are none, unless somebody
/// changed the tables.
///
/// # Errors
/// The database fails.
pub async fn of_no_use(db: impl PgExecutor<'_>) -> Result<Vec<LogId>> {
    sqlx::query_scalar(
        "select id from log
         where id in (select log_id from log_piece union select log_id from log_part union select log_id from log_upload)
           and state in ('archived', 'pruned')
         order by id",
    )
    .fetch_all(db)
    .await
    .context("failed to look for pieces of no use")
}

/// Drops all pieces of these logs, and what is noted of their parts.
///
/// # Errors
/// The database fails.
pub async fn drop_all(db: impl PgExecutor<'_>, logs: &[LogId]) -> Result<()> {
    sqlx::query(
        "with part as (
             delete from log_part where log_id = any($1)
         ), upload as (
             delete from log_upload where log_id = any($1)
         )
         delete from log_piece where log_id = any($1)",
    )
    .bind(ids(logs))
    .execute(db)
    .await
    .context("failed to drop pieces of logs")?;
    Ok(())
}

fn ids(logs: &[LogId]) -> Vec<Uuid> {
    logs.iter().map(|log| log.0).collect()
}
