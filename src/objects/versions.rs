//! The earlier versions of objects: whether a bucket keeps them, and how they are deleted with all that they hold.

use super::{ObjectResult, ObjectUri, Objects};

/// Whether a bucket keeps earlier versions of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    Kept,
    /// It did, but no longer does.
    Suspended,
    None,
    /// The store does not say.
    Unknown {
        reason: String,
    },
}

impl Versions {
    /// One line on the consequences for submissions if the bucket may keep no versions.
    pub fn warning(&self, bucket: &str) -> Option<String> {
        let lack = match self {
            Self::Kept => return None,
            Self::Suspended => format!("bucket '{bucket}' keeps no versions any more (they are suspended)"),
            Self::None => format!("bucket '{bucket}' keeps no versions"),
            Self::Unknown { reason } => {
                format!("the store does not say whether bucket '{bucket}' keeps versions ({reason})")
            }
        };
        Some(format!(
            "{lack}: each submission gets a key of its own, and a run fails if its object was replaced; with \
             versioning on, it could still be parsed"
        ))
    }
}

impl Objects {
    /// Whether the bucket keeps versions.
    ///
    /// # Errors
    /// When the bucket is not there, or the store does not answer.
    pub async fn versions(&self, bucket: &str) -> ObjectResult<Versions> {
        match self {
            Self::S3(s3) => s3.versions(bucket).await,
            Self::Folder(_) => Ok(Versions::Kept),
        }
    }

    /// Removes every version of an object, but for the one that `kept` names, so that nothing is left of what the others
    /// hold. Removing a missing one succeeds.
    ///
    /// # Errors
    /// The store refuses, does not tell which versions there are, or does not answer; some may be gone by then.
    pub async fn delete_others(&self, bucket: &str, key: &str, kept: Option<&ObjectUri>) -> ObjectResult<()> {
        match self {
            Self::S3(s3) => s3.delete_others(bucket, key, kept).await,
            Self::Folder(folder) => folder.delete_others(bucket, key, kept).await,
        }
    }
}
