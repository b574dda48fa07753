//! Turns what the SDK says into one line, and into the cases that callers tell apart.

use std::error::Error;

use anyhow::anyhow;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::objects::{Missing, ObjectError};

/// Why a request failed.
#[derive(Debug)]
pub(super) struct S3Failure {
    /// S3's own name for it; none for answers without a body or with one that is not S3's.
    code: Option<String>,
    status: Option<u16>,
    reason: String,
}

impl S3Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.code().map(ToOwned::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let reason = match error {
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "no answer in time".to_owned(),
            SdkError::ServiceError(_) => match (error.code(), error.message(), status) {
                (Some(code), Some(message), _) => format!("{message} ({code})"),
                (Some(code), None, _) => code.to_owned(),
                (None, _, Some(status)) => format!("HTTP status {status}"),
                (None, _, None) => "an answer that is not S3's".to_owned(),
            },
            _ => innermost(error),
        };
        Self { code, status, reason: one_line(&reason) }
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The answer's status says that something is missing or wrong, and nothing says what.
    pub(super) fn is_unexplained(&self) -> bool {
        matches!(self.status, Some(400 | 404)) && matches!(self.code(), None | Some("NotFound"))
    }

    /// The server answered that it does not do this, or not for us; the bucket itself is not missing.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400..=499 | 501)) && self.code() != Some("NoSuchBucket")
    }

    /// One line.
    pub(super) fn reason(self) -> String {
        self.reason
    }

    /// The multipart upload was completed or aborted before.
    pub(super) fn is_ended(&self) -> bool {
        self.code() == Some("NoSuchUpload")
    }

    /// A conditional write lost: there is an object already, or one is being written.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.status, Some(409 | 412))
    }

    /// The error of a request about the object or bucket `name`.
    pub(super) fn named(self, name: &str) -> ObjectError {
        let not_found = |missing| ObjectError::NotFound { missing, name: name.to_owned() };
        let about_version = name.contains("?versionId=");
        match (self.code(), self.status) {
            (Some("NoSuchBucket"), _) => not_found(Missing::Bucket),
            (Some("NoSuchUpload"), _) => not_found(Missing::Upload),
            (Some("NoSuchVersion"), _) => not_found(Missing::Version),
            // S3 says so of a version that it could never have given.
            (Some("InvalidArgument"), Some(400)) if about_version => not_found(Missing::Version),
            (Some("NoSuchKey"), _) => not_found(Missing::Key),
            // A version that only says that the object was deleted.
            (Some("MethodNotAllowed"), _) if about_version => not_found(Missing::Version),
            (Some("ExpiredToken" | "TokenRefreshRequired"), _) | (_, Some(401 | 403)) => {
                ObjectError::Denied { name: name.to_owned(), reason: self.reason }
            }
            _ => ObjectError::Other(anyhow!(self.reason).context(format!("the request for {name} failed"))),
        }
    }
}

/// The message of the error that all others are wrapped around, which is the one that says it.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut prefix = "";
    let mut inner = error;
    while let Some(source) = inner.source() {
        if source.is::<CredentialsError>() {
            prefix = "no usable AWS credentials: ";
        }
        inner = source;
    }
    format!("{prefix}{inner}")
}

/// A server's words could be of any length, on any number of lines, with anything in them.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let plain: String = plain.take(300).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
