//! What others read the Parquet files of problems with: DuckDB and pyarrow, as docs/PROBLEMS.md says.

use parselog::ids::RunId;
use parselog::store::problem::{self, KindCount, ProblemKind};
use serde_json::{Value, json};

use super::Installed;
use crate::localstack::{self, Bucket};
use crate::support::{Desk, Said, sample};

const FIRST: &str = "tanf-active-2021-q1.txt";

/// What the script prints that reads the folder; `None` if the test is left out.
fn read(desk: &Desk, arguments: &[&str]) -> Option<Vec<Value>> {
    let mut script = Installed::find()?.python("problems.py")?;
    let here = desk.home.path().join("objects/files");
    let here = if here.exists() { &here } else { desk.home.path() };
    script.args(arguments).current_dir(here);
    let said = Said::of(script.output().unwrap());
    assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
    Some(said.json())
}

fn counted(rows: &[Value]) -> i64 {
    rows.iter().map(|row| row["problems"].as_i64().unwrap()).sum()
}

/// What `parselog problems` counts.
fn problems(desk: &Desk, more: &[&str]) -> Vec<Value> {
    desk.ok(&[&["problems", "--json", "--top", "1000"], more].concat()).json()
}

#[tokio::test]
async fn duckdb_and_pyarrow_read_the_folder_as_one_table_that_says_what_is_counted() {
    let desk = Desk::new().await;
    for state in ["WI", "OH"] {
        let file = desk.file(&format!("{state}.txt"), &std::fs::read_to_string(sample(FIRST)).unwrap());
        desk.ok(&["submit", "--state", state, &file]);
    }
    // Of another quarter, so in another folder.
    let text = std::fs::read_to_string(sample(FIRST)).unwrap().replacen("HEADER20204", "HEADER20211", 1);
    desk.ok(&["submit", &desk.file("q2.txt", &text)]);
    desk.ok(&["worker", "--drain"]);
    let runs = desk.ok(&["runs", "--json", "--state", "WI"]).json();
    let run: RunId = runs[0]["id"].as_str().unwrap().parse().unwrap();
    // The new rules find what the old ones did not: in WI there was one problem, of another kind.
    let kind = ProblemKind {
        category: 1,
        record_type: "T9".to_owned(),
        item: String::new(),
        field: String::new(),
        deprecated: false,
    };
    assert!(problem::count(&desk.db.pool, run, &[KindCount { kind, problems: 4 }]).await.unwrap());
    desk.ok(&["reparse", "WI.txt", "--yes", "--reason", "new rules"]);
    desk.ok(&["worker", "--drain"]);
    let reparse = problems(&desk, &["--by", "reparse", "--reparse", "@latest"]);
    let reparse = reparse[0]["reparse_id"].as_i64().unwrap();

    let Some(answers) = read(&desk, &["duckdb", &reparse.to_string()]) else { return };
    assert_eq!(answers.len(), 4, "a block of the page has no answer");

    let kinds = problems(&desk, &["--year", "2021", "--quarter", "1"]);
    let of = |row: &Value| {
        let names =
            ["record_type", "item", "field"].map(|name| row[name].as_str().unwrap_or_default().to_owned());
        (row["category"].as_i64(), names, row["problems"].as_i64(), row["runs"].as_i64())
    };
    let found: Vec<_> = answers[1].as_array().unwrap().iter().map(of).collect();
    assert!(found.len() > 3);
    let mut expected: Vec<_> = kinds.iter().map(of).collect();
    let mut sorted = found.clone();
    expected.sort();
    sorted.sort();
    assert_eq!(sorted, expected);
    assert!(found.is_sorted_by(|one, next| one.2 >= next.2), "{found:?}");

    let began = answers[2].as_array().unwrap();
    assert!(
        began.len() > 3 && began.iter().all(|row| row["state"] == "WI" && row["files"] == 1),
        "{began:?}"
    );
    let states = answers[3].as_array().unwrap();
    assert!(states.contains(&json!({"state": "OH", "runs": 1, "clean": 0})), "{states:?}");

    let Some(tables) = read(&desk, &["pyarrow"]) else { return };
    let table = &tables[0];
    assert_eq!(table["problems"].as_i64().unwrap(), counted(&problems(&desk, &[])));
    let runs = desk.ok(&["runs", "--json"]).json();
    assert_eq!(table["runs"].as_array().unwrap().len(), runs.len());
    let columns = table["columns"].as_array().unwrap();
    assert_eq!(columns[14..], ["program", "year", "quarter"].map(Value::from));
    assert_eq!(table["years"], json!([2021]));
}

#[tokio::test]
async fn pyarrow_reads_the_folder_of_a_bucket() {
    let (desk, Bucket { name, .. }) = (Desk::new().await, localstack::bucket().await);
    let endpoint = localstack::endpoint();
    let variables = [("PARSELOG_BUCKET", name.as_str()), ("AWS_ENDPOINT_URL", endpoint.as_str())];
    for arguments in [vec!["submit", &sample(FIRST)], vec!["worker", "--drain"]] {
        let said = Said::of(desk.command(&arguments).envs(variables).output().unwrap());
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }
    let Some(tables) = read(&desk, &["s3", &name, &endpoint]) else { return };
    assert_eq!((tables[0]["problems"].as_i64(), &tables[0]["years"]), (Some(9), &json!([2021])));
}
