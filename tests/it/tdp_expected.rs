//! The table of what the real system's own tests assert, where its folder is at hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::tdp_support::{As, Logged, Parsed, parse};

fn folder() -> PathBuf {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tdp"));
    std::env::var_os("PARSELOG_TDP").map_or_else(beside, PathBuf::from)
}

#[test]
fn the_parser_agrees_with_every_row_of_the_table() {
    let folder = folder();
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        eprintln!("skipped: there is no expected.json in {} (set PARSELOG_TDP)", folder.display());
        return;
    };
    let table: Value = serde_json::from_str(&text).expect("expected.json");
    let (mut rows, mut asserted, mut without_file, mut failures) = (0, 0, 0, Vec::new());
    for row in table["rows"].as_array().expect("rows") {
        let path = folder.join("data").join(text_of(&row["file"]));
        if row["file_available"] == false || !path.is_file() {
            without_file += 1;
            continue;
        }
        let submission = submission_of(row);
        let parsed = parse(&path, text_of(&row["file"]), submission.borrowed());
        let mut checker =
            Checker { parsed: &parsed, submission: &submission, asserted: 0, failures: Vec::new() };
        checker.row(row["expect"].as_object().expect("expect"));
        rows += usize::from(checker.asserted > 0);
        asserted += checker.asserted;
        if !checker.failures.is_empty() {
            let found = parsed
                .problems
                .iter()
                .map(|p| format!("\n      {:?} [{}] {}", p.record, p.category, p.message()));
            let found: String = found.take(30).collect();
            let wrong = checker.failures.join("\n    ");
            failures.push(format!(
                "{}:\n    {wrong}\n    problems: {}{found}",
                row["id"],
                parsed.problems.len()
            ));
        }
    }
    println!("{rows} rows checked, {asserted} assertions; {without_file} rows have no file here");
    assert!(failures.is_empty(), "{} rows disagree:\n{}", failures.len(), failures.join("\n"));
}

struct Said {
    program: &'static str,
    section: &'static str,
    year: i32,
    quarter: u8,
}

impl Said {
    fn borrowed(&self) -> As<'_> {
        As { program: self.program, section: self.section, year: self.year, quarter: self.quarter }
    }
}

fn submission_of(row: &Value) -> Said {
    let program = match (text_of(&row["program_type"]), row["is_program_audit"].as_bool()) {
        (_, Some(true)) => "audit",
        ("TAN", _) => "tanf",
        ("SSP", _) => "ssp",
        ("TRIBAL", _) => "tribal",
        ("FRA", _) => "fra",
        (other, _) => panic!("unknown program {other}"),
    };
    let section = match text_of(&row["section"]) {
        "Active Case Data" => "active",
        "Closed Case Data" => "closed",
        "Aggregate Data" => "aggregate",
        "Stratum Data" => "stratum",
        "Work Outcomes of TANF Exiters" => "work-outcomes",
        other => panic!("unknown section {other}"),
    };
    let year = row["fiscal_year"].as_i64().expect("year") as i32;
    let quarter = text_of(&row["fiscal_quarter"])[1..].parse().expect("quarter");
    Said { program, section, year, quarter }
}

struct Checker<'a> {
    parsed: &'a Parsed,
    submission: &'a Said,
    asserted: usize,
    failures: Vec<String>,
}

impl Checker<'_> {
    fn row(&mut self, expect: &Map<String, Value>) {
        let parsed = self.parsed;
        let outcome = &parsed.outcome;
        for (key, wanted) in expect {
            match key.as_str() {
                "status" => self.same("status", outcome.summary.as_str(), wanted),
                "error_count" => self.same(key, parsed.problems.len(), wanted),
                "error_counts_by_type" => {
                    for (category, count) in object(wanted) {
                        let found = self.count(|p| p.category.to_string() == *category);
                        self.same(&format!("errors of type {category}"), found, count);
                    }
                }
                "error_count_excluding_type_4_and_no_records" => {
                    let found = self.count(|p| p.category != 4 && !(p.category == 1 && p.record.is_none()));
                    self.same(key, found, wanted);
                }
                "error_count_excluding_types_4_and_1" => {
                    let found = self.count(|p| !matches!(p.category, 1 | 4));
                    self.same(key, found, wanted);
                }
                "total_number_of_records_in_file" => self.same(key, outcome.records_in_file, wanted),
                "total_number_of_records_created" => self.same(key, outcome.records_created, wanted),
                "records" => {
                    for (table, count) in object(wanted) {
                        let found = self.table(table).len();
                        self.same(table, found, count);
                        let created = outcome.created_by_type.get(record_type(table)).copied().unwrap_or(0);
                        if self.is_own(table) {
                            self.same(&format!("{table} created"), created, count);
                        }
                    }
                }
                "errors" => self.errors(list(wanted)),
                "case_aggregates" => self.case_aggregates(wanted),
                "case_aggregates_each_month" => self.each_month(wanted),
                "month_totals" => self.month_totals(list(wanted)),
                "field_values" => list(wanted).iter().for_each(|values| self.field_values(object(values))),
                "no_error_containing" => {
                    // The texts are the real system's; here they stand for refusals of the whole file.
                    let found = self.count(|p| p.category == 1);
                    self.same(key, found, &0.into());
                }
                other => panic!("the table asserts {other}, which this test does not know"),
            }
        }
    }

    fn same(&mut self, what: &str, found: impl Into<Value>, wanted: &Value) {
        let found = found.into();
        self.asserted += 1;
        if found != *wanted {
            self.failures.push(format!("{what}: found {found}, expected {wanted}"));
        }
    }

    fn check(&mut self, what: &Value, holds: bool) {
        self.asserted += 1;
        if !holds {
            self.failures.push(format!("no such error: {what}"));
        }
    }

    fn count(&self, matches: impl Fn(&Logged) -> bool) -> usize {
        self.parsed.problems.iter().filter(|problem| matches(problem)).count()
    }

    fn errors(&mut self, wanted: &[Value]) {
        let all: Vec<&Logged> = self.parsed.problems.iter().collect();
        let exactly = wanted.iter().filter(|error| error["order"] == "exactly one").count();
        if exactly > 0 {
            self.same("errors, exactly", all.len(), &exactly.into());
        }
        for error in wanted {
            let order = text_of(&error["order"]);
            let fits = |problem: &&Logged| {
                let category = error["error_type"].as_str().is_none_or(|c| c == problem.category.to_string());
                let row = error["row"].as_u64().is_none_or(|row| row == problem.record.unwrap_or(0));
                let table = error["linked_record_table"].as_str();
                let kind =
                    table.is_none_or(|table| table.to_uppercase().ends_with(problem.text("record_type")));
                category && row && kind
            };
            let on_row: Vec<&Logged> = all
                .iter()
                .filter(|problem| error["row"].as_u64().is_none_or(|row| problem.record == Some(row)))
                .filter(|problem| problem.category != 4 || !order.contains("non-type-4"))
                .copied()
                .collect();
            let index = order
                .rsplit("index ")
                .next()
                .and_then(|rest| rest.split(' ').next())
                .and_then(|n| n.parse().ok());
            let holds = if order == "all" || order.contains("every") || order.ends_with(", all") {
                let count = error["count"].as_u64().is_none_or(|count| count == on_row.len() as u64);
                count && !on_row.is_empty() && on_row.iter().all(fits)
            } else if let Some(index) = index.filter(|_| error.get("row").is_some()) {
                on_row.get::<usize>(index).is_some_and(fits)
            } else if order.starts_with("last") {
                all.last().is_some_and(fits)
            } else if order.starts_with("first type-4") {
                all.iter().find(|problem| problem.category == 4).is_some_and(fits)
            } else if order.starts_with("first") {
                on_row.first().is_some_and(fits)
            } else {
                all.iter().any(fits)
            };
            self.check(error, holds);
            // The real system's texts are not ours; of them only the two lines are compared.
            if let Some(text) = error["message_contains"].as_str() {
                let lines: Vec<&str> =
                    text.split("line ").skip(1).map(|rest| rest.trim_start_matches("number ")).collect();
                let number = |text: &str| {
                    text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<u64>().ok())
                };
                let (line, of) = (number(lines[0]), number(lines[1]).expect("line"));
                let says =
                    |p: &&Logged| p.record == line && p.message().contains(&format!("of record {of}:"));
                self.check(error, all.iter().any(says));
            }
        }
    }

    fn month(&self, name: &Value) -> String {
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = names.iter().position(|month| name == *month).expect("month") + 1;
        let year = self.submission.year - i32::from(self.submission.quarter == 1);
        format!("{year}{month:02}")
    }

    fn case_aggregates(&mut self, wanted: &Value) {
        let cases = &self.parsed.outcome.cases;
        self.same("cases rejected", cases.rejected, &wanted["rejected"]);
        for month in list(&wanted["months"]) {
            let found = cases.months.get(&self.month(&month["month"]));
            let value = |count: Option<u64>| count.map_or_else(|| "N/A".into(), Value::from);
            let (sound, unsound) =
                (found.map(|c| c.accepted_without_errors), found.map(|c| c.accepted_with_errors));
            self.same("accepted_without_errors", value(sound), &month["accepted_without_errors"]);
            self.same("accepted_with_errors", value(unsound), &month["accepted_with_errors"]);
        }
    }

    fn each_month(&mut self, wanted: &Value) {
        let months = &self.parsed.outcome.cases.months;
        self.same("months", months.len(), &list(&wanted["month_in"]).len().into());
        for cases in months.values() {
            self.same(
                "accepted_without_errors",
                cases.accepted_without_errors,
                &wanted["accepted_without_errors"],
            );
            let allowed = list(&wanted["accepted_with_errors_in"]);
            self.check(
                &wanted["accepted_with_errors_in"],
                allowed.contains(&cases.accepted_with_errors.into()),
            );
        }
    }

    fn month_totals(&mut self, wanted: &[Value]) {
        let outcome = &self.parsed.outcome;
        for month in wanted {
            let counts = outcome.errors_by_month.get(&self.month(&month["month"]));
            let total: u64 = counts.iter().flat_map(|counts| counts.values()).sum();
            let rejected = outcome.summary == parselog::parser::SummaryStatus::Rejected;
            let found = if rejected { "N/A".into() } else { Value::from(total) };
            self.same("month total", found, &month["total_errors"]);
        }
    }

    fn field_values(&mut self, wanted: &Map<String, Value>) {
        let mut rows = self.table(text_of(&wanted["table"]));
        if let Some(order) = wanted.get("order_by").and_then(Value::as_str).filter(|order| *order != "id") {
            // Text order is one that ignores leading blanks; nothing comes last.
            let key = |row: &&Map<String, Value>| match &row[order] {
                Value::String(text) => (0, text.trim_start().to_owned()),
                other => (other.as_u64().unwrap_or(u64::MAX), String::new()),
            };
            rows.sort_by_key(key);
        }
        let row = match &wanted["index"] {
            Value::String(_) => rows.last(),
            index => rows.get(index.as_u64().expect("index") as usize),
        };
        let Some(row) = row.map(|row| (*row).clone()) else {
            return self.failures.push(format!("no row {} of {}", wanted["index"], wanted["table"]));
        };
        for (field, value) in
            wanted.iter().filter(|(key, _)| !matches!(key.as_str(), "table" | "order_by" | "index"))
        {
            self.same(field, row.get(field).cloned().unwrap_or(Value::Null), value);
        }
    }

    /// The accepted records of one of the real system's tables.
    fn table(&self, table: &str) -> Vec<&Map<String, Value>> {
        let own = self.is_own(table);
        let records = self.parsed.records.iter().filter(|(name, _)| own && name == record_type(table));
        records.map(|(_, record)| record).collect()
    }

    fn is_own(&self, table: &str) -> bool {
        let programs = BTreeMap::from([
            ("TANF", "tanf"),
            ("Tribal_TANF", "tribal"),
            ("SSP", "ssp"),
            ("ProgramAudit", "audit"),
        ]);
        let (prefix, kind) = table.rsplit_once('_').expect("table");
        kind == "Exiter1" && self.submission.program == "fra" || programs[prefix] == self.submission.program
    }
}

fn record_type(table: &str) -> &str {
    match table.rsplit('_').next().unwrap_or(table) {
        "Exiter1" => "TE1",
        kind => kind,
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}
