//! A store that counts: as much of an S3 server as parselog asks for, on a port of this machine and a thread of its own.
//!
//! It checks what it is sent as S3 does: checksums, the order and the size of parts, conditions. It keeps sizes and
//! checksums, and only small bodies, which are read again. It knows no versions, and asks nobody who he is.

mod answer;
mod shelf;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::{Request, Response};
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parselog::carry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use shelf::Shelf;

/// The longest body of a request, in bytes: parts and files that go up at once have 8 MiB.
const LONGEST: usize = 64 << 20;

/// The running store. It ends with the process.
pub(crate) struct CountingStore {
    pub(crate) endpoint: String,
    books: Arc<Mutex<Books>>,
}

/// What the store has, and what it was asked.
#[derive(Default)]
struct Books {
    shelf: Shelf,
    requests: Vec<Served>,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
struct Served {
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
    /// Bytes of its body.
    bytes: u64,
}

/// Requests, together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Bytes that were sent with them.
    pub(crate) bytes: u64,
    /// From their heads to their answers, added up.
    pub(crate) took: Duration,
}

impl CountingStore {
    pub(crate) async fn start() -> Result<Self> {
        let books = Arc::new(Mutex::new(Books::default()));
        let (told, port) = oneshot::channel();
        let kept = Arc::clone(&books);
        // A thread of its own: those of the bench wait for processes.
        carry::thread(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                // Nobody may have waited for it.
                let _ = told.send(listener.local_addr()?.port());
                loop {
                    let (stream, _) = listener.accept().await?;
                    carry::spawn(serve(stream, Arc::clone(&kept)));
                }
            })
        });
        let port = port.await.context("the store does not start")?;
        Ok(Self { endpoint: format!("http://127.0.0.1:{port}"), books })
    }

    /// The requests that were answered between these moments; of one that began before, the time since.
    pub(crate) fn between(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> Counts {
        let books = lock(&self.books);
        let within = books.requests.iter().filter(|served| (since..=until).contains(&served.ended));
        within.fold(Counts::default(), |sum, served| Counts {
            requests: sum.requests + 1,
            bytes: sum.bytes + served.bytes,
            took: sum.took + (served.ended - served.began.max(since)).to_std().unwrap_or_default(),
        })
    }
}

/// Answers the requests of one connection, until its peer goes away.
async fn serve(stream: TcpStream, books: Arc<Mutex<Books>>) {
    let service = service_fn(|request| answer(request, &books));
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, books: &Mutex<Books>) -> Result<Response<Body>, Infallible> {
    let began = Utc::now();
    let (head, body) = request.into_parts();
    let body = answer::Sent::read(body, LONGEST).await;
    let bytes = body.as_ref().map_or(0, |body| body.bytes.len() as u64);
    let asked = answer::Asked::of(&head, body);
    let mut books = lock(books);
    let answer = asked.and_then(|asked| books.shelf.answer(&asked)).unwrap_or_else(answer::Refusal::answer);
    books.requests.push(Served { began, ended: Utc::now(), bytes });
    Ok(answer)
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
