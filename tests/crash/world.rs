//! A database, an object store and a spool of one test's own, and what was done to them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parselog::ids::RunId;
use parselog::objects::{FolderStore, Objects, Put, S3, S3Options};
use parselog::queue;
use parselog::store::{self, NewFile, Run};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::PATIENCE;
use crate::support::TestDb;
use crate::support::request_by;
use crate::worker::Worker;

pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) objects: Objects,
    pub(crate) bucket: String,
    /// Beginning of all keys, so that worlds may share a bucket.
    pub(crate) prefix: String,
    home: Option<tempfile::TempDir>,
    /// What the program is told there, beside its place.
    environment: Vec<(String, String)>,
    started: usize,
    /// What was submitted, by key.
    pub(crate) submissions: BTreeMap<String, Submitted>,
    /// Runs whose log was seen in the spool, so that it may not be missing later.
    pub(crate) named: HashSet<RunId>,
    /// Events that were acknowledged long enough before the machine of their run was lost.
    pub(crate) left_in_time: HashMap<RunId, HashSet<u64>>,
    /// URIs of rows whose object was seen.
    pub(crate) confirmed: HashSet<String>,
    /// Where workers beside the usual ones acknowledge.
    other_acks: Vec<PathBuf>,
}

/// What a submission makes the parser of these tests do.
pub(crate) struct Submitted {
    /// The file.
    pub(crate) text: String,
    /// On each thread.
    pub(crate) events: u64,
    pub(crate) threads: u64,
}

impl World {
    /// A world whose objects are in a folder.
    pub(crate) async fn in_folder() -> Self {
        Self::in_folder_and(TestDb::new().await)
    }

    /// A world of this database, whose objects are in a folder.
    pub(crate) fn in_folder_and(db: TestDb) -> Self {
        let home = tempfile::tempdir().unwrap();
        let objects = Objects::Folder(FolderStore::open(&home.path().join("objects")).unwrap());
        Self::new(db, home, objects, "files".to_owned(), Vec::new())
    }

    /// A world whose objects are in S3, all logs uploaded in parts.
    pub(crate) async fn in_s3() -> Self {
        let endpoint = std::env::var("PARSELOG_TEST_S3")
            .expect("PARSELOG_TEST_S3 names an S3 endpoint: run eval \"$(localstack/start --env)\"");
        let objects =
            Objects::S3(S3::connect(S3Options { endpoint: Some(endpoint), ..Default::default() }).await);
        let bucket = std::env::var("PARSELOG_BUCKET").unwrap_or_else(|_| "parselog".to_owned());
        let environment = vec![
            ("PARSELOG_BUCKET".to_owned(), bucket.clone()),
            ("PARSELOG_S3_MULTIPART_FROM".to_owned(), "1B".to_owned()),
        ];
        Self::new(TestDb::new().await, tempfile::tempdir().unwrap(), objects, bucket, environment)
    }

    fn new(
        db: TestDb,
        home: tempfile::TempDir,
        objects: Objects,
        bucket: String,
        environment: Vec<(String, String)>,
    ) -> Self {
        fs::create_dir(home.path().join("acks")).unwrap();
        let prefix = format!("crash-{}", Uuid::new_v4().simple());
        Self {
            db,
            objects,
            bucket,
            prefix,
            home: Some(home),
            environment,
            started: 0,
            submissions: BTreeMap::new(),
            named: HashSet::new(),
            left_in_time: HashMap::new(),
            confirmed: HashSet::new(),
            other_acks: Vec::new(),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.as_ref().unwrap().path()
    }

    /// Tells the program something more, from now on.
    pub(crate) fn tell(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    pub(crate) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let place =
            [("DATABASE_URL", self.db.url()), ("PARSELOG_HOME", self.home().to_str().unwrap().to_owned())];
        place.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(self.environment.clone())
    }

    /// A name that no worker of this world had.
    pub(crate) fn next_name(&mut self) -> String {
        self.started += 1;
        format!("w{}", self.started)
    }

    pub(crate) fn acks(&self) -> PathBuf {
        self.home().join("acks")
    }

    /// A further folder for acknowledgements, for a worker that may not share the parser's lock.
    pub(crate) fn more_acks(&mut self) -> PathBuf {
        let folder = self.home().join(format!("acks-{}", self.other_acks.len()));
        fs::create_dir(&folder).unwrap();
        self.other_acks.push(folder.clone());
        folder
    }

    pub(crate) fn ack_folders(&self) -> impl Iterator<Item = PathBuf> {
        [self.acks()].into_iter().chain(self.other_acks.clone())
    }

    /// The events of a run that its parser acknowledged, to any worker.
    pub(crate) fn acknowledged(&self, run: RunId) -> Vec<u64> {
        let files = self.ack_folders().map(|folder| folder.join(format!("{run}.acks")));
        let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        // A kill may leave the beginning of a number, which is another number.
        let lines = texts.iter().flat_map(|text| text.split_inclusive('\n'));
        lines.filter_map(|line| line.strip_suffix('\n')).map(|line| line.parse().unwrap()).collect()
    }

    pub(crate) fn submission_of(&self, run: &Run) -> Option<&Submitted> {
        self.submissions.get(&run.key)
    }

    /// Submits a file that makes the test's parser log `events` on each of `threads`.
    pub(crate) async fn submit(&mut self, events: u64, threads: u64, pause_micros: u64) {
        self.submit_with(events, threads, pause_micros, "").await;
    }

    /// Submits such a file, whose parse comes to this fate; returns the file's name.
    pub(crate) async fn submit_with(
        &mut self,
        events: u64,
        threads: u64,
        pause_micros: u64,
        fate: &str,
    ) -> String {
        let number = self.submissions.len() + 1;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("{events} {threads} {pause_micros} {number} {fate}\n");
        file.write_all(text.as_bytes()).unwrap();
        let put = Put {
            content_type: "text/plain",
            metadata: Vec::new(),
            sha256: Sha256::digest(text.as_bytes()).into(),
            if_none_match: false,
        };
        let key = format!("{}/{number}.txt", self.prefix);
        let stored = self.objects.put_file(&self.bucket, &key, file.path(), &put).await.unwrap();
        self.submissions.insert(key.clone(), Submitted { text, events, threads });
        let file = NewFile {
            bucket: self.bucket.clone(),
            name: format!("{number}.txt"),
            key,
            version_id: stored.uri.version().unwrap_or_default().to_owned(),
            program: "tanf".to_owned(),
            section: "active".to_owned(),
            fiscal_year: 2024,
            fiscal_quarter: 1,
            ..NewFile::default()
        };
        let name = file.name.clone();
        store::submit(&self.db.pool, &[file], &request_by("crash-test")).await.unwrap();
        name
    }

    /// Works until every run has ended and every log is archived, with an unharmed worker.
    pub(crate) async fn drain(&mut self) {
        self.unblock_archive();
        let mut worker = self.worker(None, &[]);
        let began = Instant::now();
        loop {
            self.let_time_pass(&worker.name).await;
            let (unfinished, unarchived) = self.left_to_do().await;
            // Where nothing is left to do, it must have come as far as to know SIGTERM.
            if unfinished == 0 && unarchived == 0 && self.spool_files().is_empty() && self.says(&worker) {
                break;
            }
            let ended = worker.poll();
            if ended.is_some() || began.elapsed() > PATIENCE {
                let spool = self.spool_files();
                self.fail(&format!(
                    "not drained: {unfinished} unfinished, {unarchived} not archived, spool {spool:?}, worker {ended:?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.wants_no_more_of(&mut worker);
    }

    /// Ends a worker that has nothing left to do, as an operator does.
    pub(crate) fn wants_no_more_of(&self, worker: &mut Worker) {
        let ended = worker.stop(Signal::TERM);
        assert!(ended.success(), "the worker ended with {ended}");
        assert_eq!(
            files_below(&self.home().join("scratch")),
            Vec::<PathBuf>::new(),
            "copies were left behind"
        );
    }

    /// What hours would bring: retries are due, the leases of dead workers are over, and what a dead
    /// process was creating is old.
    pub(crate) async fn let_time_pass(&self, living: &str) {
        self.db.make_due().await;
        self.end_leases_but(living).await;
        self.only_this_lives(living).await;
        queue::reap(&self.db.pool, Duration::ZERO).await.unwrap();
        let now = SystemTime::now();
        for path in self.spool_files().iter().filter(|path| path.extension().is_some_and(|end| end == "new"))
        {
            // It may be gone, or just have got its name; or be a living worker's, who locks it in a moment.
            if let Ok(file) = File::options().write(true).open(path)
                && file.metadata().unwrap().modified().unwrap() < now - Duration::from_secs(3)
            {
                file.set_modified(now - Duration::from_secs(600)).unwrap();
            }
        }
    }

    /// No worker lives: the leases of all are over.
    pub(crate) async fn end_leases(&self) {
        self.end_leases_but("").await;
    }

    async fn end_leases_but(&self, living: &str) {
        sqlx::query(
            "update parse_file_meta set lease_until = now() - interval '1 second'
             where status = 'running' and worker <> $1 and lease_until > now()",
        )
        .bind(living)
        .execute(&self.db.pool)
        .await
        .unwrap();
    }

    /// Runs and batches that have not ended, and logs that are not archived.
    pub(crate) async fn left_to_do(&self) -> (i64, i64) {
        sqlx::query_as(
            "select count(*) filter (where status in ('queued', 'running'))
                        + (select count(*) from parse_meta where finished_at is null),
                    count(*) filter (where log_state in ('open', 'sealed', 'fallback'))
             from run",
        )
        .fetch_one(&self.db.pool)
        .await
        .unwrap()
    }

    /// Runs that wait or are running, looked at once: a run that is ended and queued again in between two
    /// looks would be in neither.
    pub(crate) async fn unfinished(&self) -> i64 {
        sqlx::query_scalar("select count(*) from parse_file_meta where status in ('queued', 'running')")
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn running(&self) -> i64 {
        sqlx::query_scalar("select count(*) from parse_file_meta where status = 'running'")
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// The keys of all objects, where they are in a folder.
    pub(crate) fn objects_in_folder(&self) -> Vec<String> {
        let bucket = self.home().join("objects").join(&self.bucket);
        let name = |path: PathBuf| path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned();
        let keys = files_below(&bucket).into_iter().map(name);
        keys.filter(|key| !key.starts_with(".versions/")).collect()
    }

    /// The files of logs, and not that which names the folder.
    pub(crate) fn spool_files(&self) -> Vec<PathBuf> {
        files_below(&self.home().join("spool")).into_iter().filter(|path| !path.ends_with(".id")).collect()
    }

    /// Makes every put of a log fail, as a store that is down: a file is where its folder must be.
    pub(crate) fn block_archive(&self) {
        let folder = self.logs_folder();
        if folder.is_dir() {
            fs::rename(&folder, folder.with_extension("away")).unwrap();
        }
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        File::create(&folder).unwrap();
    }

    pub(crate) fn unblock_archive(&self) {
        let folder = self.logs_folder();
        if folder.is_file() {
            fs::remove_file(&folder).unwrap();
            let away = folder.with_extension("away");
            if away.is_dir() {
                fs::rename(away, &folder).unwrap();
            }
        }
    }

    fn logs_folder(&self) -> PathBuf {
        self.home().join("objects").join(&self.bucket).join(&self.prefix).join("parsing_logs")
    }

    /// Ends the test, and keeps everything on disk for who looks into it.
    pub(crate) fn fail(&mut self, what: &str) -> ! {
        let kept = self.home.take().unwrap().keep();
        panic!("{what}\nthe home is kept in {}", kept.display());
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
