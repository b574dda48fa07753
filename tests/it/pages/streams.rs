//! A stream's pages: part by part in both directions, each record by its place, and followed from where it was cut.

use std::io::BufRead as _;

use serde_json::{Value, json};

use super::{Html, Site};
use crate::http::Client;
use crate::support::Desk;

/// A site whose stream `web` has so many records, in segments of a few hundred.
async fn site_with(records: usize) -> Site {
    let site = Site::of_with(Desk::new().await, &[], &["--segment-size", "64KiB"]);
    send(&site, 0, records);
    site
}

/// Sends records, each tenth of them an error.
fn send(site: &Site, from: usize, to: usize) {
    let record = |nth: usize| {
        let level = if nth.is_multiple_of(10) { "error" } else { "info" };
        json!({"service": "web", "level": level, "message": format!("record {nth}"), "filler": "x".repeat(100)})
    };
    let all: Vec<Value> = (from..to).map(record).collect();
    let answer = site.served.post("/logs", "application/json", json!(all).to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// The numbers of the records that a page shows.
fn shown(page: &Html) -> Vec<usize> {
    let numbers = page.all("li").filter(|line| line.attributes.contains_key("id"));
    numbers.map(|line| number(&line.text)).collect()
}

fn number(text: &str) -> usize {
    let (_, rest) = text.split_once("record ").expect(text);
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_stream_is_read_to_its_beginning_and_back_without_a_script() {
    let site = site_with(1_000).await;
    let mut path = "/streams/web".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = site.page(&path);
        seen = [shown(&page), seen].concat();
        if !page.all("a").any(|link| link.text == "Older records") {
            break;
        }
        path = page.link("Older records");
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    let mut back = shown(&site.page(&path));
    loop {
        let page = site.page(&path);
        if !page.all("a").any(|link| link.text == "Newer records") {
            break;
        }
        path = page.link("Newer records");
        back.extend(shown(&site.page(&path)));
    }
    assert_eq!(back, seen);
    // A link to a record shows it among those around it, with the conditions that it had.
    let errors = site.page("/streams/web?level=error&q=record+5");
    let expected: Vec<usize> = [50].into_iter().chain((500..600).step_by(10)).collect();
    assert_eq!(shown(&errors), expected);
    let places: Vec<_> = errors.all("li").filter_map(|line| line.attributes.get("id")).collect();
    let page = site.page(&format!("/streams/web?at={}", places[4]));
    let target =
        page.all("li").find(|line| line.attributes.get("class").is_some_and(|it| it.contains("target")));
    assert_eq!(number(&target.expect("the record").text), expected[4]);
    assert!(shown(&page).contains(&(expected[4] - 1)) && shown(&page).contains(&(expected[4] + 1)));
    site.served.stop();
}

#[tokio::test]
async fn the_script_gets_records_by_their_places_and_each_part_is_noted() {
    let site = site_with(300).await;
    let records = |query: &str| site.json(&format!("/streams/web/records?{query}"));
    let places = |part: &Value| -> Vec<String> {
        let all = part["records"].as_array().unwrap().iter();
        all.map(|record| record["place"].as_str().unwrap().to_owned()).collect()
    };
    let first = records(&format!("after=0-0-{}&count=5", "0".repeat(32)));
    assert_eq!((places(&first).len(), &first["newer"]), (5, &json!(true)));
    let second = records(&format!("after={}&count=500", first["to"].as_str().unwrap()));
    assert_eq!((places(&second).len(), &second["newer"]), (295, &json!(false)));
    let before = records(&format!("before={}&count=5", places(&second)[0]));
    assert_eq!((places(&before), &before["older"]), (places(&first), &json!(false)));
    let errors = records(&format!("after={}&level=error&count=1", places(&first)[0]));
    assert_eq!(number(errors["records"][0]["text"].as_str().unwrap()), 10);
    let whole = site.get(&format!("/streams/web/records/{}", places(&first)[3]));
    assert!(whole.status == 200 && whole.text().contains("record 3"), "{}", whole.text());
    for (path, status) in [
        ("records?after=x", 400),
        ("records?colour=red", 400),
        ("records/1-1-00000000000000000000000000000000", 404),
        ("events?before=1-1-00000000000000000000000000000000", 400),
    ] {
        assert_eq!(site.get(&format!("/streams/web/{path}")).status, status, "{path}");
    }
    let noted: i64 =
        sqlx::query_scalar("select count(*) from log_entry where entry in ('log-read', 'log-searched')")
            .fetch_one(&site.desk.db.pool)
            .await
            .unwrap();
    assert_eq!(noted, 6, "one entry for each reading");
    site.served.stop();
}

#[tokio::test]
async fn a_stream_is_followed_from_where_it_was_cut_and_nothing_is_missing_or_comes_twice() {
    let site = site_with(100).await;
    let part = site.json("/streams/web/records?count=1");
    let last = part["records"][0]["place"].as_str().unwrap().to_owned();
    let mut after = last;
    let mut heard = Vec::new();
    for turn in 0..5 {
        send(&site, 100 + 20 * turn, 120 + 20 * turn);
        let mut client = Client::to(site.served.address);
        let (port, token) = (site.served.address.port(), &site.token);
        let head = format!(
            "GET /streams/web/events HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n\
             Last-Event-ID: {after}\r\n\r\n"
        );
        client.send(head.as_bytes()).unwrap();
        assert_eq!(client.head().unwrap().header("content-type"), Some("text/event-stream"));
        // It is cut off in the middle of what comes.
        for _ in 0..if turn == 4 { usize::MAX } else { 13 } {
            let mut line = String::new();
            while !line.starts_with("id: ") {
                line.clear();
                assert!(client.stream.read_line(&mut line).unwrap() > 0, "the stream ended");
            }
            after = line["id: ".len()..].trim().to_owned();
            line.clear();
            client.stream.read_line(&mut line).unwrap();
            let data: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["place"], after);
            heard.push(number(data["text"].as_str().unwrap()));
            if heard.last() == Some(&199) {
                break;
            }
        }
    }
    assert_eq!(heard, (100..200).collect::<Vec<_>>());
    site.served.stop();
}
