//! A proxy before the tests' Postgres that can begin to swallow what passes.
//!
//! A connection that lost a byte stays silent for ever, as behind a firewall that forgot it; new ones
//! are accepted and never answered until bytes pass again.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

pub(super) struct Proxy {
    port: u16,
    swallows: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(upstream: &str) -> Self {
        let upstream = PgConnectOptions::from_str(upstream).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallows = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicUsize::new(0));
        let (shared, all_lost) = (Arc::clone(&swallows), Arc::clone(&lost));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (swallows, all_lost) = (Arc::clone(&shared), Arc::clone(&all_lost));
                let gate = Gate { swallows, all_lost, lost: AtomicBool::new(false) };
                tokio::spawn(serve(client, upstream.clone(), gate));
            }
        });
        Self { port, swallows, lost, accepting }
    }

    /// The URL of this database by way of the proxy.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(super) fn swallow(&self, swallows: bool) {
        self.lost.store(0, Ordering::SeqCst);
        self.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Waits until so many connections have lost bytes since it began to swallow.
    pub(super) async fn swallowed(&self, connections: usize) {
        let began = Instant::now();
        while self.lost.load(Ordering::SeqCst) < connections {
            assert!(began.elapsed() < PATIENCE, "nobody uses his connection");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, upstream: PgConnectOptions, gate: Gate) {
    let (from_client, to_client) = client.into_split();
    match upstream.get_socket() {
        Some(folder) => {
            let socket: PathBuf = folder.join(format!(".s.PGSQL.{}", upstream.get_port()));
            let (from_server, to_server) = UnixStream::connect(socket).await.unwrap().into_split();
            tokio::join!(pass(from_client, to_server, &gate), pass(from_server, to_client, &gate));
        }
        None => {
            let server = TcpStream::connect((upstream.get_host(), upstream.get_port())).await.unwrap();
            let (from_server, to_server) = server.into_split();
            tokio::join!(pass(from_client, to_server, &gate), pass(from_server, to_client, &gate));
        }
    }
}

/// What both directions of one connection know.
struct Gate {
    swallows: Arc<AtomicBool>,
    all_lost: Arc<AtomicUsize>,
    lost: AtomicBool,
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, gate: &Gate) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer).await {
        if gate.swallows.load(Ordering::SeqCst) && !gate.lost.swap(true, Ordering::SeqCst) {
            gate.all_lost.fetch_add(1, Ordering::SeqCst);
        }
        let silent = gate.lost.load(Ordering::SeqCst);
        if read == 0 || (!silent && to.write_all(&buffer[..read]).await.is_err()) {
            break;
        }
    }
    // Nobody learns of an end either.
    if gate.swallows.load(Ordering::SeqCst) || gate.lost.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}
