//! The environment of an external parser: the facts it is told, and the variables that are kept from it.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::super::Submission;
use super::CommandOptions;
use super::port::HOST;
use crate::ids::{DataFileId, RunId};

/// Variables that a program needs to run as it does for its user; a name that ends in `*` stands for all
/// names that begin so.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "PYTHON*", "PARSELOG_*"];
/// Of these, variables with one of these words in their name are kept from it.
const SECRETS: [&str; 10] =
    ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "KEY", "URL", "SMTP", "DATABASE", "TEST"];

/// The facts of one parse, from which both the command line and the environment are made.
pub(super) struct Facts<'a> {
    pub(super) submission: Submission<'a>,
    /// The submitted file's absolute path.
    pub(super) file: &'a Path,
    pub(super) run: RunId,
    pub(super) data_file: DataFileId,
    /// Where the program may write its result.
    pub(super) result: &'a Path,
    /// The port for its log handlers, if the run has one.
    pub(super) port: Option<u16>,
}

impl Facts<'_> {
    /// The value of a placeholder.
    pub(super) fn value(&self, placeholder: &str) -> OsString {
        let submission = &self.submission;
        match placeholder {
            "file" => self.file.into(),
            "name" => submission.name.into(),
            "program" => submission.program.into(),
            "section" => submission.section.into(),
            "year" => submission.fiscal_year.to_string().into(),
            _ => submission.fiscal_quarter.to_string().into(),
        }
    }
}

/// Gives the program the variables it needs, those that the operator passes to it, and the facts of the
/// parse.
pub(super) fn prepare(command: &mut Command, facts: &Facts<'_>, options: &CommandOptions) {
    command.env_clear();
    for (name, value) in env::vars_os() {
        let (plain, text) = (name.to_string_lossy(), value.to_string_lossy());
        if options.pass.iter().any(|pass| *pass == plain) || is_inherited(&plain) && !holds_a_password(&text)
        {
            command.env(&name, &value);
        }
    }
    command
        .env("PARSELOG_RUN_ID", facts.run.to_string())
        .env("PARSELOG_DATA_FILE_ID", facts.data_file.to_string())
        .env("PARSELOG_FILE", facts.file)
        .env("PARSELOG_NAME", facts.submission.name)
        .env("PARSELOG_PROGRAM", facts.submission.program)
        .env("PARSELOG_SECTION", facts.submission.section)
        .env("PARSELOG_FISCAL_YEAR", facts.submission.fiscal_year.to_string())
        .env("PARSELOG_FISCAL_QUARTER", facts.submission.fiscal_quarter.to_string())
        .env("PARSELOG_LEVEL", options.level.as_str())
        .env("PARSELOG_RESULT", facts.result)
        .env("PARSELOG_RUN", facts.run.to_string())
        // A Python program's lines reach the log when they are written, not when it ends.
        .env("PYTHONUNBUFFERED", "1");
    match facts.port {
        Some(port) => {
            command.env("PARSELOG_LOG_HOST", HOST.to_string()).env("PARSELOG_LOG_PORT", port.to_string());
        }
        // Those of parselog's own environment are of another run.
        None => {
            command.env_remove("PARSELOG_LOG_HOST").env_remove("PARSELOG_LOG_PORT");
        }
    }
}

fn is_inherited(name: &str) -> bool {
    let fits = |known: &&str| known.strip_suffix('*').map_or(*known == name, |start| name.starts_with(start));
    INHERITED.iter().any(fits) && !SECRETS.iter().any(|part| name.contains(part))
}

/// A URL such as `postgres://user:password@host/`, whatever its variable is called.
fn holds_a_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_needed_stays_with_us() {
        for name in ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "PARSELOG_LEVEL"] {
            assert!(is_inherited(name), "{name}");
        }
        for name in [
            "DATABASE_URL",
            "AWS_PROFILE",
            "PGUSER",
            "PARSELOG_SMTP_URL",
            "PARSELOG_S3_KMS_KEY",
            "MY_VARIABLE",
            "PATHS",
        ] {
            assert!(!is_inherited(name), "{name}");
        }
        assert!(holds_a_password("redis://me:pw@cache:6379/0"));
        assert!(!holds_a_password("https://example.org/a:b@c"));
        assert!(!holds_a_password("http://proxy:8080"));
    }
}
