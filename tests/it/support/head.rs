//! The first record of a log.

use chrono::Utc;
use parselog::ids::{BatchId, DataFileId, LogKey, RunId};
use parselog::queue::ClaimedRun;
use parselog::record::{Head, RunSubject, SCHEMA_VERSION, Subject};

/// Of a run of which no database knows.
pub(crate) fn head() -> Head {
    head_of_run(RunId::new())
}

/// Of this run, of which no database knows.
pub(crate) fn head_of_run(run: RunId) -> Head {
    Head {
        version: SCHEMA_VERSION,
        log: run.into(),
        bucket: "bucket".to_owned(),
        log_key: "folder/parsing_logs/x.log.gz".to_owned(),
        worker: "test".to_owned(),
        started: Utc::now(),
        subject: Subject::Run(RunSubject {
            run,
            lease_token: uuid::Uuid::new_v4(),
            attempt: 1,
            data_file: DataFileId(7),
            batch: BatchId(3),
            reparse: None,
            key: "folder/file.txt".to_owned(),
            object_version: String::new(),
        }),
    }
}

/// Of a run that was claimed a moment ago.
pub(crate) fn head_of(claimed: &ClaimedRun) -> Head {
    let run = &claimed.run;
    // As the worker does: whoever takes the log over knows the row alone.
    let started = run.started_at.expect("a claimed run has started");
    Head {
        bucket: run.bucket.clone(),
        log_key: LogKey::new(&run.key, run.data_file_id, started, None, run.id).as_str().to_owned(),
        started,
        subject: Subject::Run(RunSubject {
            run: run.id,
            lease_token: claimed.lease_token,
            attempt: run.attempt,
            data_file: run.data_file_id,
            batch: run.batch_id,
            reparse: None,
            key: run.key.clone(),
            object_version: run.version_id.clone(),
        }),
        ..head_of_run(run.id)
    }
}
