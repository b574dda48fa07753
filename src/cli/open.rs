//! Opens the system of a command, as configured, and a worker of it. Without a configuration the database is
//! embedded and the object store a folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::{env, iter};

use anyhow::{Context, Result};

use super::arguments::PARSE_PROCESS;
use super::database::{COMMAND_SLOTS, open_database_for};
use super::{CliError, Common, show};
use crate::archive::KeptTail;
use crate::carry;
use crate::config::{ParserRule, RemoteTailConfig, WorkerConfig};
use crate::notify::Notifier;
use crate::objects::{FolderStore, Objects, S3, S3Options};
use crate::parse::{ParseTools, Parsers, prepare_scratch};
use crate::parser::CommandOptions;
use crate::record::Safe;
use crate::record::event::EXTERNAL;
use crate::spool::{Spool, Syncer};
use crate::system::System;
use crate::worker::{ProcessPlan, Worker};

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
    let system = System::new(pool, open_objects(common).await?, spool, scratch_folder(common));
    let system = system.with_redactor(common.log.redactor()?);
    Ok(match &place.bucket {
        Some(bucket) => system.with_bucket(bucket),
        None => system,
    })
}

/// A worker of this system, which parses in processes of their own. `rules` go before the configured parser
/// rules.
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
    let parsers = parsers(common, rules, &config)?;
    for rule in [rules, &common.parser.rules()].concat().iter().filter(|rule| !rule.names_file()) {
        let command = Safe(&rule.command);
        show::note(&format!(
            "the parser `{command}` has no {{file}} on its command line: it finds the file by PARSELOG_FILE alone"
        ));
    }
    let notifier =
        Notifier::new(&common.mail, &common.webhook, system.clone()).map_err(|error| wrong(&error))?;
    let redactor = system.redactor.clone();
    let plan = ProcessPlan {
        arguments: iter::once(PARSE_PROCESS.into()).chain(env::args_os().skip(1)).collect(),
        runs_each: common.process.runs_per_process,
        memory: common.process.run_memory.as_u64(),
        said: Arc::new(move |line| show::note(&redactor.redact(line))),
    };
    let worker = Worker::new(system, parsers).with_config(config).with_processes(plan);
    Ok(worker.with_notifier(notifier).with_reports(common.report.reports))
}

/// What of the logs is to outlive this machine, and where they lie.
///
/// # Errors
/// The spool can't be given an identity.
pub(super) async fn remote_tail(
    system: &System,
    common: &Common,
    config: RemoteTailConfig,
) -> Result<Option<KeptTail>> {
    let shared = common.database.database_url.is_some() && common.place.bucket.is_some();
    let Some(every) = config.age(shared) else { return Ok(None) };
    let spool = system.spool.clone();
    let id = carry::spawn_blocking(move || spool.id()).await?;
    let spool = id.context("failed to give the spool an identity")?;
    Ok(Some(KeptTail { every, spool }))
}

/// What a parse process works with: everything but the database.
///
/// # Errors
/// As [`open`] and [`worker`].
pub(super) async fn parse_tools(
    common: &Common,
    rules: &[ParserRule],
    config: &WorkerConfig,
) -> Result<ParseTools> {
    let (place, scratch) = (&common.place, scratch_folder(common));
    prepare_scratch(&scratch).context("failed to make the scratch folder")?;
    Ok(ParseTools {
        spool: Spool::at(&place.spool(), common.log.log_cap.as_u64()).with_refuges(place.refuges()),
        syncer: Arc::new(Syncer::start()),
        objects: open_objects(common).await?,
        redactor: common.log.redactor()?,
        scratch: scratch.into(),
        parsers: Arc::new(parsers(common, rules, config)?),
    })
}

/// Makes the folder for short-lived files.
///
/// # Errors
/// It can't be made.
pub(super) fn scratch(system: &System) -> Result<()> {
    prepare_scratch(&system.scratch).context("failed to make the scratch folder")
}

/// The folder for short-lived files.
pub(super) fn scratch_folder(common: &Common) -> PathBuf {
    common.place.home().join("scratch")
}

async fn open_objects(common: &Common) -> Result<Objects> {
    Ok(match &common.place.bucket {
        Some(_) => open_s3(common).await,
        None => Objects::Folder(FolderStore::open(&common.place.home().join("objects"))?),
    })
}

fn parsers(common: &Common, rules: &[ParserRule], config: &WorkerConfig) -> Result<Parsers> {
    let rules = [rules, &common.parser.rules()].concat();
    let options = command_options(common, config);
    Ok(common.parsers.behind(Parsers::new(&rules, &options).map_err(|error| wrong(&error))?))
}

/// The bounds of external parsers.
pub(super) fn command_options(common: &Common, config: &WorkerConfig) -> CommandOptions {
    CommandOptions {
        timeout: config.run_timeout,
        silence: Some(common.parser.parser_silence),
        memory: common.parser.parser_memory.map(|size| size.as_u64()),
        // A log that keeps none of its lines still has its problems, which may be errors.
        level: common.log.run_levels().of(EXTERNAL).unwrap_or(tracing::Level::ERROR),
        pass: common.parser.passed(),
        verdict_from: common.parser.verdict_from,
        grace: CommandOptions::default().grace,
    }
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
