//! The objects: those that rows name and no others, in the versions that they name, and no upload left open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use parselog::ids::{RunId, report_key};
use parselog::objects::{ObjectUri, Objects};
use parselog::store::Run;

use super::{Losses, twice};
use crate::world::World;

pub(super) async fn check(world: &World, runs: &[Run], losses: Losses, complaints: &mut String) {
    let uris = || runs.iter().filter_map(|run| run.logs_uri.as_deref());
    for uri in twice(uris()) {
        let _ = writeln!(complaints, "two runs say that their log is {uri}");
    }
    let mut versions = match &world.objects {
        Objects::Folder(_) => in_folder(&world.home().join("objects").join(&world.bucket)),
        Objects::S3(_) => in_s3(world).await,
    };
    let logs = uris().filter_map(|uri| Some(uri.parse::<ObjectUri>().ok()?.to_string()));
    let logs = logs.filter_map(|uri| {
        let from = uri.find(&world.prefix)?;
        Some(uri[from..].split('?').next()?.to_owned())
    });
    let logs: Vec<String> = logs.collect();
    // There may be an error report on each log, once.
    for report in logs.iter().map(|key| report_key(key, "csv")) {
        if versions.remove(&report).is_some_and(|many| many > 1) {
            let _ = writeln!(complaints, "the report {report} is there more than once");
        }
    }
    if losses == Losses::Machine {
        // Where its machine came back, the fuller log is named, and the other is there too.
        for log in logs.iter().filter_map(|log| log.strip_suffix(".log.gz")) {
            match log.strip_suffix(".fuller") {
                Some(own) => [".log.gz", ".remote.log.gz"].map(|end| versions.remove(&format!("{own}{end}"))),
                None => [versions.remove(&format!("{log}.remote.log.gz")), None],
            };
        }
    }
    // A log is there once; a submission in the versions that rows name.
    let submitted = world.submissions.keys().map(|key| {
        let named: BTreeSet<&str> =
            runs.iter().filter(|run| run.key == *key).map(|run| run.version_id.as_str()).collect();
        (key.clone(), named.len().max(1))
    });
    for (key, wanted) in logs.into_iter().map(|key| (key, 1)).chain(submitted) {
        match versions.remove(&key) {
            Some(many) if many == wanted => {}
            Some(many) => drop(writeln!(complaints, "{key} is there in {many} versions: {wanted} are named")),
            None => drop(writeln!(complaints, "{key} is not there")),
        }
    }
    if !versions.is_empty() {
        let _ = writeln!(complaints, "objects that no row names: {versions:?}");
    }
    let stale = world.objects.stale_uploads(&world.bucket, &world.prefix, Duration::ZERO).await.unwrap();
    if !stale.is_empty() {
        let _ = writeln!(complaints, "uploads were left behind: {stale:?}");
    }
}

/// Rows whose `logs_uri` names an object that is not there: never, not for a moment. What was seen
/// once is not asked for again.
pub(crate) async fn rows_without_object(world: &mut World) -> Vec<String> {
    let rows: Vec<(RunId, String)> =
        sqlx::query_as("select id, logs_uri from parse_file_meta where logs_uri is not null")
            .fetch_all(&world.db.pool)
            .await
            .unwrap();
    let mut absent = Vec::new();
    for (run, uri) in rows {
        if world.confirmed.contains(&uri) {
            continue;
        }
        match world.objects.head(&uri.parse().unwrap()).await {
            Ok(_) => drop(world.confirmed.insert(uri)),
            Err(error) => absent.push(format!("run {run}: {uri}: {error}")),
        }
    }
    absent
}

/// How many versions each key has.
fn in_folder(bucket: &Path) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    collect(bucket, bucket, &mut keys);
    keys.retain(|path, _| !path.starts_with(".versions/"));
    for (key, versions) in &mut keys {
        *versions = fs::read_dir(bucket.join(".versions").join(key)).map_or(0, Iterator::count);
    }
    keys
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, found);
        } else {
            found.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(), 1);
        }
    }
}

async fn in_s3(world: &World) -> BTreeMap<String, usize> {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    let client = aws_sdk_s3::Client::new(&config);
    let mut versions = BTreeMap::new();
    let mut pages = client.list_object_versions().bucket(&world.bucket).prefix(format!("{}/", world.prefix));
    loop {
        let page = pages.clone().send().await.unwrap();
        for version in page.versions() {
            *versions.entry(version.key().unwrap().to_owned()).or_default() += 1;
        }
        for marker in page.delete_markers() {
            versions.insert(format!("{} (deleted)", marker.key().unwrap()), 1);
        }
        if page.is_truncated() != Some(true) {
            return versions;
        }
        pages = pages
            .set_key_marker(page.next_key_marker().map(ToOwned::to_owned))
            .set_version_id_marker(page.next_version_id_marker().map(ToOwned::to_owned));
    }
}
