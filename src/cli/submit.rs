//! `parselog submit`: queue files for the workers. Also what `run` shares with it: getting a file
//! into the object store and onto a row, with nothing registered unless all of it is there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::desk::Desk;
use super::{CliError, Common, Exit, show};
use crate::notify;
use crate::objects::{self, ObjectError, ObjectUri, Put, Stored};
use crate::parser::tdp;
use crate::store::{self, NewFile, Queued, Request};

/// Queue files for the workers.
#[derive(Debug, Args)]
pub(super) struct Submit {
    /// Local files, or objects as `s3://bucket/key`, with `?versionId=…` for an exact version
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    what: What,
    /// Lower goes first.
    #[arg(long, default_value_t = 100)]
    priority: i32,
    /// How often a run is tried before it ends as failed.
    #[arg(long, default_value_t = 3, value_name = "N")]
    max_attempts: i32,
    /// Print one JSON object per queued run.
    #[arg(long)]
    json: bool,
}

/// What the submitter says the files are. The file's own header fills in what is not said.
#[derive(Debug, Clone, Args)]
pub(super) struct What {
    /// Program: tanf, ssp, tribal, audit, fra, or one that a configured parser reads.
    #[arg(long, value_parser = code)]
    program: Option<String>,
    /// Section: active, closed, aggregate, stratum, work-outcomes.
    #[arg(long, value_parser = code)]
    section: Option<String>,
    /// Fiscal year.
    #[arg(long)]
    year: Option<i32>,
    /// Fiscal quarter: 1 to 4, or Q1 to Q4.
    #[arg(long, value_parser = quarter)]
    quarter: Option<i16>,
    /// State or tribe code of the submitter.
    #[arg(long)]
    state: Option<String>,
    /// Who submits; the user's name without it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Address that is told the result by mail; may be given more than once.
    #[arg(long, value_parser = address, value_name = "ADDRESS")]
    email: Vec<String>,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// Files that are stored at the same time.
const AT_ONCE: usize = 16;

impl Submit {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let desk = Desk::open(common).await?;
        let mut files = Vec::new();
        for file in &self.files {
            files.push(self.what.check(file)?);
        }
        let bar = show::bar("{bar:30} {pos}/{len} files stored  {per_sec}  eta {eta}");
        bar.set_length(files.len() as u64);
        let storing = stream::iter(files).map(|file| file.store(&desk, &self.what).inspect(|_| bar.inc(1)));
        let stored: Vec<NewFile> = storing.buffered(AT_ONCE).try_collect().await?;
        bar.finish_and_clear();
        let request =
            Request { priority: self.priority, max_attempts: self.max_attempts, ..self.what.request() };
        for queued in store::submit(&desk.pool, &stored, &request).await? {
            if self.json {
                show::json(&queued)?;
            } else {
                show::line(&format!("{}  data file {}", queued.run_id, queued.data_file_id))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// A file that can be submitted.
#[derive(Debug)]
pub(super) struct Candidate {
    source: Source,
    name: String,
    program: String,
    section: String,
    fiscal_year: i32,
    fiscal_quarter: i16,
}

#[derive(Debug)]
enum Source {
    Local(PathBuf),
    /// What the argument may mean, the likeliest first.
    Object(Vec<ObjectUri>),
}

impl What {
    /// Looks at a file before anything is stored or registered.
    ///
    /// # Errors
    /// It is missing, empty, or nothing says what it is.
    pub(super) fn check(&self, file: &str) -> Result<Candidate> {
        if file.starts_with("s3://") {
            let readings = ObjectUri::readings(file).map_err(|error| CliError::usage(error.to_string()))?;
            let place = file.split("?versionId=").next().unwrap_or_default();
            let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            return self.candidate(Source::Object(readings), name, None);
        }
        let path = PathBuf::from(file);
        let size = readable_size(&path).with_context(|| format!("can't submit {file}"))?;
        if size == 0 {
            return Err(CliError::usage(format!("can't submit {file}: it is empty")));
        }
        let name = path.file_name().and_then(|name| name.to_str()).with_context(|| {
            format!("can't submit {}: its name is no UTF-8 text; rename it", path.display())
        })?;
        let identity = tdp::identify(&path).with_context(|| format!("can't submit {file}"))?;
        self.candidate(Source::Local(path.clone()), name.to_owned(), identity.as_ref())
    }

    /// Who asks, and why.
    pub(super) fn request(&self) -> Request {
        let by = self.by.clone().unwrap_or_else(user);
        Request { reason: self.reason.clone(), ..Request::by(by) }
    }

    fn candidate(&self, source: Source, name: String, said: Option<&tdp::Identity>) -> Result<Candidate> {
        let program = self.program.clone().or_else(|| said.map(|said| said.program.clone()));
        let section = self.section.clone().or_else(|| said.map(|said| said.section.clone()));
        let fiscal_year = self.year.or_else(|| said.map(|said| said.fiscal_year));
        let fiscal_quarter = self.quarter.or_else(|| said.map(|said| i16::from(said.fiscal_quarter)));
        match (program, section, fiscal_year, fiscal_quarter) {
            (Some(program), Some(section), Some(fiscal_year), Some(fiscal_quarter)) => {
                Ok(Candidate { source, name, program, section, fiscal_year, fiscal_quarter })
            }
            _ => Err(CliError::usage(format!(
                "{name} does not say what it is (it has no submission header that can be read): \
                 give --program, --section, --year and --quarter"
            ))),
        }
    }
}

impl Candidate {
    /// Puts the file into the object store, where it is not there yet, and names its exact version.
    ///
    /// # Errors
    /// The object store refuses, or the object does not exist.
    pub(super) async fn store(self, desk: &Desk, what: &What) -> Result<NewFile> {
        let (bucket, key, stored) = match &self.source {
            Source::Object(readings) => {
                let stored = find_object(desk, readings).await.map_err(not_there)?;
                let ObjectUri::S3 { bucket, key, .. } = &stored.uri else {
                    return Err(CliError::usage(
                        "s3:// objects need --bucket: files are kept in a folder here",
                    ));
                };
                (bucket.clone(), key.clone(), stored)
            }
            Source::Local(path) => {
                let key = self.key(what);
                let put = Put {
                    content_type: "application/octet-stream",
                    metadata: Vec::new(),
                    sha256: objects::sha256_of(path)
                        .with_context(|| format!("failed to read {}", path.display()))?,
                    if_none_match: false,
                };
                let stored =
                    desk.objects.put_file(&desk.bucket, &key, path, &put).await.map_err(not_there)?;
                (desk.bucket.clone(), key, stored)
            }
        };
        if stored.size == 0 {
            return Err(CliError::usage(format!("can't submit {}: it is empty", stored.uri)));
        }
        Ok(NewFile {
            bucket,
            key,
            version_id: stored.uri.version().unwrap_or_default().to_owned(),
            name: self.name,
            program: self.program,
            section: self.section,
            fiscal_year: self.fiscal_year,
            fiscal_quarter: self.fiscal_quarter,
            state: what.state.clone(),
            size_bytes: i64::try_from(stored.size).ok(),
            submitter_emails: what.email.clone(),
        })
    }

    /// A corrected file of the same name gets the same key, and so becomes its next version.
    fn key(&self, what: &What) -> String {
        let state = what.state.as_deref().map(|state| format!("{state}/")).unwrap_or_default();
        format!(
            "data_files/{}/Q{}/{state}{}/{}/{}",
            self.fiscal_year, self.fiscal_quarter, self.program, self.section, self.name
        )
    }
}

/// The first of these that is there.
async fn find_object(desk: &Desk, readings: &[ObjectUri]) -> Result<Stored, ObjectError> {
    let mut missing = None;
    for uri in readings {
        match desk.objects.head(uri).await {
            Err(error @ ObjectError::NotFound { .. }) => missing = missing.or(Some(error)),
            found => return found,
        }
    }
    Err(missing.unwrap_or_else(|| anyhow!("no object is named").into()))
}

/// Queues one file for this process alone: it is tried once.
pub(super) async fn queue_once(desk: &Desk, file: NewFile, what: &What) -> Result<Queued> {
    let request = Request { max_attempts: 1, ..what.request() };
    store::submit(&desk.pool, &[file], &request).await?.pop().context("the database queued nothing")
}

fn not_there(error: ObjectError) -> anyhow::Error {
    match error {
        ObjectError::NotFound { .. } => CliError::not_found(error.to_string()),
        other => other.into(),
    }
}

fn readable_size(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::not_found("there is no such file"),
        _ => error.into(),
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(CliError::usage("it is no file"));
    }
    Ok(metadata.len())
}

/// Who uses this command, where nobody is named.
pub(super) fn user() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| "parselog".to_owned())
}

fn address(text: &str) -> Result<String> {
    notify::address(text).map(|_| text.to_owned())
}

pub(super) fn code(text: &str) -> Result<String, String> {
    let code = text.to_ascii_lowercase();
    let code = if code == "tan" { "tanf".to_owned() } else { code };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if code.starts_with(|c: char| c.is_ascii_lowercase()) && code.chars().all(plain) {
        Ok(code)
    } else {
        Err("use letters, digits and hyphens, such as 'work-outcomes'".to_owned())
    }
}

pub(super) fn quarter(text: &str) -> Result<i16, String> {
    let digits = text.strip_prefix(['Q', 'q']).unwrap_or(text);
    digits
        .parse()
        .ok()
        .filter(|quarter| (1..=4).contains(quarter))
        .ok_or_else(|| "use 1 to 4, or Q1 to Q4".to_owned())
}
