//! What an external parser is told, and what of our environment is kept from it.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::super::Submission;
use super::CommandOptions;
use crate::ids::{DataFileId, RunId};

/// Names of variables hold secrets when they start with one of these, …
const SECRET_STARTS: [&str; 3] = ["AWS_", "PARSELOG_", "PG"];
/// … or have one of these in them.
const SECRET_PARTS: [&str; 9] =
    ["DATABASE_URL", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "SMTP", "API_KEY", "PRIVATE_KEY"];

/// The facts of one parse, from which both the command line and the environment are made.
pub(super) struct Facts<'a> {
    pub(super) submission: Submission<'a>,
    /// The submitted file's absolute path.
    pub(super) file: &'a Path,
    pub(super) run: RunId,
    pub(super) data_file: DataFileId,
    /// Where the program may write its result.
    pub(super) result: &'a Path,
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

/// Gives the program our environment without its secrets, and the facts of the parse.
pub(super) fn prepare(command: &mut Command, facts: &Facts<'_>, options: &CommandOptions) {
    for (name, value) in env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let asked_for = options.pass.iter().any(|pass| *pass == name);
        if !asked_for && (is_secret_name(&name) || holds_a_password(&value)) {
            command.env_remove(&*name);
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
        // A Python program's lines reach the log when they are written, not when it ends.
        .env("PYTHONUNBUFFERED", "1");
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_STARTS.iter().any(|start| name.starts_with(start))
        || SECRET_PARTS.iter().any(|part| name.contains(part))
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
    fn secrets_are_known_by_name_and_by_shape() {
        for name in
            ["DATABASE_URL", "READ_DATABASE_URL", "AWS_SESSION_TOKEN", "PARSELOG_SMTP_URL", "gh_token"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV"] {
            assert!(!is_secret_name(name), "{name}");
        }
        assert!(holds_a_password("redis://me:pw@cache:6379/0"));
        assert!(!holds_a_password("https://example.org/a:b@c"));
        assert!(!holds_a_password("http://proxy:8080"));
    }
}
