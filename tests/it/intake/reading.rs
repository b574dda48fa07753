//! Reading a stream as if it were one log, wherever its segments are.

use std::sync::mpsc;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::Utc;
use parselog::config::IntakeConfig;
use parselog::desk::stream::find_stream;
use parselog::ids::ServiceName;
use parselog::intake::Streams;
use parselog::reader::{Cost, Selection, StreamFollower, StreamSource};
use parselog::record::{Level, Record};
use regex::Regex;

use super::{Place, at, blocking, incoming};

/// The messages that a selection of the stream `info` has, and the cost.
async fn read(place: &Place, selection: Selection) -> (Vec<String>, Cost) {
    let source = StreamSource::find(&place.system, &ServiceName::of("info"), &selection).await.unwrap();
    assert!(source.elsewhere().is_empty(), "{:?}", source.elsewhere());
    let (sender, lines) = mpsc::channel();
    let each = move |line: &[u8]| {
        sender.send(Record::decode(line).unwrap().message).unwrap();
        Ok(())
    };
    let cost = source.read(&place.system.objects, selection, each).await.unwrap();
    (lines.into_iter().collect(), cost)
}

async fn messages(place: &Place, selection: Selection) -> Vec<String> {
    read(place, selection).await.0
}

async fn store(streams: &Streams, numbers: std::ops::Range<u64>) {
    let streams = streams.clone();
    blocking(move || {
        for number in numbers {
            let level = if number % 10 == 7 { "ERROR" } else { "INFO" };
            streams.store(&incoming("info", level, &format!("{number}")), at(1, number + 1)).unwrap();
        }
    })
    .await;
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_over_its_archived_and_open_segments_in_order_and_only_where_it_must() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig { segment_size: ByteSize::kib(4), ..IntakeConfig::default() });
    store(&kept.streams, 0..200).await;
    kept.streams.finished(1);
    kept.end().await;
    let segments = place.rows("info").await.len();
    assert!(segments > 5, "{segments}");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let since = Utc::now();
    let open = place.streams();
    store(&open, 200..210).await;

    assert_eq!(messages(&place, Selection::default()).await, numbers(0..210));
    let (last, cost) = read(&place, Selection { tail: Some(5), ..Selection::default() }).await;
    assert_eq!((last, cost), (numbers(205..210), Cost::default()));
    let (last, cost) = read(&place, Selection { tail: Some(15), ..Selection::default() }).await;
    assert_eq!(last, numbers(195..210));
    assert!(cost.gets <= 2, "the last lines are in the last archives: {cost:?}");
    let (first, cost) = read(&place, Selection { head: Some(3), ..Selection::default() }).await;
    assert_eq!((first, cost.gets), (numbers(0..3), 1));
    let (late, cost) = read(&place, Selection { since: Some(since), ..Selection::default() }).await;
    assert_eq!((late, cost), (numbers(200..210), Cost::default()));
    let until = Selection { until: Some(since), tail: Some(2), ..Selection::default() };
    assert_eq!(messages(&place, until).await, numbers(198..200));
    let errors = Selection { level: Some(Level::Error), tail: Some(3), ..Selection::default() };
    assert_eq!(messages(&place, errors).await, ["187", "197", "207"]);
    let grep =
        Selection { grep: Some(Regex::new("  *1[0-9]9").unwrap()), head: Some(2), ..Selection::default() };
    assert_eq!(messages(&place, grep).await, ["109", "119"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_several_processes_are_merged_by_time() {
    let place = Place::new().await;
    let (one, other) = (place.streams(), place.streams());
    for number in (0..20).step_by(2) {
        store(&one, number..number + 1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        store(&other, number + 1..number + 2).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(messages(&place, Selection::default()).await, numbers(0..20));
    assert_eq!(messages(&place, Selection { tail: Some(7), ..Selection::default() }).await, numbers(13..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_followed_from_segment_to_segment() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig { segment_size: ByteSize::kib(4), ..IntakeConfig::default() });
    store(&kept.streams, 0..3).await;
    let service = ServiceName::of("info");
    let source = StreamSource::find(&place.system, &service, &Selection::default()).await.unwrap();
    let mut follower =
        StreamFollower::behind(&source, place.system.clone(), service.clone(), Selection::default());
    store(&kept.streams, 3..100).await;
    kept.streams.finished(1);
    let mut followed = Vec::new();
    while followed.len() < 97 {
        let lines = follower.next().await.unwrap();
        followed.extend(lines.iter().map(|line| Record::decode(line).unwrap().message));
    }
    assert_eq!(followed, numbers(3..100));
    kept.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_has_is_answered_with_those_of_similar_names() {
    let place = Place::new().await;
    let open = place.streams();
    store(&open, 0..1).await;
    let service = |text: &'static str| async { find_stream(&place.system, text).await };
    assert_eq!(service("info").await.unwrap(), ServiceName::of("info"));
    let error = service("inof").await.unwrap_err().to_string();
    assert!(error.contains("did you mean info?"), "{error}");
}
