//! What the requests have in common that store something.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::ServerSideEncryption;

use super::{Encryption, S3};
use crate::objects::Put;

impl S3 {
    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}

pub(super) fn condition(put: &Put) -> Option<String> {
    put.if_none_match.then(|| "*".to_owned())
}

pub(super) fn metadata(put: &Put) -> HashMap<String, String> {
    put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Some bytes of a file, read again from it at every try.
pub(super) async fn body(path: &Path, offset: u64, length: u64) -> anyhow::Result<ByteStream> {
    let body = ByteStream::read_from().path(path).offset(offset).length(Length::Exact(length));
    body.build().await.with_context(|| format!("failed to read {}", path.display()))
}
