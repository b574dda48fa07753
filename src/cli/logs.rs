//! `parselog logs`: print the log of a run, from wherever it is.

use std::io::{self, BufWriter, Write};

use anyhow::Result;
use clap::Args;

use super::desk::Desk;
use super::target::{TARGET_HELP, find_run};
use super::{Common, Exit, show};
use crate::reader::{LogSource, Selection};
use crate::record::{Level, Record, Text};

/// Print the log of a run, from this machine's spool or from the object store.
#[derive(Debug, Args)]
pub(super) struct Logs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// Print the records as they are, one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Only the last N lines.
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Only lines of at least this level: trace, debug, info, warn, error.
    #[arg(long)]
    level: Option<Level>,
}

impl Logs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let desk = Desk::open(common).await?;
        let run = find_run(&desk.pool, &self.target).await?;
        let selection = Selection { level: self.level, tail: self.tail, ..Selection::default() };
        let printer = Printer { json: self.json, color: show::color(), out: BufWriter::new(io::stdout()) };
        LogSource::find(&run, &desk.spool)?.read(&desk.objects, selection, printer.each()).await?;
        Ok(Exit::Ok)
    }
}

/// Prints lines of a log; what is left is flushed when it is dropped.
struct Printer {
    json: bool,
    color: bool,
    out: BufWriter<io::Stdout>,
}

impl Printer {
    fn each(mut self) -> impl FnMut(&[u8]) -> io::Result<()> + Send + 'static {
        move |line| {
            if self.json {
                self.out.write_all(line)
            } else {
                let record = Record::decode_lossy(line);
                writeln!(self.out, "{}", Text { record: &record, color: self.color })
            }
        }
    }
}
