//! Opens the system of a command, as configured, and a worker of it. Without a configuration the database is
//! embedded and the object store a folder.

use anyhow::{Context, Result};

use super::database::{COMMAND_SLOTS, open_database_for};
use super::{CliError, Common};
use crate::config::{ParserRule, WorkerConfig};
use crate::notify::Notifier;
use crate::objects::{FolderStore, Objects, S3, S3Options};
use crate::parser::CommandOptions;
use crate::record::event::EXTERNAL;
use crate::spool::Spool;
use crate::system::System;
use crate::worker::{Parsers, Worker, prepare_scratch};

/// Opens everything. This migrates the embedded database, but not a configured one.
///
/// # Errors
/// One line names the missing part.
pub(super) async fn open(common: &Common) -> Result<System> {
    open_for(common, COMMAND_SLOTS).await
}

/// As [`open`], for `slots` runs at once.
///
/// # Errors
/// As [`open`].
pub(super) async fn open_for(common: &Common, slots: usize) -> Result<System> {
    let pool = open_database_for(common, slots).await?;
    let place = &common.place;
    let spool = Spool::open(&place.spool(), common.log.log_cap.as_u64())?.with_refuges(place.refuges());
    let home = place.home();
    let objects = match &place.bucket {
        Some(_) => open_s3(common).await,
        None => Objects::Folder(FolderStore::open(&home.join("objects"))?),
    };
    let system = System::new(pool, objects, spool, home.join("scratch"));
    let system = system.with_redactor(common.log.redactor()?);
    Ok(match &place.bucket {
        Some(bucket) => system.with_bucket(bucket),
        None => system,
    })
}

/// A worker of this system. `rules` go before the configured parser rules.
///
/// # Errors
/// A parser rule or a mail setting that can't be read, or no scratch folder.
pub(super) fn worker(
    system: System,
    common: &Common,
    rules: &[ParserRule],
    config: WorkerConfig,
) -> Result<Worker> {
    scratch(&system)?;
    let rules = [rules, &common.parser.rules()].concat();
    let options = CommandOptions {
        timeout: config.run_timeout,
        silence: Some(common.parser.parser_silence),
        memory: common.parser.parser_memory.map(|size| size.as_u64()),
        // A log that keeps none of its lines still has its problems, which may be errors.
        level: common.log.run_levels().of(EXTERNAL).unwrap_or(tracing::Level::ERROR),
        pass: common.parser.passed(),
        verdict_from: common.parser.verdict_from,
        grace: CommandOptions::default().grace,
    };
    let parsers = common.parsers.behind(Parsers::new(&rules, &options).map_err(|error| wrong(&error))?);
    let notifier = Notifier::new(&common.mail, system.clone()).map_err(|error| wrong(&error))?;
    let worker = Worker::new(system, parsers).with_config(config);
    Ok(worker.with_notifier(notifier).with_reports(common.report.reports))
}

/// Makes the folder for short-lived files.
///
/// # Errors
/// It can't be made.
pub(super) fn scratch(system: &System) -> Result<()> {
    prepare_scratch(&system.scratch).context("failed to make the scratch folder")
}

async fn open_s3(common: &Common) -> Objects {
    let s3 = &common.s3;
    let options = S3Options {
        encryption: s3.encryption(),
        multipart_threshold: s3.s3_multipart_from.as_u64(),
        attempts: s3.s3_attempts,
        path_style: s3.s3_path_style,
        ..S3Options::default()
    };
    Objects::S3(S3::connect(options).await)
}

fn wrong(error: &anyhow::Error) -> anyhow::Error {
    CliError::usage(format!("{error:#}"))
}
