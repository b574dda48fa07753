//! `parselog sample` and `parselog run --records`: what goes into a parse, and what comes out of it.

use serde_json::Value;

use crate::support::Desk;

#[tokio::test]
async fn a_sample_is_the_same_for_the_same_options_and_never_overwrites_a_file_unasked() {
    let desk = Desk::new().await;
    let path = desk.path("sample.txt");
    let written = || std::fs::read(&path).expect("the sample");

    desk.stdout(&["sample", "--size", "20K", &path]);
    let first = written();
    assert!((20_000..21_000).contains(&first.len()), "{} bytes", first.len());
    assert_eq!(desk.stdout(&["sample", "--size", "20K"]), first);

    let refused = desk.output(&["sample", "--cases", "3", &path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    assert_eq!(written(), first);

    desk.stdout(&["sample", "--cases", "3", "--force", &path]);
    assert!(written().len() < first.len());
    let unknown = desk.output(&["sample", "--program", "fra", "--section", "active"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("fra work-outcomes"));
}

#[tokio::test]
async fn records_on_stdout_are_one_json_object_each_and_nothing_else() {
    let desk = Desk::new().await;
    let path = desk.path("sample.txt");
    desk.stdout(&["sample", "--cases", "40", "--error-rate", "0.2", &path]);

    let output = desk.output(&["run", "--records", "-", "--json", &path]);
    let row: Value = String::from_utf8(output.stderr)
        .expect("UTF-8")
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .expect("the row on stderr");
    let records: Vec<Value> = output
        .stdout
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| serde_json::from_slice(line).expect("a JSON object"))
        .collect();
    assert!(records.len() > 40);
    assert_eq!(row["records_created"], records.len());
    for (record_type, count) in row["created_by_type"].as_object().expect("an object") {
        let of_type = records.iter().filter(|record| record["record_type"] == record_type.as_str());
        assert_eq!(*count, of_type.count());
    }
}

#[tokio::test]
async fn records_that_cannot_be_written_fail_the_run() {
    let desk = Desk::new().await;
    let path = desk.path("sample.txt");
    desk.stdout(&["sample", "--cases", "2", "--error-rate", "0", &path]);
    let output = desk.output(&["run", "--records", "/dev/full", &path]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("failed to write the accepted records"), "{said}");
}
