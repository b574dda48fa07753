//! The viewer of a log, without JavaScript and as its script asks: windows, filters, the first error, a growing log,
//! and downloads.

use std::io::{BufRead as _, Read as _};
use std::process::Stdio;

use flate2::read::MultiGzDecoder;
use serde_json::json;

use super::{Site, parse};
use crate::http::{Client, wait_until};
use crate::support::Desk;

/// A run whose log has many lines: numbered ones, with a warning at each hundredth and one error.
fn numbered(desk: &Desk, lines: u32) -> String {
    let script = desk.file(
        "lines.sh",
        &format!(
            "i=1; while [ $i -le {lines} ]; do l=info; [ $((i % 100)) -ne 0 ] || l=warn; [ $i -ne 777 ] || l=error\n\
             echo '{{\"level\":\"'$l'\",\"message\":\"this is number '$i'\",\"record\":'$((i % 50 + 1))',\
             \"half\":\"'$([ $i -le 500 ] && echo first || echo last)'\",\"in\":{{\"nth\":'$i'}}}}'; \
             i=$((i + 1)); done"
        ),
    );
    parse(desk, "many.txt", "x", &["--parser-for", &format!("tanf/*=sh {script}")])
}

#[tokio::test]
async fn a_log_is_a_window_of_lines_with_links_to_the_next_and_the_one_before() {
    let site = Site::new().await;
    let run = numbered(&site.desk, 1000);
    let whole = site.desk.ok(&["logs", &run, "--utc"]).out;
    let all: Vec<&str> = whole.lines().collect();
    let first = site.page(&format!("/runs/{run}/log"));
    assert_eq!(first.lines().len(), 200);
    assert_eq!(first.lines()[0].0, 1);
    let mut seen = first.lines();
    let mut path = first.link("Lines after");
    loop {
        let page = site.page(&path);
        seen.extend(page.lines());
        let Some(next) = page.all("a").find(|link| link.text == "Lines after") else { break };
        path = next.attributes["href"].clone();
    }
    let numbers: Vec<u64> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    // A page shows what the command shows.
    for ((_, line), said) in seen.iter().zip(&all) {
        let line = line.replace(['✕', '▲'], "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, said.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let last = site.page(&path);
    let back = site.page(&last.link("Lines before"));
    assert_eq!(back.lines().last().unwrap().0 + 1, last.lines()[0].0);
    let end = site.page(&format!("/runs/{run}/log?at=end"));
    assert_eq!(end.lines().last().unwrap().0, all.len() as u64);
    site.served.stop();
}

#[tokio::test]
async fn the_first_error_a_level_a_text_and_a_record_are_found_in_the_whole_log() {
    let site = Site::new().await;
    let run = numbered(&site.desk, 1000);
    let at_error = site.page(&format!("/runs/{run}/log?at=first-error"));
    let marked: Vec<_> = at_error
        .all("li")
        .filter(|line| line.attributes.get("class").is_some_and(|class| class.contains("target")))
        .collect();
    assert_eq!(marked.len(), 1);
    assert!(
        marked[0].text.contains("this is number 777") && marked[0].text.contains('✕'),
        "{}",
        marked[0].text
    );
    let found = |conditions: &str| {
        let lines = site.page(&format!("/runs/{run}/log?{conditions}")).lines();
        lines.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    let warnings = found("level=warn");
    assert_eq!(warnings.iter().filter(|line| line.contains("number")).count(), 11);
    assert_eq!(found("q=NUMBER+77").len(), 11);
    assert_eq!(found("q=/number+77%5B0-9%5D/").len(), 10);
    assert_eq!(found("record=17").len(), 20);
    assert_eq!(found("count=500&field=half%3Dfirst").len(), 500);
    assert_eq!(found("field=half%3Dfirst&field=in.nth%3D3&level=info").len(), 1);
    assert!(found("q=%3Cb%3E").is_empty());
    // As the script asks for the next and the previous error.
    let near = |query: &str| site.json(&format!("/runs/{run}/log/lines?{query}&level=error&count=1"));
    let error = near("from=1")["lines"][0]["n"].as_u64().unwrap();
    assert_eq!(
        near(&format!("from={}", error + 1))["lines"][0]["text"].as_str().map(|text| text.contains("777")),
        None
    );
    assert_eq!(near(&format!("before={}", error + 1))["lines"][0]["n"].as_u64(), Some(error));
    let notes: i64 = sqlx::query_scalar(
        "select count(*) from log_entry where run_id::text = $1 and entry in ('log-read', 'log-searched')",
    )
    .bind(&run)
    .fetch_one(&site.desk.db.pool)
    .await
    .unwrap();
    assert!(notes >= 9, "{notes} readings are in the audit log");
    site.served.stop();
}

#[tokio::test]
async fn the_map_of_a_log_says_where_its_errors_and_warnings_are() {
    let site = Site::new().await;
    let run = numbered(&site.desk, 1000);
    let map = site.json(&format!("/runs/{run}/log/map"));
    let total = map["total"].as_u64().unwrap();
    let parts: Vec<[u64; 2]> = serde_json::from_value(map["parts"].clone()).unwrap();
    // As many lines as the log has of each level, where the log has them.
    let lines = |level: &str| {
        let found = site.json(&format!("/runs/{run}/log/lines?count=500&level={level}"));
        let lines = found["lines"].as_array().unwrap().clone();
        let lines = lines.into_iter().filter(|line| line["level"].as_str() == Some(&level.to_uppercase()));
        lines.map(|line| line["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (nth, level) in ["error", "warn"].into_iter().enumerate() {
        let lines = lines(level);
        assert!(!lines.is_empty(), "{level}");
        let mut wanted = vec![0; parts.len()];
        lines.iter().for_each(|line| wanted[((line - 1) * parts.len() as u64 / total) as usize] += 1);
        assert_eq!(parts.iter().map(|part| part[nth]).collect::<Vec<_>>(), wanted, "{level}");
    }
    site.served.stop();
}

#[tokio::test]
async fn each_kind_of_problem_leads_to_the_line_of_the_log_that_has_the_first() {
    let site = Site::new().await;
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let beside = site.json(&format!("/runs/{run}/log/problems"));
    let kinds = beside["kinds"].as_array().unwrap();
    assert_eq!(beside["mayAsk"], false);
    assert!(beside["said"].as_str().unwrap().contains(&format!("{} kinds", kinds.len())), "{beside}");
    for kind in kinds {
        let line = kind["line"].as_u64().unwrap();
        let found = site.json(&format!("/runs/{run}/log/lines?from={line}&count=1"));
        let text = found["lines"][0]["text"].as_str().unwrap();
        let beginning = kind["text"].as_str().unwrap().split('…').next().unwrap();
        assert!(text.contains(beginning), "{kind} is not in {text}");
    }
    // A log that would take long to read is read only if somebody asks.
    let large = site.parse("other.txt", "tanf-active-2021-q1.txt");
    sqlx::query("update log set raw_bytes = 70000000 where id::text = $1")
        .bind(&large)
        .execute(&site.desk.db.pool)
        .await
        .unwrap();
    let beside = site.json(&format!("/runs/{large}/log/problems"));
    assert_eq!((&beside["mayAsk"], &beside["kinds"]), (&json!(true), &json!([])));
    site.served.stop();
}

#[tokio::test]
async fn a_download_is_what_the_command_prints() {
    let site = Site::new().await;
    let run = numbered(&site.desk, 300);
    let download = |query: &str| {
        let answer = site.get(&format!("/runs/{run}/log/download?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"many.txt-")
        );
        answer.body
    };
    let printed = |options: &[&str]| site.desk.stdout(&[&["logs", &run, "--utc"], options].concat());
    assert!(download("as=log") == printed(&[]));
    assert!(download("as=ndjson") == printed(&["-o", "raw"]));
    assert!(download("as=ndjson&level=warn") == printed(&["-o", "raw", "--level", "warn"]));
    let chosen = ["-o", "raw", "--level", "warn", "--field", "half=first"];
    for (query, wanted) in [
        ("as=log.gz", printed(&["-o", "raw"])),
        ("as=log.gz&level=warn&field=half%3Dfirst", printed(&chosen)),
    ] {
        let mut inflated = Vec::new();
        MultiGzDecoder::new(&download(query)[..]).read_to_end(&mut inflated).unwrap();
        assert!(inflated == wanted, "{query}");
    }
    let report = site.get(&format!("/runs/{run}/report?as=csv"));
    assert_eq!(report.body, site.desk.stdout(&["report", &run, "--format", "csv"]));
    site.served.stop();
}

/// Reads server-sent events, until their end or so many: id and data.
fn events(site: &Site, path: &str, last: Option<u64>, most: usize) -> (Vec<(u64, String)>, bool) {
    let mut client = Client::to(site.served.address);
    let port = site.served.address.port();
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    let token = &site.token;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n{last}\r\n"
    );
    client.send(head.as_bytes()).unwrap();
    let answer = client.head().unwrap();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{answer:?}");
    let (mut found, mut id) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if client.stream.read_line(&mut line).unwrap() == 0 || found.len() >= most {
            return (found, false);
        }
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().parse().unwrap();
        } else if let Some(text) = line.strip_prefix("data: {\"n\"") {
            found.push((id, text.trim().to_owned()));
        } else if line.trim() == "event: end" {
            return (found, true);
        }
    }
}

#[tokio::test]
async fn a_growing_log_comes_line_by_line_and_goes_on_where_it_was_cut() {
    let site = Site::new().await;
    let go = site.desk.home.path().join("go");
    let script = site.desk.file(
        "slow.sh",
        &format!(
            "for i in 1 2 3 4 5; do echo line $i; done; until [ -e {} ]; do sleep 0.05; done; for i in 6 7 8; do echo line $i; done",
            go.display()
        ),
    );
    let file = site.desk.file("slow.txt", "x");
    let what =
        ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", "--state", "WI"];
    let said = site.desk.ok(&[&["submit", "--json", &file], &what[..]].concat()).json();
    let run = said[0]["run_id"].as_str().unwrap().to_owned();
    let rule = format!("tanf/*=sh {script}");
    let mut worker = site.desk.command(&["worker", "--drain", "--parser-for", &rule]);
    let mut worker = worker.stderr(Stdio::null()).spawn().unwrap();
    let lines = format!("/runs/{run}/log/lines");
    wait_until("the first lines are there", || {
        let answer = site.get(&lines);
        answer.status == 200 && answer.text().contains("line 5")
    });
    let page = site.json(&lines);
    assert_eq!(page["open"], true);
    let total = page["total"].as_u64().unwrap();
    let path = format!("/runs/{run}/log/events?from=1");
    let (first, has_ended) = events(&site, &path, None, 3);
    assert_eq!((first.len(), has_ended, first[0].0), (3, false, 1));
    std::fs::write(&go, "").unwrap();
    // The browser asks again with the last line that it has.
    let (rest, has_ended) = events(&site, &path, Some(first[2].0), usize::MAX);
    assert!(has_ended);
    let ids: Vec<u64> = first.iter().chain(&rest).map(|(id, _)| *id).collect();
    assert_eq!(
        ids,
        (1..=ids.len() as u64).collect::<Vec<_>>(),
        "nothing is missing, and nothing comes twice"
    );
    assert!(ids.len() as u64 > total && rest.iter().any(|(_, line)| line.contains("line 8")));
    assert!(worker.wait().unwrap().success());
    let (all, has_ended) = events(&site, &path, None, usize::MAX);
    assert_eq!((all.len(), has_ended), (ids.len(), true), "an archived log comes whole, and ends");
    site.served.stop();
}
