//! The keys of everything that is printed as JSON: a promise to scripts (docs/CLI.md).

use serde_json::Value;

use super::holds;
use crate::support::{Desk, sample_text};

const FIRST: &str = "tanf-active-2021-q1.txt";
const CORRECTED: &str = "tanf-active-2021-q1-corrected.txt";

/// The keys of an object, with those of the objects in it and in its lists. What has numbers or names of the world as
/// keys has none of ours.
fn keys(value: &Value, before: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let is_ours = key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
                    && !key.starts_with(|c: char| c.is_ascii_digit());
                if is_ours {
                    found.push(format!("{before}{key}"));
                    keys(value, &format!("{before}{key}."), found);
                }
            }
        }
        Value::Array(list) => list.iter().take(1).for_each(|value| keys(value, before, found)),
        _ => {}
    }
}

/// A command and the keys of its first and its last line.
fn shape(desk: &Desk, arguments: &[&str]) -> String {
    let said = desk.run(arguments);
    // A report is one object over several lines.
    let rows = serde_json::Deserializer::from_str(&said.out).into_iter::<Value>();
    let rows: Vec<Value> = rows.map(|row| row.expect("JSON")).collect();
    let (first, last) = (rows.first().expect("a line"), rows.last().expect("a line"));
    let mut found = Vec::new();
    keys(first, "", &mut found);
    keys(last, "", &mut found);
    found.sort();
    found.dedup();
    let home = desk.path("");
    format!("$ parselog {}\n  {}\n", arguments.join(" ").replace(&home, ""), found.join("\n  "))
}

#[tokio::test]
async fn the_keys_of_json_are_as_they_were() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text(FIRST));
    let mut shapes = vec![shape(&desk, &["run", "--json", &file])];
    desk.file("a.txt", &sample_text(CORRECTED));
    desk.ok(&["run", &file]);
    shapes.push(shape(&desk, &["submit", "--json", &desk.file("b.txt", &sample_text(FIRST))]));
    desk.ok(&["cancel", "@latest"]);
    shapes.push(shape(&desk, &["retry", "@latest", "--json"]));
    shapes.push(shape(&desk, &["status", "--json"]));
    desk.ok(&["worker", "--drain"]);
    desk.ok(&["reparse", "--all", "--yes"]);
    desk.ok(&["worker", "--drain"]);
    let commands: &[&[&str]] = &[
        &["runs", "--json"],
        &["show", "a.txt@previous", "--json"],
        &["history", "a.txt", "--json"],
        &["wait", "a.txt", "--json"],
        &["actions", "--json"],
        &["actions", "--counts", "--json"],
        &["reparses", "--json"],
        &["problems", "--by", "kind,program,section,period,state,reparse", "--json"],
        &["problems", "--backfill", "--json"],
        &["reparse", "status", "@latest", "--json"],
        &["diff", "1", "2", "--json"],
        &["diff", "--reparse", "@latest", "--json"],
        &["verify", "--all", "--json"],
        &["report", "1", "--format", "json"],
        &["config", "show", "--json"],
        &["logs", "a.txt@previous", "--json"],
    ];
    shapes.extend(commands.iter().map(|arguments| shape(&desk, arguments)));
    sqlx::query("insert into notice (kind, address, run_id) select 'run-failed', 'ann@state.test', id from parse_file_meta limit 1")
        .execute(&desk.db.pool)
        .await
        .expect("a notice");
    shapes.push(shape(&desk, &["notices", "--json"]));
    for stored in desk.files("objects").iter().filter(|path| path.contains("parsing_logs")) {
        std::fs::remove_file(stored).expect("a stored log");
    }
    shapes.push(shape(&desk, &["doctor", "--grace", "0s", "--json"]));
    holds("shapes", &shapes.join("\n"));
}
