//! `/runs/{id}/log/events`: the lines of a log as they come, as server-sent events. The id of an event is the number
//! of its line, so a browser that was cut off goes on behind the last line that it has, also if the log was in a spool
//! then and is archived now. In a log on another machine the number of its event says which line it is. Whoever has all
//! that is there waits for what `watch` reads, once for all who follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream as chunks;
use tokio::sync::{broadcast, watch as signals};

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError};
use super::super::following::{KEEP_ALIVE, event_stream};
use super::super::state::Shared;
use super::lines::{ShownLine, with_blocks};
use super::query::{LogPlace, LogQuery};
use super::run_of;
use super::watch;
use super::watches::{END, LineBatch};
use crate::desk::{DeskError, lookup};
use crate::ids::RunId;
use crate::reader::{Follower, LinesWanted, LogSource, News, PageFrom, Selection};
use crate::record::seq_of;
use crate::store::{self, LogState};

/// How often to look for lines that nobody reads for all.
const TICK: Duration = Duration::from_millis(200);

/// Lines to send at once.
const AT_ONCE: usize = 500;

/// Somebody who follows a log.
struct LogFollowing {
    state: Shared,
    asker: Asker,
    run: RunId,
    stopping: signals::Receiver<bool>,
    selection: Selection,
    is_filtered: bool,
    /// The number of the next line, from 0.
    next: u64,
    /// What comes, once somebody reads it for all.
    watched: Option<broadcast::Receiver<Arc<LineBatch>>>,
    /// Whether there are lines that it has to read by itself.
    is_behind: bool,
    /// Of a log on another machine.
    elsewhere: Option<Follower>,
    has_ended: bool,
}

pub(super) async fn follow(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let query = LogQuery::read(query.as_deref())?;
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().parse::<u64>());
    let last = last.transpose().map_err(|_| HttpError::bad("the last event id is not a number"))?;
    let next = match (last, query.place) {
        (Some(last), _) => last,
        (None, LogPlace::From(line)) => line - 1,
        _ => return Err(HttpError::bad("say from which line on: from=123")),
    };
    let lines = format!("what comes from line {}", next + 1);
    audit::run_read(&state, &asker, &run, LogUse::Followed, &lines, None).await?;
    let following = LogFollowing {
        stopping: state.stopping.clone(),
        selection: query.selection(),
        is_filtered: query.is_filtered(),
        run: run.id,
        watched: None,
        is_behind: true,
        elsewhere: None,
        has_ended: false,
        next,
        state,
        asker,
    };
    Ok(event_stream(chunks::unfold(following, |mut following| async {
        let events = following.next().await?;
        Some((events, following))
    })))
}

impl LogFollowing {
    /// The next events; `None` once the log has ended, the server stops, or the asker may not read any more.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        let mut stopping = self.stopping.clone();
        let events = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            events = tokio::time::timeout(KEEP_ALIVE, self.events()) => events,
        };
        if !self.asker.is_known(&self.state) {
            return None;
        }
        match events {
            Err(_) => Some(Bytes::from_static(b":\n\n")),
            Ok(Ok(events)) => Some(events),
            Ok(Err(error)) => {
                // What can't be read now is asked for again, by a browser that keeps its place.
                tracing::debug!("failed to follow the log of run {}: {error:#}", self.run);
                None
            }
        }
    }

    /// Waits for lines.
    async fn events(&mut self) -> anyhow::Result<Bytes> {
        loop {
            let (is_elsewhere, waits) = (self.elsewhere.is_some(), !self.is_behind);
            let events = match is_elsewhere {
                true => self.there().await?.into(),
                false if waits => self.coming().await,
                false => self.here().await?.into(),
            };
            if !events.is_empty() || self.has_ended {
                return Ok(events);
            }
            if self.is_behind && !waits {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    /// Lines as they come, which are read once for all.
    async fn coming(&mut self) -> Bytes {
        let batch = match &mut self.watched {
            Some(watched) => watched.recv().await.ok(),
            None => None,
        };
        let Some(batch) = batch else {
            // It was too slow, or nobody reads the log for all any more.
            (self.watched, self.is_behind) = (None, true);
            return Bytes::new();
        };
        if batch.from > self.next {
            self.is_behind = true;
            return Bytes::new();
        }
        let events = batch.events(self.next, self.is_filtered.then_some(&self.selection));
        self.next = self.next.max(batch.to);
        self.has_ended |= batch.has_ended;
        events
    }

    /// Lines of a log in this spool, or in the object store.
    async fn here(&mut self) -> anyhow::Result<Vec<u8>> {
        let run = store::run::get(&self.state.system.pool, self.run).await?;
        let Some(run) = run else { return Ok(self.end()) };
        let source = match lookup::log(&self.state.system, &run).await {
            // What another machine has comes as it is shipped.
            Ok(LogSource::Elsewhere(_)) if !run.status.is_final() => {
                let next = self.next;
                let at = with_blocks(&self.state, &run, move |blocks| Ok(blocks.byte_before(next))).await;
                let follower = Follower::new(self.state.system.clone(), self.run, Selection::default());
                self.elsewhere = Some(follower.from_byte(at.map_err(anyhow::Error::from)?));
                return Ok(Vec::new());
            }
            Ok(LogSource::Elsewhere(_)) => return Ok(Vec::new()),
            Ok(source) => source,
            Err(_) if run.started_at.is_none() && !run.status.is_final() => return Ok(Vec::new()),
            Err(_) if !run.status.is_final() => {
                self.elsewhere =
                    Some(Follower::new(self.state.system.clone(), self.run, Selection::default()));
                return Ok(Vec::new());
            }
            // It may have left the spool since the row was read: then the next look finds it in the object store.
            Err(DeskError::Conflict(_)) if run.log_state != LogState::None => return Ok(Vec::new()),
            Err(_) => return Ok(self.end()),
        };
        let is_archive = matches!(source, LogSource::Archive { .. });
        if !is_archive && self.watched.is_none() {
            // Before it reads by itself, so that nothing comes in between.
            self.watched = Some(watch::watch(&self.state, self.run));
        }
        let wanted = LinesWanted {
            from: PageFrom::Line(self.next),
            count: AT_ONCE,
            selection: self.selection.clone(),
        };
        let began = Instant::now();
        let page = with_blocks(&self.state, &run, move |blocks| {
            blocks.refresh()?;
            // The last record ends the log, whether it is selected or not.
            let last =
                LinesWanted { from: PageFrom::Before(u64::MAX), count: 1, selection: Selection::default() };
            let ends = blocks.page(&last, |number, line| ShownLine::of(number, line).ends)?.lines;
            Ok((blocks.page(&wanted, ShownLine::of)?, ends == [true]))
        });
        let (page, is_complete) = page.await.map_err(anyhow::Error::from)?;
        tracing::trace!(lines = page.lines.len(), took = ?began.elapsed(), "followed a log");
        self.next = page.looked_at.end;
        let mut events = Vec::new();
        for line in &page.lines {
            events.extend(watch::event(line.n, line)?);
        }
        self.is_behind = self.next < page.total || self.watched.is_none();
        if self.next >= page.total && (is_archive || is_complete) {
            events.extend(self.end());
        }
        Ok(events)
    }

    /// Lines of a log on another machine, as far as they are shipped.
    async fn there(&mut self) -> anyhow::Result<Vec<u8>> {
        let Some(follower) = &mut self.elsewhere else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        match follower.next().await? {
            None => events.extend(self.end()),
            Some(News::Note(note)) => {
                let note = serde_json::json!({ "note": note });
                events.extend_from_slice(format!("event: note\ndata: {note}\n\n").as_bytes());
            }
            Some(News::Lines(lines)) => {
                for line in lines {
                    let is_last = ShownLine::of(0, &line).ends;
                    // The head of a log is its first line, and each event stands behind the one before it.
                    let number = match seq_of(&line).unwrap_or_default() {
                        0 if is_last => self.next,
                        seq => seq,
                    };
                    if number < self.next {
                        continue;
                    }
                    self.next = number + 1;
                    if self.selection.wants(&line) {
                        events.extend(watch::event(self.next, &ShownLine::of(number, &line))?);
                    }
                }
            }
        }
        Ok(events)
    }

    fn end(&mut self) -> Vec<u8> {
        self.has_ended = true;
        END.to_vec()
    }
}
