//! The pool of connections, in which every wait for Postgres has an end.
//!
//! A slow server ends a statement by itself (`statement_timeout`). A little later the pool gives up a silent
//! connection and closes it: sqlx has neither keepalives nor a bound, and would wait for the answer when the
//! connection goes back into its pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection, Postgres};

use crate::carry;

/// How long connecting, or waiting for a free connection, may take.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for an idle connection to answer before making another.
const PING_PATIENCE: Duration = Duration::from_secs(3);

/// How much longer than the server's own limit to wait for a statement.
const GRACE: Duration = Duration::from_secs(3);

/// How many times longer than usual a known long statement may take.
const LONG: u32 = 20;

/// Leaves the planner no plan but those along indexes.
const ALONG_INDEXES: &str = "; set local enable_sort = off; set local enable_seqscan = off; \
                             set local enable_bitmapscan = off; set local enable_hashjoin = off; \
                             set local enable_mergejoin = off; set local enable_material = off";

/// The number of connections, and how long one statement may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; one more listens.
    pub connections: u32,
    /// How long the server works on one statement.
    pub statement: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10, statement: Duration::from_secs(30) }
    }
}

/// Connections to one database. Cheap to clone.
///
/// Behind a pooler that hands each transaction to another server connection (PgBouncer in transaction
/// mode), every statement is its own transaction, without named prepared statements.
#[derive(Debug, Clone)]
pub struct PgPool {
    inner: sqlx::PgPool,
    pub(super) limit: Duration,
    /// Each transaction sets the server's own limit, since the connection has none, or another.
    limit_in_transaction: bool,
    behind_pooler: bool,
    steady: Steady,
}

impl PgPool {
    /// The pool connects on first use, and drops a connection only when it broke.
    pub(super) fn new(options: PgConnectOptions, limits: Limits, behind_pooler: bool) -> Self {
        let inner = PgPoolOptions::new()
            .max_connections(limits.connections.max(1))
            .acquire_timeout(CONNECT_PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    bounded(PING_PATIENCE, connection.ping()).await?;
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self {
            inner,
            limit: limits.statement,
            limit_in_transaction: behind_pooler,
            behind_pooler,
            steady: Steady::default(),
        }
    }

    /// The same connections for known long statements: each may take twenty times as long.
    #[must_use]
    pub fn patient(&self) -> Self {
        self.with_limit(self.limit * LONG)
    }

    pub(super) fn with_limit(&self, limit: Duration) -> Self {
        Self { limit, limit_in_transaction: true, ..self.clone() }
    }

    /// Whether a pooler is between us and Postgres: then nobody can listen, and nothing of a session lasts.
    pub fn is_behind_pooler(&self) -> bool {
        self.behind_pooler
    }

    /// How long the database has answered every statement of this process. After an outage a worker knows by
    /// this that leases of living workers may have expired.
    pub fn steady_for(&self) -> Duration {
        self.steady.time()
    }

    /// Takes a connection, for statements that belong together.
    ///
    /// # Errors
    /// No connection is available in time; the error has the server's reason, if it gives one.
    pub async fn acquire(&self) -> Result<Connection, Error> {
        let held = match self.inner.acquire().await {
            Err(error) => {
                self.steady.broke();
                return Err(if matches!(error, Error::PoolTimedOut) { self.why_none().await } else { error });
            }
            Ok(held) => held,
        };
        Ok(Connection {
            held: Some(held),
            limit: self.limit + GRACE,
            unnamed: self.behind_pooler,
            in_transaction: false,
            in_doubt: false,
            steady: self.steady.clone(),
        })
    }

    /// Begins a transaction. Dropping it rolls back.
    ///
    /// # Errors
    /// As [`PgPool::acquire`], or the connection fails.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        self.begin_with("").await
    }

    /// As [`PgPool::begin`], for statements that find what they need at the head of an index. They go along it whatever
    /// the statistics say, which know nothing of what was queued since the last analysis.
    ///
    /// # Errors
    /// As [`PgPool::begin`].
    pub async fn begin_along_indexes(&self) -> Result<Transaction, Error> {
        self.begin_with(ALONG_INDEXES).await
    }

    async fn begin_with(&self, settings: &str) -> Result<Transaction, Error> {
        let mut connection = self.acquire().await?;
        connection.in_transaction = true;
        let mut begin = format!("begin{settings}");
        if self.limit_in_transaction {
            let limit = self.limit.as_millis();
            begin += &format!("; set local statement_timeout = {limit}; set local jit = off");
        }
        connection.simple(begin).await?;
        Ok(Transaction { connection })
    }

    /// Listens on a channel, over its own connection; `None` behind a pooler, which does not allow it.
    ///
    /// # Errors
    /// The connection can't be made.
    pub async fn listen(&self, channel: &str) -> Result<Option<PgListener>, Error> {
        if self.behind_pooler {
            return Ok(None);
        }
        let options = self.inner.connect_options().as_ref().clone();
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        bounded(CONNECT_PATIENCE, listener.listen(channel)).await?;
        Ok(Some(listener))
    }

    /// Closes all connections, once they are idle.
    pub async fn close(&self) {
        tokio::time::timeout(CONNECT_PATIENCE, self.inner.close()).await.ok();
    }

    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    pub(super) fn one_transaction_each(&self) -> bool {
        self.limit_in_transaction
    }

    /// The pool hides why it can't connect behind a timeout, so this connects by hand.
    async fn why_none(&self) -> Error {
        let options = self.inner.connect_options();
        match bounded(PING_PATIENCE, PgConnection::connect_with(&options)).await {
            Err(reason) => reason,
            Ok(connection) => {
                tokio::time::timeout(PING_PATIENCE, connection.close()).await.ok();
                Error::PoolTimedOut
            }
        }
    }
}

/// A connection on loan. It goes back to the pool if its state is certain, and is closed at once otherwise.
#[derive(Debug)]
pub struct Connection {
    /// `None` only during drop.
    held: Option<PoolConnection<Postgres>>,
    limit: Duration,
    unnamed: bool,
    in_transaction: bool,
    /// A statement has no answer yet, or the connection broke.
    in_doubt: bool,
    steady: Steady,
}

impl Connection {
    /// Whether statements may have names on the server, so that it parses them only once.
    pub(super) fn names_statements(&self) -> bool {
        !self.unnamed
    }

    /// Waits for an answer of the connection.
    pub(super) async fn answer<'a, T, F>(
        &'a mut self,
        ask: impl FnOnce(&'a mut PgConnection) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Self { held, limit, in_doubt, steady, .. } = self;
        *in_doubt = true;
        let answer = bounded(*limit, ask(held.as_mut().expect("held until it is dropped"))).await;
        *in_doubt = matches!(&answer, Err(error) if is_broken(error));
        if *in_doubt {
            steady.broke();
        } else {
            steady.answered();
        }
        answer
    }

    /// Runs SQL without arguments.
    async fn simple(&mut self, sql: String) -> Result<(), Error> {
        self.answer(|connection| sqlx::Executor::execute(connection, AssertSqlSafe(sql))).await?;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        if self.in_doubt {
            drop(held.detach());
            return;
        }
        let in_transaction = self.in_transaction;
        carry::spawn(async move {
            if in_transaction
                && bounded(PING_PATIENCE, sqlx::Executor::execute(&mut *held, "rollback")).await.is_err()
            {
                drop(held.detach());
                return;
            }
            // Close connections that are not back in time.
            tokio::time::timeout(PING_PATIENCE, held.return_to_pool()).await.ok();
        });
    }
}

/// A transaction; its statements go through `&mut *transaction`.
#[derive(Debug)]
pub struct Transaction {
    connection: Connection,
}

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// The connection fails; then it is unknown whether the commit happened.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.connection.simple("commit".to_owned()).await?;
        self.connection.in_transaction = false;
        Ok(())
    }

    /// Rolls back, and waits until that is done.
    ///
    /// # Errors
    /// The connection fails; then the server rolls back by itself.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.connection.simple("rollback".to_owned()).await?;
        self.connection.in_transaction = false;
        Ok(())
    }
}

impl std::ops::Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Waits for a limited time; a connection without an answer by then is dead.
pub(super) async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        let silence = format!("no answer in {} s", limit.as_secs());
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, silence).into())
    })
}

/// Whether this error makes the connection unusable.
fn is_broken(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed)
}

/// How long the database has answered this process without a break; shared by all connections of a pool.
#[derive(Debug, Clone, Default)]
struct Steady(Arc<Mutex<Option<Instant>>>);

impl Steady {
    /// The database answered, whatever it said.
    fn answered(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    /// A connection broke, stayed silent, or could not be had.
    fn broke(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it has answered; zero before the first answer.
    fn time(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::ZERO, |since| since.elapsed())
    }
}
