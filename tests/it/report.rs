//! The error report: the same facts as the log in every form, nothing private, nothing that runs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::process::{Child, Stdio};

use calamine::{Data, Reader, Xlsx};
use chrono::Utc;
use parselog::config::ReportFormat;
use parselog::ids::{BatchId, DataFileId, RunId};
use parselog::record::{Ending, Head, LevelCounts, SCHEMA_VERSION, Tail};
use parselog::redact::Redactor;
use parselog::report::Report;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::Desk;

/// The problems as texts, in one form for all formats.
type Problems = Vec<Vec<String>>;

/// The columns by which the formats are compared.
const COLUMNS: [&str; 8] = ["record", "month", "case", "record_type", "item", "field", "category", "message"];

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn of_log(log: &[u8]) -> Problems {
    let lines = log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let records = lines.map(|line| serde_json::from_slice(line).expect("a record"));
    let problems = records.filter(|record: &Value| record["target"] == "parselog::problem");
    let column = |record: &Value, name: &str| match name {
        "record" | "message" => text(&record[name]),
        name => text(&record["fields"][name]),
    };
    problems.map(|record| COLUMNS.map(|name| column(&record, name)).to_vec()).collect()
}

fn of_json(report: &Value) -> Problems {
    let problems = report["problems"].as_array().expect("problems");
    problems.iter().map(|problem| COLUMNS.map(|name| text(&problem[name])).to_vec()).collect()
}

/// The rows of one part, each with its cells by name.
fn of_csv(table: &[u8], part: &str) -> Vec<Map<String, Value>> {
    let mut reader = csv::Reader::from_reader(table);
    let names = reader.headers().expect("headings").clone();
    let rows = reader.records().map(|row| row.expect("a row"));
    let rows = rows.map(|row| {
        let cells = names.iter().zip(row.iter());
        cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect::<Map<_, _>>()
    });
    rows.filter(|row| row["part"] == part).collect()
}

fn sheet(book: &[u8], name: &str) -> Vec<Vec<String>> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(book.to_vec())).expect("a workbook");
    let range = book.worksheet_range(name).expect("the sheet");
    range.rows().map(|row| row.iter().map(ToString::to_string).collect()).collect()
}

fn problems_of_csv(table: &[u8]) -> Problems {
    let column = |row: &Map<String, Value>, name| text(&row[if name == "message" { "text" } else { name }]);
    of_csv(table, "problem").iter().map(|row| COLUMNS.map(|name| column(row, name)).to_vec()).collect()
}

fn problems_of_xlsx(book: &[u8]) -> Problems {
    let rows = sheet(book, "Problems");
    // Kind stands between category and message.
    rows.into_iter().skip(1).map(|row| [&row[..7], &row[8..9]].concat()).collect()
}

#[tokio::test]
async fn every_form_of_the_report_says_what_the_log_says() {
    let desk = Desk::new().await;
    let path = desk.path("broken.txt");
    desk.stdout(&["sample", "--cases", "150", "--error-rate", "0.4", &path]);
    let row: Value = serde_json::from_slice(&desk.stdout(&["run", "--json", &path])).expect("the row");
    let log = of_log(&desk.stdout(&["logs", "@latest", "--json"]));
    assert!(log.len() > 50);

    let json: Value = serde_json::from_slice(&desk.stdout(&["report", "@latest", "--format", "json"]))
        .expect("one JSON object");
    let table = desk.stdout(&["report", "@latest"]);
    let out = desk.path("report.xlsx");
    desk.stdout(&["report", "@latest", "--out", &out]);
    let book = fs::read(out).expect("the workbook");
    assert_eq!(desk.stdout(&["report", "@latest", "--format", "xlsx"])[..2], *b"PK");

    assert_eq!(of_json(&json), log);
    assert_eq!(problems_of_csv(&table), log);
    assert_eq!(problems_of_xlsx(&book), log);

    let summary = &json["summary"];
    for (fact, column) in [
        ("verdict", "summary_status"),
        ("records_in_file", "records_in_file"),
        ("records_created", "records_created"),
        ("created_by_type", "created_by_type"),
        ("problems", "error_count"),
        ("by_category", "error_counts"),
        ("run", "id"),
        ("log", "logs_uri"),
        ("file", "name"),
        ("program", "program"),
        ("fiscal_year", "fiscal_year"),
    ] {
        assert_eq!(summary[fact], row[column], "{fact}");
    }
    assert_eq!(summary["first_error"]["message"], row["first_error"]);
    assert_eq!(summary["first_error"]["record"], row["first_error_record"]);
    let facts = of_csv(&table, "summary");
    let verdict = facts.iter().find(|row| row["name"] == "verdict").expect("the verdict");
    assert_eq!(verdict["text"], row["summary_status"]);
    assert!(sheet(&book, "Summary").iter().any(|cells| cells[1] == text(&row["summary_status"])));

    let groups = json["groups"].as_array().expect("groups");
    assert_eq!(
        groups.iter().map(|group| group["count"].as_u64().expect("a count")).sum::<u64>(),
        log.len() as u64
    );
    assert!(groups.len() < log.len());
    let counts = |rows: Vec<String>| rows.join(" ");
    let of_groups = counts(groups.iter().map(|group| group["count"].to_string()).collect());
    assert_eq!(counts(of_csv(&table, "group").iter().map(|row| text(&row["count"])).collect()), of_groups);
    assert_eq!(counts(sheet(&book, "Groups").iter().skip(1).map(|row| row[0].clone()).collect()), of_groups);
}

#[tokio::test]
async fn no_sensitive_value_is_in_the_log_the_row_the_global_log_or_any_report() {
    let desk = Desk::new().await;
    let path = desk.path("broken.txt");
    let sample = desk.stdout(&["sample", "--cases", "60", "--error-rate", "0.5"]);
    let mut secrets = BTreeSet::new();
    let mut broken = Vec::new();
    for (line, number) in sample.split_inclusive(|&byte| byte == b'\n').zip(0..) {
        let mut line = line.to_vec();
        // Birth date and number of an adult (T2) or a child (T3): neither can be read as such.
        let at = match &line[..2] {
            b"T2" => 21,
            b"T3" => 20,
            _ => 0,
        };
        if at > 0 && line.len() > 40 {
            line[at..at + 8].copy_from_slice(format!("{}", 18_770_000 + number).as_bytes());
            line[at + 8..at + 17].copy_from_slice(format!("9{number:03}X8{number:03}").as_bytes());
            for secret in [&line[8..19], &line[at..at + 8], &line[at + 8..at + 17]] {
                secrets.insert(String::from_utf8_lossy(secret).into_owned());
            }
        }
        broken.extend(line);
    }
    fs::write(&path, broken).expect("write");

    let run =
        desk.command(&["run", "--json", "--reports", "json", "--global-level", "debug", &path]).output();
    let run = run.expect("the command starts");
    let mut said = vec![run.stdout, run.stderr];
    for format in ["csv", "json"] {
        said.push(desk.stdout(&["report", "@latest", "--format", format]));
    }
    let book = desk.stdout(&["report", "@latest", "--format", "xlsx"]);
    said.extend(
        ["Summary", "Groups", "Problems"].map(|name| format!("{:?}", sheet(&book, name)).into_bytes()),
    );
    said.push(desk.stdout(&["logs", "@latest", "--json"]));
    let stored = desk.files("objects").into_iter().filter(|path| path.contains(".report."));
    said.extend(stored.map(|path| fs::read(path).expect("the stored report")));

    let problems = String::from_utf8_lossy(&said[2]).into_owned();
    assert!(problems.contains("DATE_OF_BIRTH") && problems.contains("SSN"), "{problems}");
    assert!(secrets.len() > 100);
    for secret in secrets {
        for text in &said {
            let text = String::from_utf8_lossy(text);
            let at = text.find(&secret).map(|at| text[..at].lines().count());
            assert_eq!(at, None, "{secret} is in a text that begins {}", &text[..60]);
        }
    }
}

#[tokio::test]
async fn a_report_is_stored_beside_the_log_when_configured_and_its_failure_changes_nothing() {
    let desk = Desk::new().await;
    let path = desk.path("broken.txt");
    desk.stdout(&["sample", "--cases", "20", "--error-rate", "0.4", &path]);
    let stored = || -> Vec<String> {
        desk.files("objects").into_iter().filter(|path| path.contains(".report.")).collect()
    };

    desk.stdout(&["run", &path]);
    assert_eq!(stored(), Vec::<String>::new());

    for format in ["csv", "json", "xlsx"] {
        let mut run = desk.command(&["run", &path]);
        let run = run.env("PARSELOG_REPORTS", format).output().expect("the command starts");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let said = String::from_utf8(run.stdout).expect("UTF-8");
        let uri_of = |what: &str| {
            let line = said.lines().find(|line| line.trim_start().starts_with(what)).expect("a line");
            line.split_whitespace().last().expect("a URI").split('?').next().expect("a URI").to_owned()
        };
        assert_eq!(uri_of("report"), uri_of("log").replace(".log.gz", &format!(".report.{format}")));
        let of_format: Vec<String> =
            stored().into_iter().filter(|path| path.contains(&format!(".report.{format}"))).collect();
        let report = of_format.iter().map(|path| fs::read(path).expect("the report"));
        let report = report.max_by_key(Vec::len).expect("a stored report");
        if format == "xlsx" {
            assert!(sheet(&report, "Problems").len() > 1);
        } else {
            assert_eq!(report, desk.stdout(&["report", "@latest", "--format", format]));
        }
    }

    // Where the logs' folder should be is a file: nothing can be stored in it.
    let folder = stored()[0].split_once("parsing_logs").expect("the folder").0.to_owned() + "parsing_logs";
    fs::remove_dir_all(&folder).expect("remove");
    fs::write(&folder, "").expect("write");
    let mut run = desk.command(&["run", "--json", &path]);
    let run = run.env("PARSELOG_REPORTS", "csv").output().expect("the command starts");
    assert!(run.status.success());
    let row: Value = serde_json::from_slice(&run.stdout).expect("the row");
    assert_eq!((row["status"].as_str(), row["log_state"].as_str()), (Some("success"), Some("fallback")));
    assert_eq!(row.get("report_uri"), None);
    assert!(String::from_utf8_lossy(&run.stderr).contains("the error report is not stored"));
    let scratch = desk.files("scratch");
    assert!(scratch.is_empty(), "left over: {scratch:?}");
}

#[test]
fn no_cell_of_a_report_is_a_formula() {
    let evil = "=cmd|' /C calc'!A0";
    let fields =
        json!({"category": 2, "record_type": "+T1", "item": "-1", "field": "@SUM(A1)", "month": " =1"});
    let log = log(RunId::new(), &[problem(1, evil, &fields)]);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    fs::write(&path, &log).expect("write");
    let file = File::open(&path).expect("open");
    let mut report = Report::of_file(file, Redactor::default(), folder.path()).expect("report");
    let mut written = |format| {
        let mut out = Vec::new();
        report.write(format, &mut out).expect("write");
        out
    };

    let table = written(ReportFormat::Csv);
    let mut cells = csv::ReaderBuilder::new().has_headers(false).from_reader(&table[..]);
    for row in cells.records() {
        for cell in &row.expect("a row") {
            assert!(!cell.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
    assert!(String::from_utf8_lossy(&table).contains(&format!("'{evil}")));

    let book = written(ReportFormat::Xlsx);
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(book.clone())).expect("a workbook");
    let range = workbook.worksheet_range("Problems").expect("the sheet");
    assert!(range.rows().flatten().any(|cell| *cell == Data::String(evil.to_owned())));
    for name in ["Summary", "Groups", "Problems"] {
        let formulas = workbook.worksheet_formula(name).expect("the sheet");
        assert!(formulas.rows().flatten().all(String::is_empty), "{formulas:?}");
    }
    let json: Value = serde_json::from_slice(&written(ReportFormat::Json)).expect("JSON");
    assert_eq!(json["problems"][0]["message"], evil);
}

#[tokio::test]
async fn a_log_of_100_000_problems_takes_no_more_memory_than_one_of_10_000() {
    let desk = Desk::new().await;
    desk.stdout(&["migrate"]);
    let queued = desk.db.submit(&["sent/short.txt", "sent/long.txt"]).await;
    let spool = desk.home.path().join("spool");
    fs::create_dir_all(&spool).expect("the spool");
    let fields = json!({"category": 2, "record_type": "T1", "item": "4", "field": "MONTH"});
    for (run, problems) in [(queued[0].run_id, 10_000), (queued[1].run_id, 100_000)] {
        let of_record = |n| problem(n, &format!("item 4 MONTH is '{n}' and must be a month"), &fields);
        let lines: Vec<String> = (1..=problems).map(of_record).collect();
        fs::write(spool.join(format!("{run}.log")), log(run, &lines)).expect("the log");
    }
    for format in ["csv", "json", "xlsx"] {
        let peaks = [(queued[0].run_id, 10_000), (queued[1].run_id, 100_000)].map(|(run, problems)| {
            let mut report = desk.command(&["report", &run.to_string(), "--format", format]);
            let report = report.stdout(Stdio::piped()).spawn().expect("the command starts");
            let (bytes, peak) = read_and_watch(report);
            let lines = bytes.split(|&byte| byte == b'\n');
            let is_problem =
                |line: &&[u8]| line.starts_with(b"problem,") || line.starts_with(b"{\"record\":");
            assert!(format == "xlsx" || lines.filter(is_problem).count() == problems, "{format}, {problems}");
            peak
        });
        assert!(peaks[1] < peaks[0] + 8 * 1024, "{format}: {} KiB, then {} KiB", peaks[0], peaks[1]);
    }
}

/// Reads what a child writes and the most memory (KiB) that it ever held. It must write more than a
/// pipe holds: then it can't end before the last looks at it.
fn read_and_watch(mut child: Child) -> (Vec<u8>, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut out = child.stdout.take().expect("a pipe");
    let (mut bytes, mut peak) = (Vec::new(), 0);
    let mut buffer = vec![0; 1 << 14];
    loop {
        let held = fs::read_to_string(&status).unwrap_or_default();
        let held = held.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = peak.max(held.and_then(|held| held.parse().ok()).unwrap_or_default());
        match out.read(&mut buffer).expect("read") {
            0 => break,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    assert!(child.wait().expect("its end").success());
    assert!(peak > 0, "no look at the child's memory");
    (bytes, peak)
}

/// A complete log with these problems.
fn log(run: RunId, problems: &[String]) -> Vec<u8> {
    let head = Head {
        version: SCHEMA_VERSION,
        run,
        lease_token: Uuid::nil(),
        attempt: 1,
        data_file: DataFileId(1),
        batch: BatchId(1),
        reparse: None,
        bucket: "files".to_owned(),
        key: "sent/file.txt".to_owned(),
        object_version: String::new(),
        log_key: "sent/parsing_logs/parse-datafile-1.log.gz".to_owned(),
        worker: "test".to_owned(),
        started: Utc::now(),
    };
    let tail = Tail {
        ending: Ending::Success,
        reason: Some("Accepted with Errors".to_owned()),
        events: LevelCounts::default(),
        dropped: 0,
    };
    let mut log = head.to_line();
    for line in problems {
        writeln!(log, "{line}").expect("a vector takes everything");
    }
    log.extend(tail.to_line(Utc::now()));
    log
}

fn problem(record: u64, message: &str, fields: &Value) -> String {
    json!({
        "timestamp": "2026-11-21T06:30:23.123456Z", "seq": record, "level": "WARN",
        "target": "parselog::problem", "message": message, "record": record, "fields": fields,
    })
    .to_string()
}
