//! `parselog streams`: the streams of other processes' logs.

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;

use super::database::open_database;
use super::table::Table;
use super::{Common, Exit, show};
use crate::clock;
use crate::store::stream::{self, StreamTotals};

/// List the streams of other processes' logs. `parselog logs service:NAME` prints one.
#[derive(Debug, Args)]
pub(super) struct StreamsArgs {
    /// Print one JSON object per stream, with every number.
    #[arg(long)]
    json: bool,
}

impl StreamsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let streams = stream::list(&open_database(common).await?).await?;
        if self.json {
            streams.iter().try_for_each(show::json)?;
        } else if streams.is_empty() {
            show::note("no streams yet: `parselog serve` takes other processes' logs");
        } else {
            show::line(table(&streams))?;
        }
        Ok(Exit::Ok)
    }
}

/// What is still written to counts once its segment ends.
fn table(streams: &[StreamTotals]) -> Table<9> {
    let mut table = Table::new([
        "~STREAM",
        ">SEGMENTS",
        "?>OPEN",
        ">RECORDS",
        "?>ERRORS",
        "?>DROPPED",
        ">SIZE",
        "@?FIRST",
        "@LAST",
    ]);
    for stream in streams {
        let time = |time: Option<_>| time.map_or_else(|| "-".to_owned(), clock::minute);
        let last = if stream.open > 0 { "open".to_owned() } else { time(stream.last_at) };
        table.row([
            &stream.service,
            &stream.segments,
            &stream.open,
            &stream.records,
            &stream.errors,
            &stream.dropped,
            &ByteSize(stream.raw_bytes.unsigned_abs()),
            &time(stream.first_at),
            &last,
        ]);
    }
    table
}
