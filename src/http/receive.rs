//! The body of a request: received, unpacked, read and stored, within the bounds of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt as _;

use super::asker::Asker;
use super::body::{BodyItem, BodySink, Coding, Unpack, UnpackError};
use super::error::{Answered, HttpError};
use super::metrics::Door;
use super::room::Room;
use super::state::{ServerState, Shared};
use crate::carry;
use crate::ids::ServiceName;
use crate::intake::Refused;
use crate::record::Incoming;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(20);

/// How long the rest of a refused body may take.
const PASSING_TIME: Duration = Duration::from_secs(2);

/// Said where the memory of all bodies is full.
const NO_ROOM: &str = "too much is being received now";

/// A body as it came, with its room.
pub(super) struct ReceivedBody {
    bytes: Vec<u8>,
    coding: Option<Coding>,
    room: Room,
}

/// What came of the records of a body.
#[derive(Debug, Default)]
pub(super) struct SendTally {
    /// Records that are stored.
    pub(super) stored: u64,
    /// What was no record, and is kept with the reason.
    pub(super) bad: u64,
    /// The first such reason.
    pub(super) reason: Option<String>,
}

/// Receives a body.
///
/// # Errors
/// It is too large or too slow, its coding is unknown, or there is no room for it now.
pub(super) async fn receive(state: &ServerState, headers: &HeaderMap, body: Body) -> Answered<ReceivedBody> {
    let coding = coding(headers)?;
    let room = state.memory.room();
    let received = tokio::time::timeout(BODY_TIME, collect(state, headers, body, room));
    let (bytes, room) = received
        .await
        .map_err(|_| HttpError::new(StatusCode::REQUEST_TIMEOUT, "the body takes too long to come"))??;
    Ok(ReceivedBody { bytes, coding, room })
}

async fn collect(
    state: &ServerState,
    headers: &HeaderMap,
    body: Body,
    mut room: Room,
) -> Answered<(Vec<u8>, Room)> {
    let limit = state.largest_body;
    let says = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut bytes = Vec::new();
    let mut reserve = |bytes: &mut Vec<u8>, whole: usize| {
        if whole > limit {
            return Err(too_large(limit));
        }
        let more = whole.saturating_sub(bytes.capacity());
        if more > 0 && !room.grow(more) {
            return Err(HttpError::busy(NO_ROOM));
        }
        bytes.reserve_exact(whole - bytes.len());
        Ok(())
    };
    let mut chunks = body.into_data_stream();
    if let Err(refused) = reserve(&mut bytes, says.unwrap_or_default()) {
        pass_over(&mut chunks, &refused).await;
        return Err(refused);
    }
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| HttpError::bad(format!("the body can't be received: {error}")))?;
        let whole = bytes.len() + chunk.len();
        if whole > bytes.capacity() {
            // Twice as much at a time, so that a large body is not copied too often.
            let twice = 2 * bytes.len();
            if let Err(refused) = reserve(&mut bytes, whole.max(twice.min(limit))) {
                pass_over(&mut chunks, &refused).await;
                return Err(refused);
            }
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, room))
}

/// Receives the rest of a body that finds no room, and forgets it: many clients read no answer before they have
/// sent everything, and would take a closed connection for worse.
async fn pass_over(chunks: &mut BodyDataStream, refused: &HttpError) {
    if refused.status == StatusCode::SERVICE_UNAVAILABLE {
        let rest = async { while let Some(Ok(_)) = chunks.next().await {} };
        let _ = tokio::time::timeout(PASSING_TIME, rest).await;
    }
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {limit} bytes, also unpacked"))
}

/// How the body is packed.
fn coding(headers: &HeaderMap) -> Answered<Option<Coding>> {
    let Some(named) = headers.get(CONTENT_ENCODING) else { return Ok(None) };
    let named = named.to_str().unwrap_or_default();
    if named.trim().eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    Coding::named(named).map(Some).ok_or_else(|| {
        let known = "expected gzip, deflate, zstd or snappy";
        HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the coding of the body is unknown: {known}"),
        )
    })
}

impl ReceivedBody {
    /// The same, of a body that is packed without saying so.
    pub(super) fn packed_as(self, coding: Coding) -> Self {
        Self { coding: self.coding.or(Some(coding)), ..self }
    }

    /// Reads the records of the body that came by this door, and stores them for good. What is no record is stored
    /// with the reason.
    ///
    /// # Errors
    /// The body can't be unpacked or read, there is no room, or the disk refuses: then a sender that sends all of
    /// it again loses nothing.
    pub(super) async fn store(
        self,
        state: &Shared,
        asker: &Asker,
        door: Door,
        read: impl FnOnce(&[u8], &mut BodySink<'_>) -> Result<(), String> + Send + 'static,
    ) -> Answered<SendTally> {
        let turn = Arc::clone(&state.decoders).acquire_owned().await.expect("never closed");
        let (its, asker) = (Arc::clone(state), asker.clone());
        let stored = carry::spawn_blocking(move || {
            let _turn = turn;
            let mut storing =
                Storing { state: &its, asker: &asker, tally: SendTally::default(), refused: None };
            let Self { mut bytes, coding, mut room } = self;
            if let Some(coding) = coding {
                let mut unpack = Unpack { limit: its.largest_body, room: &mut |more| room.grow(more) };
                bytes =
                    unpack.unpack(coding, &bytes).map_err(|error| unpack_refused(error, its.largest_body))?;
            }
            read(&bytes, &mut |found| storing.take(found)).map_err(HttpError::bad)?;
            storing.end()
        });
        let tally = stored.await.map_err(|_| HttpError::busy("reading the body failed"))??;
        state.metrics.count_records(door, tally.stored, tally.bad);
        if state.waits_for_disk && tally.stored + tally.bad > 0 {
            state.streams.synced().await.map_err(|error| HttpError::busy(format!("{error:#}")))?;
        }
        Ok(tally)
    }
}

fn unpack_refused(error: UnpackError, limit: usize) -> HttpError {
    match error {
        UnpackError::Damaged(reason) => HttpError::bad(format!("the body can't be unpacked: {reason}")),
        UnpackError::TooLarge => too_large(limit),
        UnpackError::NoRoom => HttpError::busy(NO_ROOM),
    }
}

/// Stores what a body holds, one after the other.
struct Storing<'a> {
    state: &'a ServerState,
    asker: &'a Asker,
    tally: SendTally,
    refused: Option<Refused>,
}

impl Storing<'_> {
    fn take(&mut self, found: BodyItem<'_>) {
        // Whoever sends all of it again sends this too.
        if self.refused.is_some() {
            return;
        }
        let stored = match found {
            BodyItem::Record(mut record) => match self.check_stream(&mut record) {
                Ok(()) => self.state.streams.store(&record, None).map(|()| self.tally.stored += 1),
                Err(reason) => {
                    let raw = record.message.as_bytes();
                    self.reject(record.service.as_deref(), raw, reason)
                }
            },
            BodyItem::Bad { service, raw, reason } => self.reject(service, raw, reason),
        };
        self.refused = stored.err();
    }

    fn reject(&mut self, service: Option<&str>, raw: &[u8], reason: String) -> Result<(), Refused> {
        self.state.streams.reject(service, raw, &reason, None)?;
        self.tally.bad += 1;
        self.tally.reason.get_or_insert(reason);
        Ok(())
    }

    /// Checks that the sender may send to the stream. A record that names none goes to the first that it may.
    fn check_stream(&self, record: &mut Incoming) -> Result<(), String> {
        let allowed = self.asker.streams();
        let Some(first) = allowed.first() else { return Ok(()) };
        // The log of a run is not among them, so the name of the run is only kept.
        if let Some(run) = record.run.take() {
            record.rest.insert("run_id".to_owned(), run.to_string().into());
        }
        let service = record.service.get_or_insert_with(|| first.clone());
        let name = ServiceName::escaped(service);
        match allowed.iter().any(|allowed| *allowed == name) {
            true => Ok(()),
            false => Err(format!("the token does not allow to send to '{name}'")),
        }
    }

    fn end(self) -> Answered<SendTally> {
        match self.refused {
            None => Ok(self.tally),
            Some(refused) => Err(HttpError::busy(refused.to_string())),
        }
    }
}
