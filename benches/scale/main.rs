//! What a large database costs: every statement of a worker and of people, beside an empty database.
//!
//! ```text
//! make scale SCALE=2000000            fills a database with so many runs, measures, and removes it
//! make scale ONLY=runs                measures only what has this in its name
//! ```
//!
//! `scripts/scale` starts a Postgres of its own and calls this with the URL of its database `postgres`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod figures;
mod looks;
mod work;

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parselog::store::{self, Limits, PgPool};
use parselog_benches::subscriber;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use figures::Figures;

/// The migrations up to this one are there before the rows, and the later ones are applied to them.
const BEFORE: i64 = 17;
const FILL: &str = include_str!("fill.sql");
/// Long enough for the filling.
const HOURS: Duration = Duration::from_secs(4 * 3600);

#[tokio::main]
async fn main() -> Result<()> {
    tracing::subscriber::set_global_default(subscriber())?;
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", server, runs] => fill(server, runs.parse()?).await,
        ["measure", server] => Box::pin(measure(server, "")).await,
        ["measure", server, only] => Box::pin(measure(server, only)).await,
        // `make bench` runs every bench, and this one needs a server of its own.
        [] => {
            println!("scale: measured by make scale");
            Ok(())
        }
        _ => bail!("fill SERVER RUNS or measure SERVER [ONLY]?"),
    }
}

/// A pool on this database of the server, with an hour for each statement.
async fn pool(server: &str, database: &str) -> Result<PgPool> {
    store::connect_within(
        &url_of(server, database),
        "scale",
        Limits { statement: HOURS, ..Limits::default() },
    )
    .await
}

fn url_of(server: &str, database: &str) -> String {
    server.replacen("/postgres?", &format!("/{database}?"), 1)
}

/// Makes an empty database and a full one.
async fn fill(server: &str, runs: u64) -> Result<()> {
    let admin = pool(server, "postgres").await?;
    for name in ["empty", "filled"] {
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&admin).await?;
    }
    store::migrate(&pool(server, "empty").await?).await?;
    let full = pool(server, "filled").await?;
    let options = PgConnectOptions::from_str(&url_of(server, "filled"))?;
    store::MIGRATOR.run_to(BEFORE, &mut PgConnection::connect_with(&options).await?).await?;
    let began = Instant::now();
    let sql = format!("set scale.runs = {runs}; {FILL}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut full.acquire().await?).await.context("failed to fill")?;
    for pool in [&full, &pool(server, "empty").await?] {
        sqlx::raw_sql("vacuum analyze").execute(&mut pool.acquire().await?).await?;
    }
    println!("filled with {runs} runs in {:.0} s", began.elapsed().as_secs_f64());
    migrate(&full).await?;
    sqlx::raw_sql("vacuum analyze").execute(&mut full.acquire().await?).await?;
    Ok(())
}

/// Applies the later migrations while somebody changes a run all the time, and tells how long he had to wait at most.
async fn migrate(full: &PgPool) -> Result<()> {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    let migrated = store::migrate(full);
    tokio::pin!(migrated);
    loop {
        let touched = async {
            let began = Instant::now();
            let newest = "update parse_file_meta set priority = priority
                          where id = (select id from parse_file_meta order by id desc limit 1)";
            sqlx::query(newest).execute(full).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            anyhow::Ok(began.elapsed())
        };
        tokio::select! {
            done = &mut migrated => { done?; break }
            waited = touched => slowest = slowest.max(waited?),
        }
    }
    println!(
        "migrated in {:.1} s; the slowest change of a run meanwhile took {:.0} ms",
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1000.0
    );
    Ok(())
}

async fn measure(server: &str, only: &str) -> Result<()> {
    let (empty, full) = (pool(server, "empty").await?, pool(server, "filled").await?);
    let mut figures = Figures::new(only);
    looks::measure(&mut figures, &empty, &full).await?;
    Box::pin(work::measure(&mut figures, &empty, &full)).await
}
