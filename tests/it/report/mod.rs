//! The error report: the same facts as the log in every form, nothing private, nothing that runs.

mod storing;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::process::{Child, Stdio};

use calamine::{Data, Reader, Xlsx};
use chrono::Utc;
use parselog::config::ReportFormat;
use parselog::ids::RunId;
use parselog::record::{LevelCounts, LogEnding, Tail};
use parselog::redact::Redactor;
use parselog::report::Report;
use serde_json::{Map, Value, json};

use crate::support::{Desk, head_of_run, sample};

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
        ("cases", "cases"),
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
    let summary_sheet = sheet(&book, "Summary");
    assert!(summary_sheet.iter().any(|cells| cells[1] == text(&row["summary_status"])));
    let months = row["cases"]["months"].as_object().expect("months");
    assert_eq!(months.len(), 3);
    for (month, cases) in months {
        for (what, field) in
            [("without errors", "accepted_without_errors"), ("with errors", "accepted_with_errors")]
        {
            let name = format!("cases accepted {what}");
            let in_csv =
                facts.iter().find(|row| row["name"] == *name && row["month"] == *month).expect("a month");
            assert_eq!(text(&in_csv["count"]), text(&cases[field]));
            let cells = [month.clone(), format!("accepted {what}"), text(&cases[field])];
            assert!(summary_sheet.iter().any(|row| row[..3] == cells), "{cells:?}");
        }
    }

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
async fn a_report_has_its_time_in_this_machines_zone_and_names_it() {
    let desk = Desk::new().await;
    desk.stdout(&["run", &sample("tanf-active-2021-q1.txt")]);
    let started = |format: &str, options: &[&str]| {
        let arguments = [&["report", "@latest", "--format", format], options].concat();
        let report = desk.command(&arguments).env("TZ", "MST7").output().expect("a report").stdout;
        match format {
            "csv" => {
                let facts = of_csv(&report, "summary");
                text(&facts.iter().find(|row| row["name"] == "started").expect("the time")["text"])
            }
            "xlsx" => {
                let facts = sheet(&report, "Summary");
                facts.iter().find(|cells| cells[0] == "started").expect("the time")[1].clone()
            }
            _ => text(&serde_json::from_slice::<Value>(&report).expect("JSON")["summary"]["started"]),
        }
    };
    let in_json = started("json", &[]);
    let time = chrono::DateTime::parse_from_rfc3339(&in_json).expect("a time").to_utc();
    assert!(in_json.ends_with('Z'), "{in_json}");
    let there = time.with_timezone(&chrono::FixedOffset::west_opt(7 * 3600).expect("an offset"));
    assert_eq!(started("csv", &[]), there.format("%Y-%m-%dT%H:%M:%S-07:00").to_string());
    assert_eq!(started("xlsx", &[]), there.format("%Y-%m-%d %H:%M:%S -07:00").to_string());
    assert_eq!(started("csv", &["--utc"]), time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    assert_eq!(started("xlsx", &["--utc"]), time.format("%Y-%m-%d %H:%M:%S UTC").to_string());
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

/// A complete log with these problems.
fn log(run: RunId, problems: &[String]) -> Vec<u8> {
    let head = head_of_run(run);
    let tail = Tail {
        ending: LogEnding::Success,
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
