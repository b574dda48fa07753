//! `/runs/{id}/log/download` and `/runs/{id}/report`: a log or a report as a file, in bounded memory.

use std::io::{self, BufWriter, Write};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream as chunks;
use tokio::sync::mpsc;
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError};
use super::super::headers::attachment;
use super::super::state::Shared;
use super::lines::style;
use super::query::{LogForm, LogQuery};
use super::run_of;
use crate::carry;
use crate::config::ReportFormat;
use crate::desk::lookup;
use crate::record::{Record, Text};
use crate::report::Report;
use crate::store::Run;

/// Bytes that are sent at once, and how many pieces wait for a slow reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;

/// Where the bytes of a download go: to whoever reads them, as fast as that is.
struct Download(mpsc::Sender<io::Result<Bytes>>);

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The whole log, or the lines of it that are selected.
pub(super) async fn log(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let query = LogQuery::read(query.as_deref())?;
    let lines =
        if query.is_filtered() { format!("those with {}", query.conditions()) } else { "all".to_owned() };
    audit::run_read(&state, &asker, &run, LogUse::Downloaded, &lines, None).await?;
    let turn = state.pages.turn().await?;
    let source = lookup::log(&state.system, &run).await?;
    let (kind, ending) = match query.form {
        LogForm::Text => ("text/plain; charset=utf-8", "log"),
        LogForm::Gzip => ("application/gzip", "log.gz"),
        LogForm::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let (sender, body) = download();
    let failed = sender.clone();
    carry::spawn(async move {
        let mut out = out(sender, query.form);
        let each = move |line: &[u8]| match query.form {
            LogForm::Text => {
                let record = Record::decode_lossy(line);
                writeln!(out, "{}", Text { record: &record, style: style() })
            }
            LogForm::Gzip | LogForm::Ndjson => out.write_all(line),
        };
        if let Err(error) = source.read(&state.system.objects, query.selection(), each).await {
            // The reader sees a download that is cut; nobody else needs to know that it went away.
            let _ = failed.send(Err(io::Error::other(error.to_string()))).await;
        }
        drop(turn);
    });
    Ok(file(&name(&run, ending), kind, body))
}

/// The report of a run, as the command makes it: `?as=csv`, `xlsx` or `json`.
pub(super) async fn report(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let query = query.unwrap_or_default();
    let form = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "as").map(|(_, form)| form);
    let (format, kind, ending) = match form.as_deref() {
        None | Some("csv") => (ReportFormat::Csv, "text/csv; charset=utf-8", "csv"),
        Some("json") => (ReportFormat::Json, "application/json", "json"),
        Some("xlsx") => {
            let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
            (ReportFormat::Xlsx, kind, "xlsx")
        }
        Some(_) => return Err(HttpError::bad("as: expected csv, xlsx or json")),
    };
    audit::run_read(&state, &asker, &run, LogUse::Downloaded, "its report", None).await?;
    let turn = state.pages.turn().await?;
    let source = lookup::log(&state.system, &run).await?;
    let system = &state.system;
    let mut report =
        Report::of_log(source, &system.objects, system.redactor.clone(), &system.scratch).await?;
    report.summary.log.clone_from(&run.logs_uri);
    let (sender, body) = download();
    let failed = sender.clone();
    let written = carry::spawn_blocking(move || report.write(format, Download(sender)));
    carry::spawn(async move {
        if let Ok(Err(error)) = written.await {
            let _ = failed.send(Err(io::Error::other(error.to_string()))).await;
        }
        drop(turn);
    });
    Ok(file(&name(&run, &format!("report.{ending}")), kind, body))
}

fn download() -> (mpsc::Sender<io::Result<Bytes>>, Body) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let pieces = chunks::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    (sender, Body::from_stream(pieces))
}

fn out(sender: mpsc::Sender<io::Result<Bytes>>, form: LogForm) -> Box<dyn Write + Send> {
    let out = BufWriter::with_capacity(PIECE, Download(sender));
    match form {
        LogForm::Gzip => Box::new(BufWriter::with_capacity(PIECE, GzEncoder::new(out, Compression::fast()))),
        LogForm::Text | LogForm::Ndjson => Box::new(out),
    }
}

fn name(run: &Run, ending: &str) -> String {
    let stem: String = run.name.chars().take(80).collect();
    format!("{stem}-{}.{ending}", run.id)
}

fn file(name: &str, kind: &'static str, body: Body) -> Response {
    ([(CONTENT_TYPE, kind)], [attachment(name)], body).into_response()
}
