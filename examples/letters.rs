use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use parselog::{App, Category, Context, Outcome, ParseError, Parser, Problem, Submission};

/// Reads files with one letter on each line.
struct Letters;

impl Parser for Letters {
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError> {
        let mut outcome = Outcome::default();
        for (number, line) in (1..).zip(BufReader::new(File::open(submission.path)?).lines()) {
            context.cancel.check()?;
            let line = line?;
            if line.len() == 1 {
                tracing::info!(record = number, "a letter");
                outcome.accept("letter");
                continue;
            }
            outcome.refuse();
            let message = format!("expected one letter, found {} bytes", line.len());
            let record = Some(number);
            outcome.tell(&Problem { record, message: &message, ..Problem::new(Category::Record) });
        }
        Ok(outcome)
    }
}

fn main() -> ExitCode {
    App::new().parser("letters/*", Letters).main()
}
