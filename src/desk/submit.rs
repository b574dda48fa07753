//! Submits files: checks them, stores them, and queues their runs.
//!
//! A submission never overwrites another. In a bucket that keeps versions, a corrected file of the same
//! name becomes the next version of the same object; in any other, each submission has its own key.
//! Identity and state, not keys, decide which submissions are one file over time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::nature::Nature;
use super::{Description, DeskError, Result};
use crate::objects::{self, Bytes, ObjectError, ObjectUri, Put, StoredObject};
use crate::store::{self, NewFile, PgPool, Queued, Request, data_file};
use crate::system::System;
use crate::{carry, faults};

/// The ordinary priority of a submission; lower numbers go first. The numbers below are for what is more urgent.
pub const PRIORITY: i32 = 100;

/// The ordinary number of attempts: two crashes in a row do not end a run for good.
pub const ATTEMPTS: i32 = 3;

/// Bytes of an object to read for its header.
const HEADER: u64 = 64 << 10;

/// Files to store at the same time.
const AT_ONCE: usize = 16;

/// Where files come in.
pub struct Intake {
    system: System,
    /// The buckets asked so far, and whether they keep versions.
    versions: Mutex<HashMap<String, bool>>,
    /// Receives a warning about missing versions, once per bucket.
    warn: Box<dyn Fn(&str) + Send + Sync>,
}

impl Intake {
    /// `warn` receives one line if a bucket keeps no versions: what this means for submissions.
    pub fn new(system: System, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { system, versions: Mutex::default(), warn: Box::new(warn) }
    }

    /// The system that receives the files.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Puts files into the object store, several at once, and calls `stored` after each.
    ///
    /// # Errors
    /// As [`Candidate::store`]; files stored before stay, and the next submission reuses them.
    pub async fn store_all(
        &self,
        files: Vec<Candidate>,
        what: &Description,
        stored: impl Fn(),
    ) -> Result<Vec<NewFile>> {
        let storing = stream::iter(files).map(|file| file.store(self, what).inspect(|_| stored()));
        storing.buffered(AT_ONCE).try_collect().await
    }

    /// Whether a bucket keeps versions; warns the first time if it may not.
    ///
    /// # Errors
    /// The bucket does not exist, or the store does not answer.
    pub async fn keeps_versions(&self, bucket: &str) -> Result<bool> {
        let mut asked = self.versions.lock().await;
        if let Some(kept) = asked.get(bucket) {
            return Ok(*kept);
        }
        let warning = self.system.objects.versions(bucket).await?.warning(bucket);
        if let Some(warning) = &warning {
            (self.warn)(warning);
        }
        asked.insert(bucket.to_owned(), warning.is_none());
        Ok(warning.is_none())
    }
}

/// A file that can be submitted.
#[derive(Debug)]
pub struct Candidate {
    name: String,
    source: UploadSource,
}

#[derive(Debug)]
enum UploadSource {
    Local {
        path: PathBuf,
        nature: Nature,
    },
    /// The possible meanings of the argument, the likeliest first.
    Object(Vec<ObjectUri>),
}

impl Candidate {
    /// Checks a file before anything is stored or registered.
    ///
    /// # Errors
    /// It is missing or empty, or neither its header nor the submitter describes it.
    pub fn of(file: &str, what: &Description) -> Result<Self> {
        if file.starts_with("s3://") {
            let readings =
                ObjectUri::readings(file).map_err(|error| DeskError::Invalid(error.to_string()))?;
            let place = file.split("?versionId=").next().unwrap_or_default();
            let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            return Ok(Self { name, source: UploadSource::Object(readings) });
        }
        let path = PathBuf::from(file);
        let size = readable_size(file, &path)?;
        if size == 0 {
            return Err(DeskError::Invalid(format!("can't submit {file}: it is empty")));
        }
        let name = path.file_name().and_then(|name| name.to_str()).with_context(|| {
            format!("can't submit {}: its name is no UTF-8 text; rename it", path.display())
        })?;
        let name = name.to_owned();
        let nature = Nature::of(&name, &path, what, || {
            Ok(objects::sha256_of(&path).with_context(|| format!("failed to read {file}"))?)
        })?;
        Ok(Self { name, source: UploadSource::Local { path, nature } })
    }

    /// Checks all files of one command before anything is stored.
    ///
    /// # Errors
    /// One can't be submitted, or two of them would be the same file.
    pub async fn all(files: &[String], what: &Description) -> Result<Vec<Self>> {
        let (read, what) = (files.to_owned(), what.clone());
        let all = move || read.iter().map(|file| Self::of(file, &what)).collect::<Result<Vec<_>>>();
        let candidates = carry::spawn_blocking(all).await.context("reading the files panicked")??;
        let mut known = HashMap::new();
        for (file, candidate) in files.iter().zip(&candidates) {
            if let UploadSource::Local { nature, .. } = &candidate.source
                && let Some(other) =
                    known.insert((nature.identity(&candidate.name), nature.state.clone()), file)
            {
                return Err(DeskError::Invalid(format!(
                    "{other} and {file} would be one file ({}): rename one, submit them one after the other \
                     if the second corrects the first, or say whose each is with --state",
                    nature.identity(&candidate.name)
                )));
            }
        }
        Ok(candidates)
    }

    /// Puts the file into the object store, if it is not there yet, and names its exact version or, without
    /// versions, its bytes.
    ///
    /// # Errors
    /// The object store refuses, or the object does not exist.
    pub async fn store(self, intake: &Intake, what: &Description) -> Result<NewFile> {
        match self.source {
            UploadSource::Object(readings) => of_object(intake, what, self.name, &readings).await,
            UploadSource::Local { path, nature } => of_local(intake, what, self.name, &path, nature).await,
        }
    }
}

async fn of_local(
    intake: &Intake,
    what: &Description,
    name: String,
    path: &Path,
    nature: Nature,
) -> Result<NewFile> {
    let kept = intake.keeps_versions(&intake.system.bucket).await?;
    let key = nature.key(&name, (!kept).then(Uuid::now_v7));
    let hashed = path.to_owned();
    let sha256 = carry::spawn_blocking(move || objects::sha256_of(&hashed))
        .await
        .context("reading the file panicked")?;
    let put = Put {
        content_type: "application/octet-stream",
        metadata: Vec::new(),
        sha256: sha256.with_context(|| format!("failed to read {}", path.display()))?,
        if_none_match: !kept,
    };
    let stored = match if kept { left_behind(intake, &key, path, &put).await? } else { None } {
        Some(stored) => stored,
        None => intake.system.objects.put_file(&intake.system.bucket, &key, path, &put).await?,
    };
    faults::point("submit-one-stored");
    if kept && !is_pinned(&stored) {
        return Err(DeskError::Conflict(format!(
            "{} has no version although its bucket kept versions a moment ago: submit it again",
            stored.uri
        )));
    }
    let identity = nature.identity(&name);
    let file = new_file(intake.system.bucket.to_string(), key, &stored, name, nature, what)?;
    Ok(NewFile { sha256: Some(put.sha256), identity: Some(identity), ..file })
}

/// The same file, stored under the key but never submitted: the leftover of a killed `submit`. Reusing it
/// means that a repeated command leaves no version without a row.
async fn left_behind(intake: &Intake, key: &str, path: &Path, put: &Put) -> Result<Option<StoredObject>> {
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

async fn of_object(
    intake: &Intake,
    what: &Description,
    name: String,
    readings: &[ObjectUri],
) -> Result<NewFile> {
    let mut stored = find_object(intake, readings).await?;
    let ObjectUri::S3 { bucket, key, .. } = stored.uri.clone() else {
        return Err(DeskError::Invalid(
            "s3:// objects need --bucket: files are kept in a folder here".to_owned(),
        ));
    };
    let mut sha256 = None;
    if !is_pinned(&stored) {
        intake.keeps_versions(&bucket).await?;
        let (read, hash) = intake.system.objects.digest(&stored.uri).await?;
        (stored, sha256) = (read, Some(hash));
    }
    let start = intake.system.objects.get_range(&stored.uri, Bytes::Range(0..HEADER)).await?;
    let nature = carry::spawn_blocking({
        let (name, what) = (name.clone(), what.clone());
        move || {
            let mut header = NamedTempFile::new().context("failed to keep the object's first line")?;
            header.write_all(&start.bytes).context("failed to keep the object's first line")?;
            // In its own key, an object is known by that.
            Nature::of(&name, header.path(), &what, || Ok(Sha256::digest(&start.bytes).into()))
        }
    })
    .await
    .context("reading the header panicked")??;
    let file = new_file(bucket, key, &stored, name, nature, what)?;
    Ok(NewFile { sha256, ..file })
}

fn new_file(
    bucket: String,
    key: String,
    stored: &StoredObject,
    name: String,
    nature: Nature,
    what: &Description,
) -> Result<NewFile> {
    if stored.size == 0 {
        return Err(DeskError::Invalid(format!("can't submit {}: it is empty", stored.uri)));
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
        submitter_emails: what.emails.clone(),
        ..NewFile::default()
    })
}

/// The first of these that exists.
async fn find_object(intake: &Intake, readings: &[ObjectUri]) -> Result<StoredObject, ObjectError> {
    let mut missing = None;
    for uri in readings {
        match intake.system.objects.head(uri).await {
            Err(error @ ObjectError::NotFound { .. }) => missing = missing.or(Some(error)),
            found => return found,
        }
    }
    Err(missing.unwrap_or_else(|| anyhow!("no object is named").into()))
}

/// Whether its version names these bytes for good; the next put replaces version `null`.
fn is_pinned(stored: &StoredObject) -> bool {
    stored.uri.version().is_some_and(|version| version != "null")
}

fn readable_size(file: &str, path: &Path) -> Result<u64> {
    let cant = || format!("can't submit {file}");
    let open = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DeskError::NotFound(format!("{}: file not found", cant())),
        _ => DeskError::Other(anyhow!(error).context(cant())),
    })?;
    let metadata = open.metadata().with_context(cant)?;
    if !metadata.is_file() {
        return Err(DeskError::Invalid(format!("{}: not a regular file", cant())));
    }
    Ok(metadata.len())
}

/// Queues these files, all or none.
///
/// # Errors
/// The database refuses or does not answer.
pub async fn queue(pool: &PgPool, files: &[NewFile], request: &Request) -> Result<Vec<Queued>> {
    faults::point("submit-all-stored");
    let queued = store::submit(pool, files, request).await?;
    faults::point("submit-queued");
    Ok(queued)
}

/// Queues one file, which the caller parses itself.
///
/// # Errors
/// The database refuses or does not answer.
pub async fn queue_one(pool: &PgPool, file: NewFile, request: &Request) -> Result<Queued> {
    Ok(store::submit(pool, &[file], request).await?.pop().context("the database queued nothing")?)
}
