//! The text of mails: ids, codes, counts and locations. Mails hold no value of a submission, no file name and no
//! error reason; whoever may see those finds them by the run's id.

use std::fmt::Write as _;

use crate::clock;
use crate::ids::BatchId;
use crate::record::write_safe;
use crate::store::stream_error::StreamErrors;
use crate::store::{LogState, NoticeKind, Run, RunStatus};

/// A mail without its addresses.
pub(super) struct MailText {
    pub(super) subject: String,
    pub(super) body: String,
}

/// The subject of a condition, as far as its rows exist.
pub(super) enum About {
    Run(NoticeKind, Box<Run>),
    Batch { id: BatchId, unfinished: Option<i64> },
    Errors(StreamErrors),
}

/// The outcome of a submission, for its submitter.
pub(super) fn result(run: &Run) -> MailText {
    let verdict = run.summary_status.map_or("not parsed", |verdict| verdict.as_str());
    let subject = format!(
        "{} {}, fiscal year {} Q{}: {verdict}",
        run.program, run.section, run.fiscal_year, run.fiscal_quarter
    );
    let mut body = match (run.status, run.reparse_id) {
        (RunStatus::Success, None) => "The submission was parsed.\n".to_owned(),
        (RunStatus::Success, Some(_)) => "The submission was parsed again.\n".to_owned(),
        (status, _) => format!("The submission was not parsed: its run ended as {status}.\n"),
    };
    let mut say = |name: &str, value: String| {
        let _ = write!(body, "\n{name:12}{value}");
    };
    say("Result", verdict.to_owned());
    say("Program", format!("{}, section {}", run.program, run.section));
    say("Period", format!("fiscal year {}, quarter {}", run.fiscal_year, run.fiscal_quarter));
    if let (Some(created), Some(all)) = (run.records_created, run.records_in_file) {
        say("Records", format!("{created} of {all} accepted"));
    } else if run.status == RunStatus::Success {
        say("Records", "not reported".to_owned());
    }
    if let Some(errors) = run.error_count {
        say("Errors", errors.to_string());
        for (category, count) in run.error_counts.iter().flat_map(|counts| counts.0.iter()) {
            say("", format!("{count} of category {} ({})", category.number(), category.name()));
        }
    }
    for (month, cases) in run.cases.iter().flat_map(|cases| &cases.0.months) {
        let (sound, flawed) = (cases.accepted_without_errors, cases.accepted_with_errors);
        say("Cases", format!("{month}: {sound} accepted without errors, {flawed} with errors"));
    }
    if let Some(lines) = run.cases.as_ref().map(|cases| cases.0.rejected).filter(|lines| *lines > 0) {
        say("Rejected", format!("{lines} lines"));
    }
    say("Submission", format!("data file {}", run.data_file_id));
    if let Some(reparse) = run.reparse_id {
        say("Reparse", reparse.to_string());
    }
    say("Run", run.id.to_string());
    if let Some(finished) = run.finished_at {
        say("Finished", clock::exact_moment(finished));
    }
    body.push('\n');
    MailText { subject, body }
}

/// Everything for an operator in one mail.
pub(super) fn errors(about: &[About]) -> MailText {
    let mut subject = "parselog: ".to_owned();
    match about {
        [one] => headline(&mut subject, one),
        several => {
            let _ = write!(subject, "{} errors", several.len());
        }
    }
    let mut body = String::new();
    for one in about {
        headline(&mut body, one);
        body.push('\n');
        match one {
            About::Run(_, run) => details(&mut body, run),
            About::Batch { id, .. } => {
                let _ = writeln!(body, "  see: parselog runs --batch {id}, parselog reparse status {id}");
            }
            About::Errors(errors) => when(&mut body, errors),
        }
        body.push('\n');
    }
    MailText { subject, body }
}

/// One line, without its end.
fn headline(text: &mut String, about: &About) {
    let _ = match about {
        About::Run(kind, run) => match kind {
            NoticeKind::LogKeptBack if run.log_state == LogState::Lost => {
                write!(text, "the log of run {} is lost", run.id)
            }
            NoticeKind::LogKeptBack => {
                write!(text, "the log of run {} could not be archived at once", run.id)
            }
            NoticeKind::RunStuck => write!(text, "run {} is stuck", run.id),
            _ => write!(text, "run {} ended as {}", run.id, run.status),
        },
        About::Batch { id, unfinished: Some(runs) } => {
            write!(text, "batch {id} is past its deadline, {runs} runs have not ended")
        }
        About::Batch { id, unfinished: None } => write!(text, "batch {id} did not end before its deadline"),
        About::Errors(StreamErrors { service, logger, errors, .. }) => {
            let plural = if *errors == 1 { "" } else { "s" };
            let _ = write!(text, "{errors} error{plural} in stream {service}");
            if logger.is_empty() {
                return;
            }
            text.push_str(", of ");
            write_safe(text, logger)
        }
    };
}

/// When errors came, and where they are.
fn when(text: &mut String, errors: &StreamErrors) {
    let StreamErrors { service, began_at, last_at, before, .. } = errors;
    let (began, last) = (clock::exact_moment(*began_at), clock::exact_moment(*last_at));
    let _ = writeln!(text, "  from {began} to {last}; what comes within an hour is not told again");
    if let Some(before) = before {
        let _ = writeln!(text, "  {before} in the hour before");
    }
    let _ = writeln!(text, "  see: parselog logs service:{service} --level error --since 2h");
}

fn details(text: &mut String, run: &Run) {
    let _ = writeln!(
        text,
        "  {} {}, fiscal year {} Q{}, data file {}, attempt {} of {}",
        run.program,
        run.section,
        run.fiscal_year,
        run.fiscal_quarter,
        run.data_file_id,
        run.attempt,
        run.max_attempts
    );
    if let Some(reparse) = run.reparse_id {
        let _ = writeln!(text, "  reparse {reparse}");
    }
    text.push_str("  worker ");
    let _ = write_safe(text, run.worker.as_deref().unwrap_or("unknown"));
    if let Some(deadline) = run.deadline.filter(|_| run.status == RunStatus::Running) {
        let _ = write!(text, ", deadline {}", clock::exact_moment(deadline));
    }
    let _ = match (&run.logs_uri, run.log_state) {
        (Some(uri), _) => writeln!(text, "\n  log {uri}"),
        (None, LogState::Open | LogState::Sealed | LogState::Fallback) => {
            writeln!(text, "\n  log {} in the worker's spool, which tries to archive it again", run.log_state)
        }
        (None, state) => writeln!(text, "\n  log {state}"),
    };
    let _ = writeln!(text, "  see: parselog logs {}", run.id);
}
