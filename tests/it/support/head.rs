//! The first record of a log.

use chrono::Utc;
use parselog::ids::{BatchId, DataFileId, LogKey, RunId};
use parselog::queue::ClaimedRun;
use parselog::record::{Head, SCHEMA_VERSION};

/// Of a run of which no database knows.
pub(crate) fn head() -> Head {
    Head {
        version: SCHEMA_VERSION,
        run: RunId::new(),
        lease_token: uuid::Uuid::new_v4(),
        attempt: 1,
        data_file: DataFileId(7),
        batch: BatchId(3),
        reparse: None,
        bucket: "bucket".to_owned(),
        key: "folder/file.txt".to_owned(),
        object_version: String::new(),
        log_key: "folder/parsing_logs/x.log.gz".to_owned(),
        worker: "test".to_owned(),
        started: Utc::now(),
    }
}

/// Of a run that was claimed a moment ago.
pub(crate) fn head_of(claimed: &ClaimedRun) -> Head {
    let (run, started) = (&claimed.run, Utc::now());
    Head {
        run: run.id,
        lease_token: claimed.lease_token,
        attempt: run.attempt,
        data_file: run.data_file_id,
        batch: run.batch_id,
        bucket: run.bucket.clone(),
        key: run.key.clone(),
        object_version: run.version_id.clone(),
        log_key: LogKey::new(&run.key, run.data_file_id, started, None, run.id).as_str().to_owned(),
        started,
        ..head()
    }
}
