//! Who is told what by mail, and how often, at a real mail server.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod conditions;
mod delivery;
mod webhook;

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use parselog::config::{MailConfig, WebhookConfig};
use parselog::ids::{BatchId, RunId};
use parselog::notify::Notifier;
use parselog::objects::{FolderStore, Objects};
use parselog::parser::{Outcome, SummaryStatus};
use parselog::queue::{ClaimedRun, Ending};
use parselog::spool::Spool;
use parselog::store::reparse::{self, FileSelection, ReparseRequest};
use parselog::store::{self, ArchivedLog, LogContent, NewFile, NoticeState, Queued, Request, notice};
use parselog::system::System;

use crate::support::{MailServer, PATIENCE, TestDb, new_file, outcome, request_by};

const SUBMITTER: &str = "submitter@state.test";
const ADMIN: &str = "admin@parselog.test";
const URI: &str = "s3://submissions/a/parsing_logs/log.gz";

/// A database, a mail server, and a notifier between them.
struct Post {
    db: TestDb,
    server: MailServer,
    notifier: Notifier,
}

impl Post {
    async fn new() -> Self {
        let (db, server) = (TestDb::new().await, MailServer::start());
        let notifier = notifier(&db, &server);
        notifier.begin().await.unwrap();
        Self { db, server, notifier }
    }

    async fn submit(&self, key: &str, addresses: &[&str], attempts: i32) -> Queued {
        let submitter_emails = addresses.iter().map(|address| (*address).to_owned()).collect();
        let file = NewFile { submitter_emails, ..new_file(key) };
        let request = Request { max_attempts: attempts, ..request_by("ann") };
        store::submit(&self.db.pool, &[file], &request).await.unwrap().remove(0)
    }

    /// Takes the next run to its end, log included.
    async fn end(&self, ending: Ending) -> RunId {
        let claimed = self.db.claim("w").await.expect("a run to claim");
        self.db.finish(&claimed, ending).await;
        self.archive(&claimed).await;
        claimed.run.id
    }

    async fn archive(&self, claimed: &ClaimedRun) {
        store::log::archived(&self.db.pool, claimed.run.id.into(), &archived()).await.unwrap();
    }

    /// Rounds until one has nothing to send.
    async fn tell(&self) {
        while self.notifier.round(PATIENCE).await.unwrap() > 0 {}
    }

    /// Whom the mails so far went to, and what they are about.
    async fn told(&self) -> Vec<(String, String)> {
        self.tell().await;
        self.server.subjects()
    }

    async fn states(&self) -> Vec<NoticeState> {
        let mut notices = notice::list(&self.db.pool, &notice::NoticeFilter::default()).await.unwrap();
        notices.reverse();
        notices.into_iter().map(|notice| notice.state).collect()
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.db.pool).await.unwrap();
    }
}

fn notifier(db: &TestDb, server: &MailServer) -> Notifier {
    let config = MailConfig {
        smtp_url: Some(server.url().parse().unwrap()),
        mail_from: Some("parselog <noreply@parselog.test>".parse().unwrap()),
        mail_admins: vec![ADMIN.parse().unwrap()],
        mail_links: None,
    };
    Notifier::new(&config, &WebhookConfig::default(), system(db)).unwrap().unwrap().with_gap(Duration::ZERO)
}

fn system(db: &TestDb) -> System {
    let objects = Objects::Folder(FolderStore::open(&std::env::temp_dir()).unwrap());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let spool = Spool::open(&dir.join("notices-spool"), 1 << 20).unwrap();
    System::new(db.pool.clone(), objects, spool, dir)
}

fn archived() -> ArchivedLog {
    ArchivedLog {
        uri: URI.to_owned(),
        content: LogContent {
            raw_bytes: 1000,
            lines: 12,
            events: [("INFO".to_owned(), 9)].into(),
            dropped: 0,
            first_at: Utc::now(),
            last_at: Utc::now(),
        },
        gzip_bytes: 100,
        raw_sha256: [1; 32],
        gzip_sha256: [2; 32],
    }
}

fn success(summary: SummaryStatus) -> Ending {
    Ending::Success(Box::new(Outcome { summary, ..*outcome() }))
}

fn failure(retry: bool) -> Ending {
    Ending::Fail { reason: "the parser said 123-45-6789 and Jane Doe".to_owned(), retry }
}

async fn reparse_all(db: &TestDb) -> BatchId {
    let selection = FileSelection { all: true, ..FileSelection::default() };
    let request = ReparseRequest {
        requested_by: "bea".to_owned(),
        reason: None,
        priority: 200,
        max_attempts: 1,
        deadline: Utc::now() + chrono::Duration::hours(1),
        force: true,
    };
    reparse::enqueue(&db.pool, &selection, &request).await.unwrap().0
}
