//! What docs/INTAKE.md says is so.

use std::collections::BTreeSet;

use parselog::http::{RouteKind, routes};
use parselog::record::{Incoming, Level};
use serde_json::{Map, Value, json};

use super::{over_collect, over_http, over_run};

const PAGE: &str = include_str!("../../../docs/INTAKE.md");

/// The block of code in this section of the page.
pub(super) fn block(title: &str) -> String {
    let (_, section) = PAGE.split_once(&format!("\n### {title}\n")).expect("the section");
    let (_, code) = section.split_once("\n```").expect("a block");
    code.split_once('\n').and_then(|(_, code)| code.split_once("\n```")).expect("its end").0.to_owned()
}

#[test]
fn each_shipper_of_the_page_is_tested() {
    let titles: BTreeSet<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(titles, {
        over_http::TESTED.into_iter().chain(over_run::TESTED).chain(over_collect::TESTED).collect()
    });
}

#[test]
fn the_page_has_every_request_that_is_answered() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.filter(|cell| cell.contains(" /")).collect();
    let for_programs = routes().filter(|route| route.kind == RouteKind::Api);
    let routes: Vec<String> = for_programs.map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(rows, routes.iter().map(String::as_str).collect());
}

#[test]
fn the_keys_of_the_page_are_those_that_are_read() {
    let mut seen = 0;
    for line in PAGE.lines() {
        let Some((what, keys)) = line.strip_prefix("| ").and_then(|line| line.split_once(" | `")) else {
            continue;
        };
        for key in keys.trim_end_matches("` |").split("`, `") {
            let read = |value: Value| {
                let rest = json!({"message": "x", "level": "info"});
                let mut object = rest.as_object().unwrap().clone();
                if what == "message" || what == "level" {
                    object.remove(what);
                }
                object.insert(key.to_owned(), value);
                Incoming::of_object(object).unwrap()
            };
            match what {
                "level" if key == "levelno" => assert_eq!(read(json!(40)).level, Level::Error),
                "level" => assert_eq!(read(json!("error")).level, Level::Error, "{key}"),
                "message" => assert_eq!(read(json!("y")).message, "y", "{key}"),
                "logger" => assert_eq!(read(json!("y")).logger, "y", "{key}"),
                "service" => assert_eq!(read(json!("y")).service.as_deref(), Some("y"), "{key}"),
                "time" => assert_eq!(read(json!(1.5)).time, Some(1_500_000), "{key}"),
                "run" => assert!(read(json!("0190a5e0-0000-7000-8000-000000000001")).run.is_some(), "{key}"),
                _ => continue,
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
    assert!(Incoming::of_object(Map::new()).is_err());
}
