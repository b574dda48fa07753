//! What waits for a store that is down costs no more than it must.

use std::os::unix::fs::MetadataExt;

use parselog::record::LogEnding;

use super::*;

/// A bench with one log that fell back, and the file that keeps the store from taking it.
async fn fallen_back() -> (Bench, PathBuf, PathBuf) {
    let bench = Bench::in_folder(None).await;
    bench.submit("waiting.txt", SUBMISSION, 1).await;
    let folder = bench.dir.path().join("objects/files/data_files/2021/parsing_logs");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(&folder, "").unwrap();
    let report = bench.run_next().await;
    assert!(matches!(report.log, Some(Archived::Kept { store_is_down: true, .. })), "{report:?}");
    let archive = bench.worker.system().spool.find(report.run).unwrap().path.with_extension("log.gz");
    (bench, folder, archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_log_waits_is_said_without_what_a_file_name_gives_away() {
    let bench = Bench::in_folder(None).await;
    // The folder of its log can't be made, and the error names it.
    fs::create_dir(bench.dir.path().join("123-45-6789")).unwrap();
    bench.submit("123-45-6789/a.txt", SUBMISSION, 1).await;
    fs::write(bench.dir.path().join("objects/files/data_files/2021/123-45-6789/parsing_logs"), "").unwrap();
    let report = bench.run_next().await;
    let run = bench.db.run(report.run).await;
    let said = format!("{report:?} {:?}", run.archive_error);
    assert!(said.contains("parsing_logs") && !said.contains("123-45-6789"), "{said}");
}

/// When the file was last written to.
fn written(path: &std::path::Path) -> (i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.mtime(), metadata.mtime_nsec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_waits_for_the_store_is_compressed_once() {
    let (bench, folder, archive) = fallen_back().await;
    let first = written(&archive);
    for _ in 0..2 {
        assert_eq!(bench.sweep().await.kept, 1);
        assert_eq!(written(&archive), first, "it was compressed again");
    }
    let raw = fs::read(archive.with_extension("")).unwrap();
    fs::remove_file(folder).unwrap();
    assert_eq!(bench.sweep().await.archived, 1);
    let uri: String =
        sqlx::query_scalar("select logs_uri from parse_file_meta").fetch_one(&bench.db.pool).await.unwrap();
    assert_eq!(gunzip(&bench.archived(&uri).await), raw);
    assert!(bench.spooled().is_empty(), "left in the spool: {:?}", bench.spooled());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_whole_or_of_another_log_is_made_anew() {
    let summary = |archive: &std::path::Path| archive.with_extension("").with_extension("summary");
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    // What a power loss leaves: the length alone.
    let blank = |path: &std::path::Path| {
        fs::write(path, vec![0; fs::metadata(path).unwrap().len() as usize]).unwrap();
    };
    let damages: [&dyn Fn(&std::path::Path); 7] = [
        &|archive| blank(archive),
        &|archive| blank(&summary(archive)),
        &|archive| fs::write(summary(archive), "").unwrap(),
        &|archive| {
            let mut bytes = fs::read(archive).unwrap();
            flip(&mut bytes);
            fs::write(archive, bytes).unwrap();
        },
        &|archive| fs::File::options().write(true).open(archive).unwrap().set_len(100).unwrap(),
        &|archive| fs::write(summary(archive), "{\"raw_bytes\":1").unwrap(),
        &|archive| {
            let text = fs::read_to_string(summary(archive)).unwrap();
            fs::write(summary(archive), text.replacen("\"raw_bytes\":", "\"raw_bytes\":1", 1)).unwrap();
        },
    ];
    for damage in damages {
        let (bench, folder, archive) = fallen_back().await;
        let raw = fs::read(archive.with_extension("")).unwrap();
        damage(&archive);
        fs::remove_file(folder).unwrap();
        assert_eq!(bench.sweep().await.archived, 1);
        let uri: String = sqlx::query_scalar("select logs_uri from parse_file_meta")
            .fetch_one(&bench.db.pool)
            .await
            .unwrap();
        assert_eq!(gunzip(&bench.archived(&uri).await), raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_waits_for_the_store_is_tried_less_and_less_often_and_at_once_when_the_store_is_well() {
    let (bench, folder, _) = fallen_back().await;
    let recovery = bench.worker.recovery();
    let mut tried = Vec::new();
    for sweep in 1..=16 {
        if recovery.archive_due().await.unwrap().kept == 1 {
            tried.push(sweep);
        }
    }
    assert_eq!(tried, [1, 2, 4, 8, 16]);
    fs::remove_file(folder).unwrap();
    bench.submit("another.txt", SUBMISSION, 1).await;
    let claimed = queue::claim(&bench.db.pool, bench.worker.claimant()).await.unwrap().unwrap();
    let head = head_of(&claimed);
    let seal = move |spool: &Spool| spool.create(&head).unwrap().seal(LogEnding::Success, None).map(drop);
    bench.on_spool(seal).await.unwrap();
    // The other log shows that the store is well; the one that waits follows with the next sweep.
    assert_eq!(recovery.archive_due().await.unwrap().archived, 1);
    assert_eq!(recovery.archive_due().await.unwrap().archived, 1);
    assert_eq!(recovery.archive_due().await.unwrap(), Default::default());
}
