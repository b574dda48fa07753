//! `submit` killed between store and queue.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
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

    /// What is there under the submitted files' keys: their versions, and what was cut off in mid-upload.
    fn stored(&self) -> impl Iterator<Item = PathBuf> {
        let versions = self.home().join("objects/files/.versions");
        let folders = self.submissions.keys().map(move |key| versions.join(key));
        folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().map(|entry| entry.unwrap().path())
    }

    /// Makes what was cut off in mid-upload old.
    fn age_unfinished(&self) {
        let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
        for path in self.stored().filter(|path| is_unfinished(path)) {
            // It is read-only, which its owner may date all the same.
            File::open(&path).unwrap().set_modified(long_ago).unwrap();
        }
    }

    /// Versions of the submitted files, and those of them that a row names.
    async fn versions(&self) -> (i64, i64) {
        let versions = self.stored().filter(|path| !is_unfinished(path)).count() as i64;
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
    // Two files are stored at once: the kill may have cut one off in mid-upload.
    world.age_unfinished();
    assert_eq!(world.findings(&["--fix"]), [""; 0]);
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
    world.age_unfinished();
    let named = world.findings(&[]);
    assert!(!named.is_empty() && named.iter().all(|kind| kind == "stale-upload"), "{named:?}");
    assert_eq!(world.findings(&["--fix"]), [""; 0]);
    world.drain().await;
    oracle::check(&mut world, Losses::None, "a submit that was killed in mid-upload").await;
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "part")
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}
