//! What a worker process needs at most, how soon the log of a run is archived, and how fast a worker drains its queue:
//!
//! ```text
//! make bench BENCH="resources -- log 10GB"              writes and archives one log of this size
//! make bench BENCH="resources -- log 1GB 20MB"          the same, about so much of it in a second
//! make bench BENCH="resources -- log all 60MB counting" logs of 10 MB, 100 MB and 1 GB; also all,10GB
//! make bench BENCH="resources -- events 8"              so many rounds of events, with an archive that grows and without
//! make bench BENCH="resources -- queue 10000"           so many runs wait, then are done, each with a file of 100 KB
//! make bench BENCH="resources -- sample 10000"          the same with the sample of the README, which has 5 KB
//! ```
//!
//! Without arguments a log of 200 MB and 1,000 runs. It starts the program itself, with the embedded database and a
//! folder for objects, or in the S3 that `PARSELOG_TEST_S3` and `PARSELOG_BUCKET` name, and reads the peak of its memory
//! from the system. `log` takes the store as its last word: `folder`, `s3`, or `counting` for one of its own, which counts
//! what it is asked.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod counting;
mod events;
mod log;
mod place;
mod runs;
mod store;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use bytesize::ByteSize;
use parselog_benches::subscriber;

use place::{invented, shipped};
use store::Store;

/// Makes this bench the worker that parses in its own process.
const IN_PROCESS: &str = "work-in-process";

/// What `all` stands for.
const SIZES: [u64; 3] = [10_000_000, 100_000_000, 1_000_000_000];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words == [IN_PROCESS] {
        return runs::work_in_process().await;
    }
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        return with_credentials();
    }
    tracing::subscriber::set_global_default(subscriber())?;
    match words[..] {
        [] => {
            log::logs(&[200_000_000], None, Store::usual()).await?;
            runs::runs(1000, invented()?).await
        }
        ["log", many, ref rest @ ..] => {
            let (pace, store) = match rest {
                [] => (None, Store::usual()),
                [word] => match bytes(word) {
                    Ok(pace) => (Some(pace), Store::usual()),
                    Err(_) => (None, Store::named(word).await?),
                },
                [pace, store] => (Some(bytes(pace)?), Store::named(store).await?),
                _ => bail!("log SIZES [BYTES A SECOND] [folder, s3 or counting]?"),
            };
            log::logs(&sizes(many)?, pace, store).await
        }
        ["events", rounds] => events::events(rounds.parse()?).await,
        ["queue", many] => runs::runs(many.parse()?, invented()?).await,
        ["sample", many] => runs::runs(many.parse()?, shipped()?).await,
        _ => bail!("log SIZES, events ROUNDS, queue RUNS or sample RUNS?"),
    }
}

/// Begins this process anew with what a store of its own asks nobody for. The SDK reads credentials from the environment
/// alone, and a process can't change that safely for itself.
fn with_credentials() -> Result<()> {
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env("AWS_ACCESS_KEY_ID", "bench");
    again.env("AWS_SECRET_ACCESS_KEY", "bench").env("AWS_REGION", "us-east-1");
    Err(again.exec()).context("failed to begin anew")
}

fn bytes(text: &str) -> Result<u64> {
    Ok(text.parse::<ByteSize>().map_err(anyhow::Error::msg)?.as_u64())
}

/// Sizes with commas between them, `all` among them.
fn sizes(text: &str) -> Result<Vec<u64>> {
    let lists = text.split(',').map(|word| match word {
        "all" => Ok(SIZES.to_vec()),
        size => Ok(vec![bytes(size)?]),
    });
    Ok(lists.collect::<Result<Vec<_>>>()?.concat())
}
