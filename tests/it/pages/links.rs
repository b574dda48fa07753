//! Every page of real runs is shown, and every link of every page leads somewhere.

use std::collections::{BTreeSet, VecDeque};

use parselog::http::{RouteKind, routes};

use super::{Html, Site, parse};
use crate::support::sample;

/// Follows every link, from the first page on.
fn crawl(site: &Site) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), VecDeque::from(["/runs".to_owned()]));
    while let Some(path) = next.pop_front() {
        let path = path.split('#').next().unwrap().to_owned();
        if path.is_empty() || path.starts_with('?') || !seen.insert(path.clone()) {
            continue;
        }
        let answer = site.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let is_file = answer.header("content-disposition").is_some();
        if is_file || answer.header("content-type") != Some("text/html; charset=utf-8") {
            continue;
        }
        next.extend(Html::of(&path, answer.text()).links());
        assert!(seen.len() < 500, "the pages never end");
    }
    seen
}

#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    let site = Site::new().await;
    let broken = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let mended = site.parse("active.txt", "tanf-active-2021-q1-corrected.txt");
    let crashed = parse(&site.desk, "odd.txt", "x", &["--parser-for", "tanf/*=sh -c 'kill -9 $$'"]);
    let queued =
        site.desk.ok(&["submit", "--json", "--state", "WI", &sample("tanf-active-2021-q1.txt")]).json();
    let queued = queued[0]["run_id"].as_str().unwrap();
    site.desk.ok(&["reparse", "--yes", "--reason", "new rules", "active.txt"]);
    site.served.post("/logs", "application/json", r#"{"service":"web","level":"error","message":"no <b>"}"#);
    let seen = crawl(&site);
    for path in [
        format!("/runs/{broken}"),
        format!("/runs/{mended}/diff?with={broken}"),
        format!("/runs/{broken}/log?at=first-error"),
        format!("/runs/{broken}/report?as=xlsx"),
        format!("/runs/{crashed}/log"),
        format!("/runs/{crashed}/retry"),
        format!("/runs/{queued}/cancel"),
        "/streams/web".to_owned(),
        "/attention?examine=yes".to_owned(),
    ] {
        assert!(seen.contains(&path), "{path} is not among {seen:#?}");
    }
    site.served.stop();
}

#[test]
fn the_page_of_pages_names_every_address_that_is_read() {
    let page = include_str!("../../../docs/PAGE.md");
    let read = routes().filter(|route| route.kind == RouteKind::Page && route.method == "GET");
    let unnamed: Vec<_> = read
        .map(|route| {
            let named = [
                ("/runs/{id}", "/runs/RUN"),
                ("/files/{id}", "/files/NUMBER"),
                ("{service}", "NAME"),
                ("{id}", "ID"),
            ];
            named.iter().fold(route.path.to_owned(), |path, (from, to)| path.replace(from, to))
        })
        // What a page loads, how people come in, and what asks before it acts.
        .filter(|path| !["/", "/assets/{name}", "/enter"].contains(&path.as_str()))
        .filter(|path| {
            !["/cancel", "/retry", "/resend", "/reparse", "/hold", "/{number}", "/{place}"]
                .iter()
                .any(|end| path.ends_with(end))
        })
        .filter(|path| !page.contains(&format!("`{path}")))
        .collect();
    assert!(unnamed.is_empty(), "docs/PAGE.md does not name {unnamed:?}");
}

#[tokio::test]
async fn what_is_not_there_is_said_on_a_page() {
    let site = Site::new().await;
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    for (path, status, words) in [
        ("/runs/ffffffff".to_owned(), 404, "names no run"),
        ("/files/99".to_owned(), 404, "there is no data file"),
        ("/reparses/99".to_owned(), 404, "not found"),
        ("/streams/nobody".to_owned(), 404, "no stream"),
        (format!("/runs/{run}/log?level=loud"), 400, "unknown level"),
        (format!("/runs/{run}/diff"), 404, "there is none before it"),
        (format!("/runs/{run}/cancel"), 409, "is"),
        ("/runs?colour=red".to_owned(), 400, "unknown filter"),
    ] {
        let answer = site.get(&path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(Html::of(&path, answer.text()).says(words), "{path}: {}", answer.text());
    }
    let short = &run[run.len() - 8..];
    let answer = site.get(&format!("/runs/{short}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some(format!("/runs/{run}").as_str())));
    site.served.stop();
}
