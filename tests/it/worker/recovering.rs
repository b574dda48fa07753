//! What a dead process left is recovered, whatever the object store does.

use std::process::{Child, Stdio};

use parselog::ids::RunId;
use parselog::record::LogEnding;
use parselog::recovery::close_dead;
use parselog::spool::PROCESS_DIED;

use super::*;
use crate::support::skip::needs_root;

/// What a process that died in the middle of a run left: a run that is running, an open log that nobody
/// holds, and an external parser that goes on.
struct Dead {
    run: RunId,
    parser: Child,
}

impl Dead {
    async fn leave(bench: &Bench, name: &str) -> Self {
        bench.submit(name, SUBMISSION, 1).await;
        let claimed = bench.db.claim("dead-worker").await.unwrap();
        let run = &claimed.run;
        let head = head_of(&claimed);
        bench.on_spool(move |spool| drop(spool.create(&head).unwrap())).await;
        unheld(&bench.worker.system().spool).await;
        let mut parser = Command::new("sleep");
        parser.arg("1000").env("PARSELOG_RUN_ID", run.id.to_string()).stdin(Stdio::null());
        Self { run: run.id, parser: parser.spawn().unwrap() }
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        let _ = self.parser.kill();
        let _ = self.parser.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_holds_up_no_recovery() {
    let bench = Bench::in_folder(None).await;
    // The store refuses logs: a file is where their folder must be.
    let folder = bench.dir.path().join("objects/files/data_files/2021/parsing_logs");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(&folder, "").unwrap();
    for number in 0..4 {
        bench.submit(&format!("kept-{number}.txt"), SUBMISSION, 1).await;
        let report = bench.run_next().await;
        assert!(matches!(report.log, Some(Archived::Kept { store_is_down: true, .. })), "{report:?}");
    }
    let mut dead = Dead::leave(&bench, "dead.txt").await;

    let swept = bench.sweep().await;
    assert_eq!((swept.recovered, swept.archived), (1, 0));
    // It is killed, and on its way out; one that goes on would do so for longer than we wait.
    let began = std::time::Instant::now();
    while dead.parser.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "its parser goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.db.run(dead.run).await.status, RunStatus::Crash);
    let entry = bench.worker.system().spool.find(dead.run).unwrap();
    unheld(&bench.worker.system().spool).await;
    let log = bench.on_spool(move |spool| spool.take_sealed(&entry, None).unwrap()).await;
    let log = log.expect("its log is complete");
    assert_eq!(log.tail.ending, LogEnding::Crash);
    drop(log);

    fs::remove_file(&folder).unwrap();
    let swept = bench.sweep().await;
    assert_eq!((swept.recovered, swept.archived, swept.kept), (0, 5, 0));
    assert!(bench.spooled().is_empty(), "left in the spool: {:?}", bench.spooled());
}

/// In a container that was entered from outside, the group of such a process is out of sight.
#[test]
fn an_orphan_whose_group_is_out_of_sight_is_ended_too() {
    if needs_root("make a namespace of processes") {
        return;
    }
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--mount-proc"]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", "worker::recovering::a_store_that_is_down_holds_up_no_recovery"]);
    let output = inside.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_process_died_between_its_seal_and_its_end_is_ended_at_once() {
    let bench = Bench::in_folder(None).await;
    let dead = Dead::leave(&bench, "sealed.txt").await;
    let entry = bench.worker.system().spool.find(dead.run).unwrap();
    assert!(
        bench
            .on_spool(move |spool| close_dead(spool, entry.log, None, LogEnding::Crash, PROCESS_DIED)
                .unwrap()
                .is_some())
            .await
    );

    unheld(&bench.worker.system().spool).await;
    assert_eq!(bench.worker.recovery().recover().await.unwrap(), 0, "its log was complete");
    assert_eq!(bench.db.run(dead.run).await.status, RunStatus::Crash);
}
