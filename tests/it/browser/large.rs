//! A log of gigabytes: any line of it is on screen at once, for little, in a page that stays small.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::time::Duration;

use parselog::archive::line_facts;
use parselog::gzip;
use serde_json::json;

use super::signed_in;
use crate::pages::{Site, parse};
use crate::reading::{LINES_FOR_AN_ERROR, invented};

/// How long a line may take to be on screen, on a machine that is well.
const ON_SCREEN: Duration = Duration::from_millis(300);

/// What its window may cost.
const REQUESTS: u64 = 2;
const BYTES: u64 = 256 << 10;

/// Elements of a page, and the memory (bytes) that its scripts hold.
const ELEMENTS: u64 = 1500;
const HEAP: u64 = 30 << 20;

/// How long the first lines of a level may take.
const FILTERED: Duration = Duration::from_secs(1);

/// Puts a log of this size in the place of a run's; returns its number of lines.
async fn enlarge(site: &Site, run: &str, size: u64) -> u64 {
    let folder = site.desk.home.path().join("objects/large");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("big.log.gz");
    let raw = BufReader::with_capacity(1 << 20, invented(size));
    let summary = gzip::compress(raw, BufWriter::new(File::create(&path).unwrap()), line_facts).unwrap();
    sqlx::query("update log set uri = $2, raw_bytes = $3, gzip_bytes = $4, lines = $5 where id::text = $1")
        .bind(run)
        .bind(format!("file://{}", path.canonicalize().unwrap().display()))
        .bind(summary.raw_bytes as i64)
        .bind(summary.gzip_bytes as i64)
        .bind(summary.lines as i64)
        .execute(&site.desk.db.pool)
        .await
        .unwrap();
    summary.lines
}

/// The bytes, and the lines, of a run's log.
async fn size_of(site: &Site, run: &str) -> (i64, i64) {
    let log = sqlx::query_as("select raw_bytes, lines from log where id::text = $1 and state = 'archived'");
    log.bind(run).fetch_one(&site.desk.db.pool).await.unwrap()
}

#[tokio::test]
async fn any_line_of_a_log_of_1_gb_is_on_screen_for_little() {
    let site = Site::new().await;
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let lines = enlarge(&site, &run, 1 << 30).await;
    any_line_is_on_screen(site, &run, lines, lines / LINES_FOR_AN_ERROR);
}

#[tokio::test]
#[ignore = "takes minutes: an external parser logs 10 GB"]
async fn any_line_of_a_log_of_10_gb_is_on_screen_at_once_too() {
    const LINES: u64 = 30_000_000;
    let site = Site::new().await;
    let script = format!(
        r#"exec awk 'BEGIN {{ for (i = 1; i <= {LINES}; i++) printf( \
            "{{\"level\":\"%s\",\"record\":%d,\"message\":\"item %d FAMILY_TYPE of the family in case %d is %d, which is \
neither a number between 1 and 3 nor blank; the published instructions say what each number means\"}}\n", \
            i % {LINES_FOR_AN_ERROR} ? "warn" : "error", i, i % 89, i * 7919 % 65521, i * 31 % 9973) }}'"#
    );
    let script = site.desk.file("talks.sh", &script);
    let rule = format!("tanf/*=sh {script}");
    let run = parse(&site.desk, "talks.txt", "x", &["--parser-for", &rule, "--log-cap", "20GiB"]);
    let (bytes, lines) = size_of(&site, &run).await;
    assert!(bytes >= 10_000_000_000, "{bytes} bytes in {lines} lines");
    let Some(took) = any_line_is_on_screen(site, &run, lines as u64, LINES / LINES_FOR_AN_ERROR) else {
        return;
    };
    assert!(took.line <= ON_SCREEN && took.level <= FILTERED, "{took:?}");
}

/// An answer ends after some megabytes, or after a while: then it has few of the lines that match.
#[tokio::test]
async fn the_window_is_filled_though_each_answer_has_few_lines() {
    let site = Site::new().await;
    let script = site.desk.file("lines.sh", "seq 40 | sed 's/.*/{\"level\":\"warn\",\"message\":\"&\"}/'");
    let rule = format!("tanf/*=sh {script}");
    let run = parse(&site.desk, "lines.txt", "x", &["--parser-for", &rule]);
    let Some((browser, origin)) = signed_in(&site) else { return };
    browser.go(&format!("{origin}/runs/{run}/log?level=warn"));
    browser.wait("the viewer is there", "return document.querySelector('.tools') !== null");
    browser.run(
        "const plain = window.fetch; \
         window.fetch = (asked, ...how) => plain(String(asked).replace(/count=\\d+/, 'count=3'), ...how); \
         await document.querySelector('log-viewer').load('from=1')",
        &[],
    );
    browser.wait("all lines are there", "return document.querySelectorAll('.lines li.warn').length === 40");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
}

/// How long it took to have a line on screen, in the median, and the first lines of a level, at the longest.
#[derive(Debug, Default)]
struct Took {
    line: Duration,
    level: Duration,
}

/// Has lines of all parts on screen, each for little; `None` without a browser. What it takes is for the caller to
/// judge: a machine may be slow.
#[expect(clippy::print_stderr, reason = "whoever runs it alone sees its figures")]
fn any_line_is_on_screen(site: Site, run: &str, lines: u64, errors: u64) -> Option<Took> {
    let (browser, origin) = signed_in(&site)?;
    assert!(lines > 1_000_000);
    // The problems of such a log are counted only if somebody asks.
    browser.go(&format!("{origin}/runs/{run}"));
    browser.wait("the page is there", "return document.body.innerText.includes('counted only if you ask')");
    browser.go(&format!("{origin}/runs/{run}/log"));
    browser.wait("the viewer is there", "return document.querySelector('.tools') !== null");
    browser.run(
        "window.costs = []; const plain = window.fetch; \
         window.fetch = async (...asked) => { const answer = await plain(...asked); \
           answer.clone().json().then((said) => window.costs.push([said.requests, said.bytes])); return answer; }",
        &[],
    );
    let mut took = Vec::new();
    for nth in 0..20_u64 {
        let line = 1 + (nth * 7_919_993 + 12_345) % lines;
        let said = browser.run(
            "const viewer = document.querySelector('log-viewer'); const began = performance.now(); \
             window.costs = []; await viewer.goTo(arguments[0], true); \
             await new Promise((done) => requestAnimationFrame(done)); \
             const took = performance.now() - began; \
             const at = document.querySelector('#L' + arguments[0]); const box = viewer.box.getBoundingClientRect(); \
             const seen = at && at.getBoundingClientRect(); \
             const isSeen = seen && seen.top >= box.top - 1 && seen.bottom <= box.bottom + 1; \
             const costs = window.costs.slice(0, 1); \
             await new Promise((done) => setTimeout(done, 200)); \
             return [isSeen, took, costs, document.querySelectorAll('*').length]",
            &[json!(line)],
        );
        assert_eq!(said[0], true, "line {line} is not on screen: {said}");
        took.push(Duration::from_secs_f64(said[1].as_f64().unwrap() / 1000.0));
        for cost in said[2].as_array().unwrap() {
            let (requests, bytes) = (cost[0].as_u64().unwrap(), cost[1].as_u64().unwrap());
            assert!(
                requests <= REQUESTS && bytes <= BYTES,
                "line {line} cost {requests} requests, {bytes} bytes"
            );
        }
        assert!(said[3].as_u64().unwrap() <= ELEMENTS, "{} elements", said[3]);
    }
    took.sort();
    let mut all = Took { line: took[took.len() / 2], ..Took::default() };
    // Scrolling goes on and on, and the page stays as small.
    let said = browser.run(
        "const viewer = document.querySelector('log-viewer'); await viewer.goTo(1, false); \
         for (let step = 0; step < 60 || (viewer.top() <= 1000 && step < 6000); step++) { viewer.box.scrollTop += 2000; await new Promise((done) => setTimeout(done, 30)); } \
         return [viewer.top(), document.querySelectorAll('*').length]",
        &[],
    );
    assert!(said[0].as_u64().unwrap() > 1000 && said[1].as_u64().unwrap() <= ELEMENTS, "{said}");
    // Its few errors, and that it has no line of another level, the index alone knows; so is its map drawn.
    for (level, wanted) in [
        ("error", format!("return document.querySelectorAll('.lines li.error').length === {errors}")),
        ("warn", "return document.querySelectorAll('.lines li.warn').length >= 200".to_owned()),
    ] {
        let said = browser.run(
            "const viewer = document.querySelector('log-viewer'); viewer.form.elements.level.value = arguments[0]; \
             const began = performance.now(); await viewer.load('from=1'); \
             await new Promise((done) => requestAnimationFrame(done)); return performance.now() - began",
            &[json!(level)],
        );
        all.level = all.level.max(Duration::from_secs_f64(said.as_f64().unwrap() / 1000.0));
        browser.wait(&format!("lines of {level} are there"), &wanted);
    }
    browser.wait("the map is there", "return document.querySelector('canvas.map').hidden === false");
    browser.tell("HeapProfiler.collectGarbage", &json!({}));
    let heap = browser.tell("Runtime.getHeapUsage", &json!({}))["usedSize"].as_f64().unwrap() as u64;
    assert!(heap <= HEAP, "its scripts hold {heap} bytes");
    eprintln!("{lines} lines: a line on screen in {:?} to {:?}, heap {heap} bytes", took[0], took[19]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
    Some(all)
}
