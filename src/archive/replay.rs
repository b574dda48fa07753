//! The fallback: repeats the warnings and errors of a log that could not be archived in the global log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use tracing::field::{DisplayValue, display};

use crate::carry;
use crate::ids::RunId;
use crate::record::{Level, Record, level_of, seq_of};
use crate::spool::SealedLog;

/// Most records to replay; the last line says how many were left out, and all of them are in the spool.
const MOST: u64 = 10_000;

/// Replays the log's records of at least `least` to the global log, tagged with the run id. The
/// global log redacts them. It blocks while it reads the log.
pub(super) fn replay(log: &SealedLog, least: Level) -> io::Result<()> {
    carry::may_block();
    let run = log.head.run().map(display);
    let mut count = 0;
    let mut file = File::open(log.path())?;
    if let Some(given) = log.given_back()? {
        file.seek(SeekFrom::Start(given.raw_bytes))?;
        let lines = given.lines;
        tracing::warn!(target: "parselog::replay", run, lines, "what its first lines say is up, and not replayed");
    }
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // The beginning of most lines shows that they do not matter.
        let matters = seq_of(&line).is_some_and(|seq| seq > 0) && level_of(&line) >= Some(least);
        if matters {
            count += 1;
        }
        if matters
            && count <= MOST
            && let Some(record) = Record::decode(&line)
        {
            say(run.as_ref(), &record);
        }
        line.clear();
    }
    if count > MOST {
        tracing::warn!(target: "parselog::replay", run, "{} more records were not replayed", count - MOST);
    }
    Ok(())
}

fn say(run: Option<&DisplayValue<RunId>>, record: &Record) {
    let fields = serde_json::to_string(&record.fields).unwrap_or_default();
    // The level of an event is part of its static callsite, hence one call for each.
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                target: "parselog::replay",
                parent: None,
                run,
                seq = record.seq,
                from = record.target,
                record = record.record,
                fields,
                "{}",
                record.message
            )
        };
    }
    if record.level == Level::Error { say!(error) } else { say!(warn) }
}
