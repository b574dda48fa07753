//! Where the objects of a bench go.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use parselog::objects::{FolderStore, Objects, S3, S3Options};

use crate::counting::{CountingStore, Counts};

/// The bucket, if nothing names one.
const BUCKET: &str = "parselog";

pub(crate) enum Store {
    Folder,
    S3 { endpoint: String, bucket: String },
    Counting(CountingStore),
}

impl Store {
    /// The S3 that the environment names, else a folder.
    pub(crate) fn usual() -> Self {
        let bucket = std::env::var("PARSELOG_BUCKET").unwrap_or_else(|_| BUCKET.to_owned());
        std::env::var("PARSELOG_TEST_S3").map_or(Self::Folder, |endpoint| Self::S3 { endpoint, bucket })
    }

    pub(crate) async fn named(word: &str) -> Result<Self> {
        match (word, Self::usual()) {
            ("folder", _) => Ok(Self::Folder),
            ("counting", _) => Ok(Self::Counting(CountingStore::start().await?)),
            ("s3", store @ Self::S3 { .. }) => Ok(store),
            ("s3", _) => bail!("PARSELOG_TEST_S3 names no S3: eval \"$(localstack/start --env)\""),
            _ => bail!("`{word}` is no store: folder, s3 or counting?"),
        }
    }

    pub(crate) async fn objects(&self, home: &Path) -> Result<Objects> {
        let Some((endpoint, _)) = self.s3() else {
            let folder = FolderStore::open(&home.join("objects")).context("failed to open the folder")?;
            return Ok(Objects::Folder(folder));
        };
        let options = S3Options { endpoint: Some(endpoint.to_owned()), ..S3Options::default() };
        Ok(Objects::S3(S3::connect(options).await))
    }

    pub(crate) fn bucket(&self) -> Option<&str> {
        self.s3().map(|(_, bucket)| bucket)
    }

    /// Tells a program to use it.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env_remove("PARSELOG_BUCKET");
        if let Some((endpoint, bucket)) = self.s3() {
            command.env("PARSELOG_BUCKET", bucket).env("AWS_ENDPOINT_URL_S3", endpoint);
        }
    }

    /// What it was asked between these moments, if it counts.
    pub(crate) fn between(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> Option<Counts> {
        match self {
            Self::Counting(store) => Some(store.between(since, until)),
            Self::Folder | Self::S3 { .. } => None,
        }
    }

    /// Whether what it takes can be read again, whatever its size.
    pub(crate) fn keeps(&self) -> bool {
        !matches!(self, Self::Counting(_))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::S3 { .. } => "S3",
            Self::Counting(_) => "the store that counts",
        }
    }

    /// Endpoint and bucket.
    fn s3(&self) -> Option<(&str, &str)> {
        match self {
            Self::Folder => None,
            Self::S3 { endpoint, bucket } => Some((endpoint, bucket)),
            Self::Counting(store) => Some((&store.endpoint, BUCKET)),
        }
    }
}
