//! A file on its way in: what it is, whose it is, and where it is stored. `submit` and `run` share it.
//!
//! A submission never overwrites another. In a bucket that keeps versions, a corrected file of the same
//! name becomes the next version of the same object; in any other, each submission has a key of its own.
//! Which submissions are one file over time is decided by their identity and state, not by their keys.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::submit::What;
use super::{CliError, show};
use crate::ids::SUBMITTED;
use crate::objects::{self, Bytes, ObjectError, ObjectUri, Put, Stored};
use crate::parser::tdp;
use crate::store::{NewFile, data_file};
use crate::system::System;
use crate::{carry, faults};

/// Bytes of an object that are looked at for its header.
const HEADER: u64 = 64 << 10;

/// Where files come in.
pub(super) struct Intake {
    pub(super) system: System,
    /// Whether the buckets that were asked about keep versions.
    versions: Mutex<HashMap<String, bool>>,
}

impl Intake {
    pub(super) fn new(system: System) -> Self {
        Self { system, versions: Mutex::default() }
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
        let warning = self.system.objects.versions(bucket).await?.warning(bucket);
        if let Some(warning) = &warning {
            show::note(warning);
        }
        asked.insert(bucket.to_owned(), warning.is_none());
        Ok(warning.is_none())
    }
}

/// A file that can be submitted.
#[derive(Debug)]
pub(super) struct Candidate {
    name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Local {
        path: PathBuf,
        nature: Nature,
    },
    /// What the argument may mean, the likeliest first.
    Object(Vec<ObjectUri>),
}

/// What a file is.
#[derive(Debug, Clone)]
struct Nature {
    program: String,
    section: String,
    fiscal_year: i32,
    fiscal_quarter: i16,
    /// Of the header, or what the submitter says.
    state: Option<String>,
    /// A file that should name its state, but can't be read: known by its bytes alone, so that it is
    /// never taken for another state's.
    unknown: Option<[u8; 32]>,
}

impl Candidate {
    /// Looks at a file before anything is stored or registered.
    ///
    /// # Errors
    /// It is missing, empty, or nothing says what it is.
    pub(super) fn of(file: &str, what: &What) -> Result<Self> {
        if file.starts_with("s3://") {
            let readings = ObjectUri::readings(file).map_err(|error| CliError::usage(error.to_string()))?;
            let place = file.split("?versionId=").next().unwrap_or_default();
            let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            return Ok(Self { name, source: Source::Object(readings) });
        }
        let path = PathBuf::from(file);
        let size = readable_size(&path).with_context(|| format!("can't submit {file}"))?;
        if size == 0 {
            return Err(CliError::usage(format!("can't submit {file}: it is empty")));
        }
        let name = path.file_name().and_then(|name| name.to_str()).with_context(|| {
            format!("can't submit {}: its name is no UTF-8 text; rename it", path.display())
        })?;
        let name = name.to_owned();
        let nature = Nature::of(&name, &path, what, || {
            objects::sha256_of(&path).with_context(|| format!("failed to read {file}"))
        })?;
        Ok(Self { name, source: Source::Local { path, nature } })
    }

    /// All files of one command, looked at before anything is stored.
    ///
    /// # Errors
    /// One can't be submitted, or two of them would be the same file.
    pub(super) async fn all(files: &[String], what: &What) -> Result<Vec<Self>> {
        let (read, what) = (files.to_owned(), what.clone());
        let all = move || read.iter().map(|file| Self::of(file, &what)).collect::<Result<Vec<_>>>();
        let candidates = carry::spawn_blocking(all).await.context("reading the files panicked")??;
        let mut known = HashMap::new();
        for (file, candidate) in files.iter().zip(&candidates) {
            if let Source::Local { nature, .. } = &candidate.source
                && let Some(other) =
                    known.insert((nature.identity(&candidate.name), nature.state.clone()), file)
            {
                return Err(CliError::usage(format!(
                    "{other} and {file} would be one file ({}): rename one, submit them one after the other \
                     if the second corrects the first, or say whose each is with --state",
                    nature.identity(&candidate.name)
                )));
            }
        }
        Ok(candidates)
    }

    /// Puts the file into the object store, where it is not there yet, and names its exact version or,
    /// without versions, its bytes.
    ///
    /// # Errors
    /// The object store refuses, or the object does not exist.
    pub(super) async fn store(self, intake: &Intake, what: &What) -> Result<NewFile> {
        match self.source {
            Source::Object(readings) => of_object(intake, what, self.name, &readings).await,
            Source::Local { path, nature } => of_local(intake, what, self.name, &path, nature).await,
        }
    }
}

async fn of_local(
    intake: &Intake,
    what: &What,
    name: String,
    path: &Path,
    nature: Nature,
) -> Result<NewFile> {
    let kept = intake.keeps_versions(&intake.system.bucket).await.map_err(not_there)?;
    let key = nature.key(&name, (!kept).then(Uuid::now_v7));
    let hashed = path.to_owned();
    let sha256 = carry::spawn_blocking(move || objects::sha256_of(&hashed)).await?;
    let put = Put {
        content_type: "application/octet-stream",
        metadata: Vec::new(),
        sha256: sha256.with_context(|| format!("failed to read {}", path.display()))?,
        if_none_match: !kept,
    };
    let stored = match if kept { left_behind(intake, &key, path, &put).await? } else { None } {
        Some(stored) => stored,
        None => intake
            .system
            .objects
            .put_file(&intake.system.bucket, &key, path, &put)
            .await
            .map_err(not_there)?,
    };
    faults::point("submit-one-stored");
    if kept && !is_pinned(&stored) {
        bail!(
            "{} has no version although its bucket kept versions a moment ago: submit it again",
            stored.uri
        );
    }
    let identity = nature.identity(&name);
    let file = new_file(intake.system.bucket.to_string(), key, &stored, name, nature, what)?;
    Ok(NewFile { sha256: Some(put.sha256), identity: Some(identity), ..file })
}

/// The same file, stored under the key and submitted by nobody: what a `submit` that was killed left. It is
/// taken up, so that repeating the command leaves no version behind that no row names.
async fn left_behind(intake: &Intake, key: &str, path: &Path, put: &Put) -> Result<Option<Stored>> {
    let stored =
        match intake.system.objects.head(&intake.system.objects.uri(&intake.system.bucket, key, None)?).await
        {
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            stored => stored?,
        };
    let same_size = fs::metadata(path).is_ok_and(|file| file.len() == stored.size);
    let Some(version) = stored.uri.version().filter(|_| same_size && is_pinned(&stored)) else {
        return Ok(None);
    };
    if data_file::is_submitted(&intake.system.pool, &intake.system.bucket, key, version).await? {
        return Ok(None);
    }
    let (_, sha256) = intake.system.objects.digest(&stored.uri).await?;
    Ok((sha256 == put.sha256).then_some(stored))
}

async fn of_object(intake: &Intake, what: &What, name: String, readings: &[ObjectUri]) -> Result<NewFile> {
    let mut stored = find_object(intake, readings).await.map_err(not_there)?;
    let ObjectUri::S3 { bucket, key, .. } = stored.uri.clone() else {
        return Err(CliError::usage("s3:// objects need --bucket: files are kept in a folder here"));
    };
    let mut sha256 = None;
    if !is_pinned(&stored) {
        intake.keeps_versions(&bucket).await.map_err(not_there)?;
        let (read, hash) = intake.system.objects.digest(&stored.uri).await.map_err(not_there)?;
        (stored, sha256) = (read, Some(hash));
    }
    let start =
        intake.system.objects.get_range(&stored.uri, Bytes::Range(0..HEADER)).await.map_err(not_there)?;
    let nature = carry::spawn_blocking({
        let (name, what) = (name.clone(), what.clone());
        move || {
            let mut header = NamedTempFile::new().context("failed to keep the object's first line")?;
            header.write_all(&start.bytes).context("failed to keep the object's first line")?;
            // In its own key, an object is known by that.
            Nature::of(&name, header.path(), &what, || Ok(Sha256::digest(&start.bytes).into()))
        }
    })
    .await??;
    let file = new_file(bucket, key, &stored, name, nature, what)?;
    Ok(NewFile { sha256, ..file })
}

fn new_file(
    bucket: String,
    key: String,
    stored: &Stored,
    name: String,
    nature: Nature,
    what: &What,
) -> Result<NewFile> {
    if stored.size == 0 {
        return Err(CliError::usage(format!("can't submit {}: it is empty", stored.uri)));
    }
    Ok(NewFile {
        bucket,
        key,
        version_id: stored.uri.version().unwrap_or_default().to_owned(),
        name,
        program: nature.program,
        section: nature.section,
        fiscal_year: nature.fiscal_year,
        fiscal_quarter: nature.fiscal_quarter,
        state: nature.state,
        size_bytes: i64::try_from(stored.size).ok(),
        submitter_emails: what.email.clone(),
        ..NewFile::default()
    })
}

impl Nature {
    /// What the submitter says, and what the file's header fills in.
    fn of(name: &str, path: &Path, what: &What, hash: impl FnOnce() -> Result<[u8; 32]>) -> Result<Self> {
        let said = tdp::identify(path).with_context(|| format!("can't submit {name}"))?;
        let program = what.program.clone().or_else(|| said.as_ref().map(|said| said.program.clone()));
        let section = what.section.clone().or_else(|| said.as_ref().map(|said| said.section.clone()));
        let fiscal_year = what.year.or_else(|| said.as_ref().map(|said| said.fiscal_year));
        let fiscal_quarter =
            what.quarter.or_else(|| said.as_ref().map(|said| i16::from(said.fiscal_quarter)));
        let state = what.state.clone().or_else(|| said.and_then(|said| said.state));
        match (program, section, fiscal_year, fiscal_quarter) {
            (Some(program), Some(section), Some(fiscal_year), Some(fiscal_quarter)) => {
                let unread = state.is_none() && tdp::has_header(&program);
                let unknown = if unread { Some(hash()?) } else { None };
                Ok(Self { program, section, fiscal_year, fiscal_quarter, state, unknown })
            }
            _ => Err(CliError::usage(format!(
                "{name} does not say what it is (it has no submission header that can be read): \
                 give --program, --section, --year and --quarter"
            ))),
        }
    }

    /// What makes it the same file as another submission of the same state, or of the same submitter
    /// where no state is known.
    fn identity(&self, name: &str) -> String {
        self.place(&self.unknown(), name)
    }

    /// Where it is stored; with a submission's own id, where no other submission is.
    fn key(&self, name: &str, own: Option<Uuid>) -> String {
        let state = self.state.as_deref().map_or_else(|| self.unknown(), |state| format!("{state}/"));
        let own = own.map(|id| format!("{id}-")).unwrap_or_default();
        self.place(&state, &format!("{own}{name}"))
    }

    fn place(&self, of: &str, name: &str) -> String {
        let Self { program, section, fiscal_year, fiscal_quarter, .. } = self;
        format!("{SUBMITTED}/{fiscal_year}/Q{fiscal_quarter}/{of}{program}/{section}/{name}")
    }

    fn unknown(&self) -> String {
        let digits = |hash: [u8; 32]| hash[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.unknown.map(|hash| format!("unknown-{}/", digits(hash))).unwrap_or_default()
    }
}

/// The first of these that is there.
async fn find_object(intake: &Intake, readings: &[ObjectUri]) -> Result<Stored, ObjectError> {
    let mut missing = None;
    for uri in readings {
        match intake.system.objects.head(uri).await {
            Err(error @ ObjectError::NotFound { .. }) => missing = missing.or(Some(error)),
            found => return found,
        }
    }
    Err(missing.unwrap_or_else(|| anyhow!("no object is named").into()))
}

/// Whether its version names these bytes for good; `null` is the one that the next put replaces.
fn is_pinned(stored: &Stored) -> bool {
    stored.uri.version().is_some_and(|version| version != "null")
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
