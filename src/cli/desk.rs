//! What a command works at: the database, the object store and the spool, as configured, or the
//! embedded ones.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use super::database::{COMMAND_SLOTS, open_database_for};
use super::{CliError, Common, show};
use crate::archive::Archiver;
use crate::config::{EncryptionChoice, ParserRule, VerdictChoice, default_worker_name};
use crate::notify::Notifier;
use crate::objects::{Encryption, Folder, ObjectError, Objects, S3, S3Options};
use crate::parser::{CommandOptions, VerdictSource};
use crate::queue::Claimant;
use crate::record::event::EXTERNAL;
use crate::recovery::Recovery;
use crate::redact::Redactor;
use crate::spool::{Spool, Syncer};
use crate::store::PgPool;
use crate::worker::{Parsers, Worker, prepare_scratch};

/// The bucket's name where objects live in a folder.
const FOLDER_BUCKET: &str = "files";

/// What a command works at.
pub(super) struct Desk {
    pub(super) pool: PgPool,
    pub(super) objects: Objects,
    pub(super) spool: Spool,
    /// Where submitted files go.
    pub(super) bucket: String,
    pub(super) redactor: Redactor,
    /// Whether the buckets that were asked about keep versions.
    versions: Mutex<HashMap<String, bool>>,
    home: PathBuf,
}

impl Desk {
    /// Opens everything. The embedded database is migrated on the way; one that is configured is not.
    ///
    /// # Errors
    /// One line on what is missing.
    pub(super) async fn open(common: &Common) -> Result<Self> {
        Self::open_for(common, COMMAND_SLOTS).await
    }

    /// As [`Desk::open`], for so many runs at once.
    ///
    /// # Errors
    /// As [`Desk::open`].
    pub(super) async fn open_for(common: &Common, slots: usize) -> Result<Self> {
        let pool = open_database_for(common, slots).await?;
        let home = common.place.home();
        let spool = Spool::open(&common.place.spool(), common.log.log_cap.as_u64())?
            .with_refuges(common.place.refuges());
        let (objects, bucket) = open_objects(common).await?;
        let redactor = common.log.redactor()?;
        Ok(Self { pool, objects, spool, bucket, redactor, versions: Mutex::default(), home })
    }

    /// A worker on this desk. `rules` go before the configured parser rules.
    ///
    /// # Errors
    /// A parser rule or a mail setting that can't be read, or no scratch folder.
    pub(super) fn worker(&self, common: &Common, rules: &[ParserRule], terms: Terms) -> Result<Worker> {
        let scratch = self.scratch()?;
        let rules = [rules, &common.parser.rules()].concat();
        let options = CommandOptions {
            timeout: terms.timeout,
            silence: Some(common.parser.parser_silence),
            memory: common.parser.parser_memory.map(|size| size.as_u64()),
            // A log that keeps none of its lines still has its problems, which may be errors.
            level: common.log.run_levels().of(EXTERNAL).unwrap_or(tracing::Level::ERROR),
            pass: common.parser.passed(),
            verdict_from: match common.parser.verdict_from {
                VerdictChoice::Stated => VerdictSource::Stated,
                VerdictChoice::Exit => VerdictSource::Exit,
            },
            grace: CommandOptions::default().grace,
        };
        let parsers =
            Parsers::new(&rules, &options).map_err(|error| CliError::usage(format!("{error:#}")))?;
        let notifier =
            Notifier::new(&common.mail, self.pool.clone(), self.objects.clone(), self.redactor.clone())
                .map_err(|error| CliError::usage(format!("{error:#}")))?;
        Ok(Worker {
            pool: self.pool.clone(),
            objects: self.objects.clone(),
            spool: self.spool.clone(),
            syncer: Arc::new(Syncer::start()),
            archiver: self.archiver(),
            parsers: Arc::new(parsers),
            redactor: self.redactor.clone(),
            claimant: Claimant { worker: terms.worker, lease: terms.lease, timeout: terms.timeout },
            scratch,
            notifier,
            reports: common.report.reports,
        })
    }

    /// Whether a bucket keeps versions; where it may not, that is said the first time.
    ///
    /// # Errors
    /// The bucket is not there, or the store does not answer.
    pub(super) async fn keeps_versions(&self, bucket: &str) -> Result<bool, ObjectError> {
        let mut asked = self.versions.lock().await;
        if let Some(kept) = asked.get(bucket) {
            return Ok(*kept);
        }
        let warning = self.objects.versions(bucket).await?.warning(bucket);
        if let Some(warning) = &warning {
            show::note(warning);
        }
        asked.insert(bucket.to_owned(), warning.is_none());
        Ok(warning.is_none())
    }

    /// The folder for files that nobody needs for long.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.home.join("scratch");
        prepare_scratch(&scratch).context("failed to make the scratch folder")?;
        Ok(scratch)
    }

    /// Takes logs to this desk's object store.
    fn archiver(&self) -> Archiver {
        Archiver::new(self.pool.clone(), self.objects.clone(), self.redactor.clone())
    }

    /// Recovers what dead processes left in this desk's spool.
    pub(super) fn recovery(&self) -> Recovery {
        Recovery::new(self.pool.clone(), self.spool.clone(), self.archiver())
    }
}

/// On what terms a worker works.
pub(super) struct Terms {
    pub(super) worker: String,
    pub(super) lease: Duration,
    pub(super) timeout: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            worker: default_worker_name(),
            lease: Duration::from_secs(15),
            timeout: Duration::from_secs(2 * 3600),
        }
    }
}

async fn open_objects(common: &Common) -> Result<(Objects, String)> {
    let Some(bucket) = &common.place.bucket else {
        let folder = Folder::open(&common.place.home().join("objects"))?;
        return Ok((Objects::Folder(folder), FOLDER_BUCKET.to_owned()));
    };
    let s3 = &common.s3;
    let options = S3Options {
        encryption: match s3.s3_encryption {
            EncryptionChoice::Bucket => Encryption::None,
            EncryptionChoice::Aes256 => Encryption::Aes256,
            EncryptionChoice::Kms => Encryption::Kms { key_id: s3.s3_kms_key.clone() },
        },
        multipart_threshold: s3.s3_multipart_from.as_u64(),
        attempts: s3.s3_attempts,
        path_style: s3.s3_path_style,
        ..S3Options::default()
    };
    Ok((Objects::S3(S3::connect(options).await), bucket.clone()))
}
