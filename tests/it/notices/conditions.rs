//! What is told, and to whom.

use std::time::Duration;

use parselog::ids::RunId;
use parselog::notify::Notifier;
use parselog::parser::SummaryStatus;
use parselog::queue::{self, Ending};
use parselog::store::stream_error::{self, NewErrors};
use parselog::store::{self, NoticeState};

use super::{ADMIN, PATIENCE, Post, SUBMITTER, URI, failure, notifier, reparse_all, success};
use crate::support::{MailServer, TestDb, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn each_submitter_is_told_once_though_two_workers_sweep_at_once() {
    let post = Post::new().await;
    for number in 0..20 {
        let other = format!("other-{number}@state.test");
        post.submit(&format!("a/{number}.txt"), &[SUBMITTER, &other], 1).await;
        post.end(Ending::Success(outcome())).await;
    }
    let others: Vec<Notifier> = (0..2).map(|_| notifier(&post.db, &post.server)).collect();
    for _ in 0..3 {
        let (one, two) = tokio::join!(others[0].round(PATIENCE), others[1].round(PATIENCE));
        one.unwrap();
        two.unwrap();
    }
    let mails = post.server.received();
    let mut told: Vec<(String, String)> = mails
        .iter()
        .map(|mail| {
            let run = mail.body.lines().find_map(|line| line.strip_prefix("Run ")).unwrap();
            (mail.to.clone(), run.trim().to_owned())
        })
        .collect();
    assert_eq!(told.len(), 40);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 40, "somebody was told twice");
    assert_eq!(told.iter().filter(|(to, _)| to == SUBMITTER).count(), 20);
    assert!(post.states().await.iter().all(|state| *state == NoticeState::Sent));
    assert_eq!(mails[0].subject, "tanf active, fiscal year 2024 Q1: Accepted with Errors");
    for said in [
        "4 of 5 accepted",
        "2 of category 2 (field value)",
        "1 of category 4",
        "202310: 3 accepted without errors, 1 with errors",
        "2 lines",
    ] {
        assert!(mails[0].body.contains(said), "{}", mails[0].body);
    }
    assert!(mails[0].whole.contains("\nAuto-Submitted: auto-generated\n"), "{}", mails[0].whole);
    assert!(!mails[0].body.contains("item 4 must be"), "no problem is quoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_told_when_the_fate_of_its_log_is_known_with_its_place_and_no_reason() {
    let post = Post::new().await;
    let run = post.submit("a/1.txt", &[SUBMITTER], 1).await.run_id;
    let claimed = post.db.claim("w").await.unwrap();
    assert_eq!(post.told().await, [], "it runs");
    store::log::opened(&post.db.pool, run.into()).await.unwrap();
    post.db.finish(&claimed, failure(true)).await;
    assert_eq!(post.told().await, [], "its log is on the way");
    post.archive(&claimed).await;
    let subject = format!("parselog: run {run} ended as fail");
    let result = "tanf active, fiscal year 2024 Q1: not parsed";
    let expected = [(ADMIN.to_owned(), subject), (SUBMITTER.to_owned(), result.to_owned())];
    assert_eq!(post.told().await, expected);
    let mails = post.server.received();
    assert!(mails[0].body.contains(&format!("log {URI}")), "{}", mails[0].body);
    assert!(!mails[1].body.contains("s3://"), "{}", mails[1].body);
    assert!(mails.iter().all(|mail| !mail.whole.contains("6789") && !mail.whole.contains("Jane")));

    // A log whose worker never comes back holds the news up for an hour at most.
    post.submit("a/2.txt", &[SUBMITTER], 1).await;
    let claimed = post.db.claim("w").await.unwrap();
    store::log::opened(&post.db.pool, claimed.run.id.into()).await.unwrap();
    post.db.finish(&claimed, success(SummaryStatus::Accepted)).await;
    assert_eq!(post.told().await.len(), 2);
    post.sql("update parse_file_meta set finished_at = now() - interval '61 minutes'").await;
    assert_eq!(post.told().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_last_attempt_crashed_or_was_stopped_for_good_is_told_to_the_admins() {
    for (ending, status) in [
        (Ending::Crash { reason: "gone".to_owned() }, "crash"),
        (Ending::Terminate { reason: "late".to_owned() }, "terminate"),
    ] {
        let post = Post::new().await;
        post.submit("a/1.txt", &[], 1).await;
        let run = post.end(ending).await;
        let subject = format!("parselog: run {run} ended as {status}");
        assert_eq!(post.told().await, [(ADMIN.to_owned(), subject)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_tried_again_or_handed_back_is_told_to_nobody() {
    let post = Post::new().await;
    post.submit("a/1.txt", &[SUBMITTER], 3).await;
    for ending in [Ending::HandBack, failure(true), Ending::Crash { reason: "gone".to_owned() }] {
        post.end(ending).await;
        post.db.make_due().await;
        assert_eq!(post.told().await, []);
    }
    post.end(success(SummaryStatus::Accepted)).await;
    let subject = "tanf active, fiscal year 2024 Q1: Accepted".to_owned();
    assert_eq!(post.told().await, [(SUBMITTER.to_owned(), subject)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reparse_is_told_to_the_submitter_only_when_the_verdict_is_not_accepted_still() {
    use SummaryStatus::{Accepted, Rejected};
    let post = Post::new().await;
    post.submit("a/1.txt", &[SUBMITTER], 1).await;
    post.end(success(Accepted)).await;
    assert_eq!(post.told().await.len(), 1);
    reparse_all(&post.db).await;
    post.end(success(Accepted)).await;
    assert_eq!(post.told().await.len(), 1, "it stayed accepted");
    for (verdict, mails) in [(Rejected, 2), (Rejected, 3), (Accepted, 4), (Accepted, 4)] {
        let id = reparse_all(&post.db).await;
        post.end(success(verdict)).await;
        assert_eq!(post.told().await.len(), mails, "{verdict} in reparse {id}");
    }
    // One that does not work changes nothing for the submitter.
    reparse_all(&post.db).await;
    let run = post.end(failure(false)).await;
    let told = post.told().await;
    assert_eq!(told.len(), 5);
    assert_eq!(told[0], (ADMIN.to_owned(), format!("parselog: run {run} ended as fail")));
    let mails = post.server.received();
    assert!(mails.iter().filter(|mail| mail.body.contains("parsed again")).count() == 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_run_and_an_overdue_reparse_are_told_once_though_looked_for_many_times() {
    let post = Post::new().await;
    post.submit("a/1.txt", &[SUBMITTER], 1).await;
    let run = post.db.claim("worker-7").await.unwrap().run.id;
    post.submit("a/2.txt", &[], 1).await;
    let batch = reparse_all(&post.db).await;
    assert_eq!(post.told().await, []);
    post.sql("update parse_file_meta set deadline = now() - interval '1 hour' where status = 'running'")
        .await;
    post.sql("update parse_meta set deadline = now() - interval '1 hour' where kind = 'reparse'").await;
    for _ in 0..5 {
        assert_eq!(post.told().await, [(ADMIN.to_owned(), "parselog: 2 errors".to_owned())]);
    }
    let body = &post.server.received()[0].body;
    assert!(body.contains(&format!("run {run} is stuck\n")) && body.contains("worker worker-7"), "{body}");
    assert!(body.contains(&format!("batch {batch} is past its deadline, 2 runs have not ended")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_falls_back_is_told_to_the_admins_once_and_errors_are_gathered() {
    let post = Post::new().await;
    let notifier = post.notifier.clone().with_gap(Duration::from_secs(3600));
    for number in 0..3 {
        post.submit(&format!("a/{number}.txt"), &[], 1).await;
        let claimed = post.db.claim("w").await.unwrap();
        post.db.finish(&claimed, success(SummaryStatus::Accepted)).await;
        store::log::archive_failed(&post.db.pool, claimed.run.id.into(), "no bucket").await.unwrap();
        notifier.round(PATIENCE).await.unwrap();
        assert_eq!(post.server.received().len(), 1, "the first is told at once, the others are gathered");
    }
    post.sql("update notice set sent_at = sent_at - interval '2 hours' where state = 'sent'").await;
    notifier.round(PATIENCE).await.unwrap();
    let subjects: Vec<String> = post.server.subjects().into_iter().map(|(_, subject)| subject).collect();
    assert_eq!(subjects[0], "parselog: 2 errors");
    assert!(subjects[1].ends_with("could not be archived at once"), "{subjects:?}");
    store::log::archive_failed(&post.db.pool, RunId(uuid_of_first(&post).await).into(), "again")
        .await
        .unwrap();
    post.tell().await;
    assert_eq!(post.server.received().len(), 2);
}

async fn uuid_of_first(post: &Post) -> uuid::Uuid {
    sqlx::query_scalar("select min(id::text)::uuid from parse_file_meta")
        .fetch_one(&post.db.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_cancelled_is_no_error_and_what_ended_before_anybody_watched_is_old() {
    let (db, server) = (TestDb::new().await, MailServer::start());
    let post = Post { notifier: notifier(&db, &server), db, server };
    post.submit("a/old.txt", &[SUBMITTER], 1).await;
    post.end(failure(false)).await;
    assert_eq!(post.told().await, [], "it ended before the first look");
    let run = post.submit("a/1.txt", &[SUBMITTER], 1).await.run_id;
    let claimed = post.db.claim("w").await.unwrap();
    queue::cancel(&post.db.pool, run, "ann").await.unwrap();
    post.db.finish(&claimed, Ending::Terminate { reason: "cancel was requested".to_owned() }).await;
    post.archive(&claimed).await;
    let told = post.told().await;
    assert_eq!(told, [(SUBMITTER.to_owned(), "tanf active, fiscal year 2024 Q1: not parsed".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_errors_of_a_logger_in_a_stream_are_told_once_an_hour_with_their_number() {
    let post = Post::new().await;
    let errors =
        |logger: &str, count| NewErrors { service: "celery".to_owned(), logger: logger.to_owned(), count };
    let (pool, parse) = (&post.db.pool, "tasks.parse\u{1b}[2J");
    stream_error::add(pool, &[errors(parse, 40), errors("tasks.mail", 1)]).await.unwrap();
    stream_error::add(pool, &[errors(parse, 2)]).await.unwrap();
    post.tell().await;
    stream_error::add(pool, &[errors(parse, 3)]).await.unwrap();
    post.tell().await;
    let mails = post.server.received();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(mail.to, ADMIN);
    for said in [
        "42 errors in stream celery, of tasks.parse",
        "1 error in stream celery, of tasks.mail",
        "parselog logs service:celery --level error",
    ] {
        assert!(mail.body.contains(said), "{}", mail.body);
    }
    assert!(!mail.body.contains('\u{1b}'), "a name from outside moves no cursor");

    post.sql("update stream_error set began_at = began_at - interval '61 minutes'").await;
    stream_error::add(pool, &[errors(parse, 1)]).await.unwrap();
    post.tell().await;
    let mails = post.server.received();
    assert_eq!(mails.len(), 2, "{mails:?}");
    let again = |subject: &str| subject.starts_with("parselog: 1 error in stream celery, of tasks.parse");
    let mail = mails.iter().find(|mail| again(&mail.subject)).unwrap_or_else(|| panic!("{mails:?}"));
    assert!(mail.body.contains("45 in the hour before"), "{}", mail.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_count_at_once_count_the_errors_of_one_hour() {
    let db = TestDb::new().await;
    let errors = [NewErrors { service: "web".to_owned(), logger: "django.request".to_owned(), count: 1 }];
    let adding = (0..8).map(|_| stream_error::add(&db.pool, &errors));
    futures_util::future::try_join_all(adding).await.unwrap();
    let counted: Vec<(i64, i64)> =
        sqlx::query_as("select id, errors from stream_error").fetch_all(&db.pool).await.unwrap();
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!(counted[0].1, 8);
}
