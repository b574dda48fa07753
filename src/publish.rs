//! Redis: each stored record on the channel `logs:all`, after it is stored.
//!
//! It listens to the streams like anybody else, so nobody waits for Redis. Records that it can't publish in time
//! are lost for Redis alone; the log says how many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::carry;
use crate::intake::{StoredRecord, Streams};

/// The channel.
const CHANNEL: &str = "logs:all";

/// How long Redis may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// The most records and bytes of one request.
const MOST_RECORDS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// How often losses are said at most.
const SAYING: Duration = Duration::from_secs(10);

/// How long the last records may take.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// Publishes until it is stopped.
pub struct Publisher {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Publishes what is stored from now on.
    ///
    /// # Errors
    /// The URL can't be read.
    pub fn start(url: &SecretString, streams: &Streams) -> Result<Self> {
        // The error may repeat the URL, and with it the password.
        let client =
            Client::open(url.expose_secret()).map_err(|_| anyhow!("the URL of the Redis can't be read"))?;
        let (stop, stopped) = oneshot::channel();
        let records = streams.subscribe();
        let mut publication =
            Publication { client, connection: None, records, batch: Vec::new(), lost: 0, said_at: None };
        let task = carry::spawn(async move {
            let stopped = tokio::select! {
                () = publication.publish() => false,
                _ = stopped => true,
            };
            if stopped && tokio::time::timeout(LAST_GRACE, publication.publish_rest()).await.is_err() {
                publication.lost += (publication.batch.len() + publication.records.len()) as u64;
            }
            publication.said_at = None;
            publication.say_lost();
        });
        Ok(Self { stop, task })
    }

    /// Publishes what is stored so far, if Redis takes it in time, and stops.
    pub async fn stop(self) {
        // The task may have ended already, with the streams.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Publication {
    client: Client,
    connection: Option<MultiplexedConnection>,
    records: Receiver<Arc<StoredRecord>>,
    /// The next to publish.
    batch: Vec<Arc<StoredRecord>>,
    /// Records that Redis missed and nobody was told of.
    lost: u64,
    said_at: Option<Instant>,
}

impl Publication {
    /// Publishes until the streams are gone.
    async fn publish(&mut self) {
        loop {
            if self.batch.is_empty() {
                match self.records.recv().await {
                    Ok(record) => self.batch.push(record),
                    Err(RecvError::Lagged(missed)) => self.lost += missed,
                    Err(RecvError::Closed) => return,
                }
                self.fill();
            }
            self.send().await;
            self.say_lost();
        }
    }

    /// Publishes what is there.
    async fn publish_rest(&mut self) {
        loop {
            self.fill();
            if self.batch.is_empty() {
                return;
            }
            self.send().await;
        }
    }

    /// Adds what is there to the batch, up to its bounds.
    fn fill(&mut self) {
        let mut bytes: usize = self.batch.iter().map(|record| record.line.len()).sum();
        while self.batch.len() < MOST_RECORDS && bytes < MOST_BYTES {
            match self.records.try_recv() {
                Ok(record) => {
                    bytes += record.line.len();
                    self.batch.push(record);
                }
                Err(TryRecvError::Lagged(missed)) => self.lost += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Publishes the batch. While Redis is away it stays.
    async fn send(&mut self) {
        let mut requests = Pipeline::new();
        for record in self.batch.iter().filter(|record| !record.is_copy) {
            requests.publish(CHANNEL, message(record)).ignore();
        }
        let Some(connection) = self.connect().await else {
            return tokio::time::sleep(PAUSE).await;
        };
        if let Err(error) = requests.exec_async(connection).await {
            tracing::debug!("Redis did not take records: {error}");
            self.lost += self.batch.len() as u64;
            self.connection = None;
        }
        self.batch.clear();
    }

    async fn connect(&mut self) -> Option<&mut MultiplexedConnection> {
        if self.connection.is_none() {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            match self.client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => tracing::debug!("failed to reach Redis: {error}"),
            }
        }
        self.connection.as_mut()
    }

    /// Says how many records Redis missed, if it missed any.
    fn say_lost(&mut self) {
        if self.lost > 0 && self.said_at.is_none_or(|at| at.elapsed() >= SAYING) {
            tracing::warn!(records = self.lost, "Redis missed records, which are stored all the same");
            (self.lost, self.said_at) = (0, Some(Instant::now()));
        }
    }
}

/// The line as it is stored, with the name of its service in front.
fn message(record: &StoredRecord) -> Vec<u8> {
    let mut message = format!("{{\"service\":\"{}\",", record.stream).into_bytes();
    message.extend_from_slice(record.line.trim_ascii_end().strip_prefix(b"{").unwrap_or_default());
    message
}
