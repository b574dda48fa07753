//! `submit` killed between store and queue.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::oracle::{self, Losses};
use crate::world::{Submitted, World};
use crate::{points, turn};

const WHAT: [&str; 9] =
    ["submit", "--program", "tanf", "--section", "active", "--year", "2024", "--quarter", "1"];
const FOLDER: &str = "data_files/2024/Q1/06/tanf/active";

impl World {
    /// Writes two files that are submitted together; returns the command for that.
    fn submission(&mut self, name: &str) -> Vec<String> {
        let mut words: Vec<String> = WHAT.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["--state".to_owned(), "06".to_owned()]);
        for one in ["a", "b"] {
            let name = format!("{name}-{one}.txt");
            let text = format!("20 1 0 {name}\n");
            let path = self.home().join(&name);
            fs::write(&path, &text).unwrap();
            words.push(path.to_str().unwrap().to_owned());
            let key = format!("{FOLDER}/{name}");
            self.submissions.insert(key, Submitted { text, events: 20, threads: 1 });
        }
        words
    }

    /// Versions of the submitted files, and those of them that a row names. What was cut off in mid-upload is none.
    async fn versions(&self) -> (i64, i64) {
        let mut versions = 0;
        for key in self.submissions.keys() {
            let folder = self.home().join("objects/files/.versions").join(key);
            let there = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            versions += there.filter(|path| path.extension().is_none_or(|end| end != "part")).count() as i64;
        }
        let rows =
            self.count("select count(*) from (select distinct key, version_id from data_file) f").await;
        (versions, rows)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_is_killed_is_finished_by_repeating_it_and_named_until_then() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.prefix = "data_files".to_owned();
    let first = world.submission("first");
    world.ok(&words(&first));
    for point in points::of("submit-") {
        let command = world.submission(&point);
        let before = world.count("select count(*) from parse_file_meta").await;
        world.dies_at(&point, &words(&command)).await;
        let queued = world.count("select count(*) from parse_file_meta").await - before;
        let named = world.findings(&[]);
        if point == "submit-queued" {
            assert_eq!((queued, named.as_slice()), (2, [].as_slice()), "both or none");
        } else {
            assert_eq!(queued, 0, "{point}: both or none");
            assert!(
                !named.is_empty() && named.iter().all(|kind| kind == "submission-without-row"),
                "{named:?}"
            );
        }
        world.ok(&words(&command));
        assert_eq!(world.findings(&[]), [""; 0], "{point}");
        let (versions, rows) = world.versions().await;
        assert_eq!(versions, rows, "{point}: a version that no row names");
    }
    world.drain().await;
    let counts = oracle::check(&mut world, Losses::None, "killed submits").await;
    assert!(counts.acknowledged > 0 && counts.runs == 10, "{counts:?}");
}

/// Killed in mid-upload: what holds space is named, and given up when it is old.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_a_submit_that_was_killed_is_named_and_aborted() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.prefix = "data_files".to_owned();
    let first = world.submission("first");
    world.ok(&words(&first));
    let command = world.submission("second");
    world.dies_at("put-written", &words(&command)).await;
    world.ok(&words(&command));
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    for key in world.submissions.keys() {
        for entry in fs::read_dir(world.home().join("objects/files/.versions").join(key)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "part") {
                // It is read-only, which its owner may date all the same.
                File::open(&path).unwrap().set_modified(long_ago).unwrap();
            }
        }
    }
    let named = world.findings(&[]);
    assert!(!named.is_empty() && named.iter().all(|kind| kind == "stale-upload"), "{named:?}");
    assert_eq!(world.findings(&["--fix"]), [""; 0]);
    world.drain().await;
    oracle::check(&mut world, Losses::None, "a submit that was killed in mid-upload").await;
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}
