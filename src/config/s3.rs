//! Settings for S3.

use bytesize::ByteSize;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::value;
use crate::objects::Encryption;

/// How parselog uses S3.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "S3")]
pub struct S3Config {
    /// Server-side encryption that S3 is asked for.
    #[arg(
        long,
        env = "PARSELOG_S3_ENCRYPTION",
        default_value = "bucket",
        value_parser = encryption(),
        value_name = "HOW",
        global = true,
        hide_short_help = true
    )]
    s3_encryption: Encryption,

    /// KMS key id for `--s3-encryption kms`; the account's key by default.
    #[arg(long, env = "PARSELOG_S3_KMS_KEY", value_parser = value::name, value_name = "KEY", global = true, hide_short_help = true)]
    s3_kms_key: Option<String>,

    /// Upload larger objects in parts.
    #[arg(
        long,
        env = "PARSELOG_S3_MULTIPART_FROM",
        default_value = "8MiB",
        value_parser = value::size,
        value_name = "SIZE",
        global = true,
        hide_short_help = true
    )]
    pub s3_multipart_from: ByteSize,

    /// Attempts at one request before the log falls back.
    #[arg(
        long,
        env = "PARSELOG_S3_ATTEMPTS",
        default_value = "4",
        value_parser = value::attempts,
        value_name = "N",
        global = true,
        hide_short_help = true
    )]
    pub s3_attempts: u32,

    /// Put the bucket into the path, not into the host name: for servers other than Amazon's that
    /// have a host name.
    #[arg(long, env = "PARSELOG_S3_PATH_STYLE", global = true, hide_short_help = true)]
    pub s3_path_style: bool,
}

impl S3Config {
    /// Server-side encryption asked of S3, with the key that is set.
    pub fn encryption(&self) -> Encryption {
        match &self.s3_encryption {
            Encryption::Kms { .. } => Encryption::Kms { key_id: self.s3_kms_key.clone() },
            other => other.clone(),
        }
    }
}

/// Reads the encryption to ask S3 for.
fn encryption() -> impl TypedValueParser<Value = Encryption> {
    PossibleValuesParser::new([
        PossibleValue::new("bucket").help("As the bucket is configured"),
        PossibleValue::new("aes256").help("With S3's own keys"),
        PossibleValue::new("kms").help("With a key of the key management service"),
    ])
    .map(|how| match how.as_str() {
        "aes256" => Encryption::Aes256,
        "kms" => Encryption::Kms { key_id: None },
        _ => Encryption::None,
    })
}
