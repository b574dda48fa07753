//! The one written form of an object's location: `s3://bucket/key?versionId=V` or `file:///path`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{ObjectError, ObjectResult};

/// Names one object, or one version of it.
///
/// It writes `%XX` for everything that is not plain ASCII text or would pass for another part of the URI, so it
/// is safe to show and to log. When parsed, a key may also be unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectUri {
    S3 {
        bucket: String,
        key: String,
        version: Option<String>,
    },
    /// An absolute path, which begins with the store's folder and the bucket.
    File {
        path: String,
        version: Option<String>,
    },
}

const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?');
const VERSION: &str = "?versionId=";

impl ObjectUri {
    pub(super) fn s3(bucket: &str, key: &str, version: Option<&str>) -> ObjectResult<Self> {
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if bucket.is_empty() || !plain(bucket) {
            return Err(anyhow!("{bucket:?} is not a bucket name").into());
        }
        if key.is_empty() || key.len() > 1024 {
            return Err(anyhow!("an object key has 1 to 1024 bytes, not {}", key.len()).into());
        }
        Ok(Self::S3 { bucket: bucket.into(), key: key.into(), version: version.map(Into::into) })
    }

    /// The possible meanings of `s3://bucket/key`: first the literal key, as other tools show it, then the key
    /// with `%XX` decoded, as we write it.
    ///
    /// # Errors
    /// It is not an S3 URI.
    pub fn readings(text: &str) -> ObjectResult<Vec<Self>> {
        let (place, version) = text.rsplit_once(VERSION).unwrap_or((text, ""));
        let (bucket, key) =
            place.strip_prefix("s3://").and_then(|name| name.split_once('/')).unwrap_or_default();
        let version = Some(decode(version)?).filter(|version| !version.is_empty());
        let mut readings: Vec<Self> = Self::s3(bucket, key, version.as_deref()).into_iter().collect();
        // A literal `%` need not be decodable.
        let decoded: ObjectResult<Self> = text.parse();
        match decoded {
            Ok(decoded) if !readings.contains(&decoded) => readings.push(decoded),
            Err(error) if readings.is_empty() => return Err(error),
            _ => {}
        }
        Ok(readings)
    }

    /// Whether both name the same object, in whatever version.
    pub fn is_same_object(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket, key, .. }, Self::S3 { bucket: other, key: others, .. }) => {
                (bucket, key) == (other, others)
            }
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            _ => false,
        }
    }

    /// The version, if it names one.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::S3 { version, .. } | Self::File { version, .. } => version.as_deref(),
        }
    }
}

impl FromStr for ObjectUri {
    type Err = ObjectError;

    fn from_str(text: &str) -> ObjectResult<Self> {
        let (place, version) = match text.rsplit_once(VERSION) {
            Some((place, version)) => (place, Some(decode(version)?)),
            None => (text, None),
        };
        if let Some(place) = place.strip_prefix("s3://") {
            let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
            return Self::s3(bucket, &decode(key)?, version.as_deref());
        }
        let path = place.strip_prefix("file://").with_context(|| {
            format!("{text:?} is not an object: it begins neither with s3:// nor with file:///")
        })?;
        let path = decode(path)?;
        if !path.starts_with('/') || path.contains('\0') {
            return Err(
                anyhow!("{text:?} is not an absolute path: file: is followed by three slashes").into()
            );
        }
        Ok(Self::File { path, version })
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key, .. } => write!(f, "s3://{bucket}/{}", encode(key))?,
            Self::File { path, .. } => write!(f, "file://{}", encode(path))?,
        }
        match self.version() {
            Some(version) => write!(f, "{VERSION}{}", encode(version)),
            None => Ok(()),
        }
    }
}

fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, ESCAPED)
}

fn decode(text: &str) -> ObjectResult<String> {
    let decoded = percent_decode_str(text).decode_utf8().with_context(|| format!("{text:?} is not UTF-8"))?;
    Ok(decoded.into_owned())
}
