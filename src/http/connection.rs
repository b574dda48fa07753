//! The connections: how many at once, how long they may take to ask, and how they end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::auth::Peer;
use crate::carry;

/// Connections at once: each of a thousand people may follow a log.
const CONNECTIONS: usize = 1_500;

/// Open files that these and everything else may need.
const FILES: u64 = 4_096;

/// Connections beyond these that are told so at once; others are only closed.
const REFUSALS: usize = 64;

/// How long a connection may take for the head of a request, or do nothing between two.
const HEAD_TIME: Duration = Duration::from_secs(20);

/// The most bytes of a head, and of a body that are received at once.
const BUFFER: usize = 16 << 10;

/// How long a peer may leave what it is sent in its buffers, or be away.
const PEER_TIME: Duration = Duration::from_secs(60);

/// How long to wait after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How long requests may go on once the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// The answer to a connection beyond the bound.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: application/json\r\nContent-Length: 38\r\n\r\n{\"error\":\"there are too many clients\"}";

/// Serves connections until `stopping` is true, and then those that are there for a while.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    allow_files();
    let (permits, refusals) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(REFUSALS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            let (router, stopping) = (router.clone(), stopping.clone());
            carry::spawn_in(&mut connections, async move {
                answer(stream, Peer(peer), router, stopping).await;
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            carry::spawn_in(&mut connections, async move {
                refuse(stream).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "stopped with requests unfinished");
    }
}

/// Raises the bound of open files, which is 1,024 on many systems, as far as this process may.
fn allow_files() {
    let bound = getrlimit(Resource::Nofile);
    let most = bound.maximum.map_or(FILES, |most| most.min(FILES));
    if bound.current.is_some_and(|current| current < most) {
        // Connections beyond the bound are refused then, as they come.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: bound.maximum });
    }
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, peer: Peer, router: Router, mut stopping: watch::Receiver<bool>) {
    // A connection that can't be set up answers all the same.
    let _ = set_up(&stream);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<RequestBody>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A peer that goes away or says nothing is no event.
        _ = &mut connection => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PEER_TIME)?;
    sockopt::set_tcp_user_timeout(stream, PEER_TIME.as_millis() as u32)?;
    Ok(())
}

/// Tells that there are too many connections.
async fn refuse(mut stream: TcpStream) {
    let told = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
