//! What the rooms work with: the database, the object store, the spool and the redactor, assembled
//! once and passed on. It decides nothing and opens nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::objects::Objects;
use crate::redact::Redactor;
use crate::spool::Spool;
use crate::store::PgPool;

/// The bucket for submitted files in a folder, if none is named.
const FOLDER_BUCKET: &str = "files";

/// One system of database, object store and spool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct System {
    /// The database.
    pub pool: PgPool,
    /// Submitted files and archived logs.
    pub objects: Objects,
    /// Unfinished logs.
    pub spool: Spool,
    /// Removes private shapes from text that leaves a log.
    pub redactor: Redactor,
    /// Where submitted files go.
    pub bucket: Arc<str>,
    /// The folder for files that nobody needs for long.
    pub scratch: Arc<Path>,
}

impl System {
    /// A system of these parts, with the built-in redactor, and the folder store's bucket for submitted
    /// files. `scratch` is the folder for files that nobody needs for long.
    pub fn new(pool: PgPool, objects: Objects, spool: Spool, scratch: impl Into<PathBuf>) -> Self {
        Self {
            pool,
            objects,
            spool,
            redactor: Redactor::default(),
            bucket: FOLDER_BUCKET.into(),
            scratch: scratch.into().into(),
        }
    }

    /// The same with this redactor.
    #[must_use]
    pub fn with_redactor(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// The same with this bucket for submitted files.
    #[must_use]
    pub fn with_bucket(self, bucket: &str) -> Self {
        Self { bucket: bucket.into(), ..self }
    }

    /// The same for statements that are known to take long.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { pool: self.pool.patient(), ..self.clone() }
    }
}
