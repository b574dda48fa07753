//! Texts from outside never become anything but text: in the names of files, in messages, and in lines of a log.

use super::{Html, Site};

/// What somebody may try.
const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>&amp;";
const MOVES: &str = "\u{202e}drow\u{2066}\u{2028}\u{1b}[31m\u{1b}]0;title\u{7}";

#[tokio::test]
async fn hostile_text_creates_no_element_and_moves_nothing() {
    let site = Site::new().await;
    let json = serde_json::json!({"level": "error", "message": format!("{MARKUP}{MOVES}"), "key<i>": MARKUP});
    let problem = serde_json::json!({
        "problem": format!("{MARKUP}{MOVES}"), "category": 2, "record": 1, "field": MARKUP, "record_type": "<T1>",
    });
    let lines = site.desk.file("lines", &format!("{json}\n{problem}\n{MARKUP}{MOVES}\nFATAL\n"));
    let script = site.desk.file(
        "hostile.sh",
        &format!("cat '{lines}'; head -c 3145728 /dev/zero | tr '\\0' '<'; echo; exit 3"),
    );
    let file = site.desk.file("<img src=x onerror=alert(3)>.txt", "x");
    let what =
        ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", "--state", "WI"];
    let reason = format!("{MARKUP}{MOVES}");
    let submit =
        [&["submit", "--json", "--reason", &reason, "--max-attempts", "1", &file], &what[..]].concat();
    let said = site.desk.ok(&submit).json();
    let run = said[0]["run_id"].as_str().unwrap().to_owned();
    let rule = format!("tanf/*=sh {script}");
    site.desk.ok(&["worker", "--drain", "--parser-for", &rule]);
    let record =
        serde_json::json!({"service": "web", "level": "error", "message": format!("{MARKUP}{MOVES}")});
    site.served.post("/logs", "application/json", record.to_string());

    let mut pages: Vec<Html> = Vec::new();
    for path in [
        "/runs".to_owned(),
        "/runs?q=%3Cscript%3E%22".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/log"),
        format!("/runs/{run}/log?q=%3Cscript%3E&level=error"),
        format!("/runs/{run}/retry"),
        "/files/1".to_owned(),
        "/streams/web".to_owned(),
        "/audit".to_owned(),
        "/attention".to_owned(),
    ] {
        // What is not allowed in any page fails there.
        pages.push(site.page(&path));
    }
    let log = &pages[3];
    assert!(log.says("<script>alert(1)</script><img src=x onerror=alert(2)>"), "the text is there, as text");
    assert!(log.says("\\u{202e}drow\\u{2066}\\u{2028}\\u{1b}[31m"), "what moves text is visible");
    assert!(log.lines().iter().all(|(_, text)| text.len() < 5000), "long lines are folded");
    for path in
        [format!("/runs/{run}/nothing<script>"), "/runs/<script>".to_owned(), "/runs?a<b>=1".to_owned()]
    {
        let answer = site.get(&path.replace('<', "%3C").replace('>', "%3E"));
        assert!(answer.status >= 400 && !answer.text().contains("<script>"), "{}", answer.text());
    }
    let long = site.json(&format!("/runs/{run}/log/lines?count=500"));
    let long = long["lines"].as_array().unwrap().iter().find(|line| line["whole"].is_u64()).unwrap().clone();
    let whole = site.get(&format!("/runs/{run}/log/lines/{}", long["n"]));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    site.served.stop();
}
