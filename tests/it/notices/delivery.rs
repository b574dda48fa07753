//! What becomes of a mail: it is taken, refused, put off, or nobody knows.

use std::time::Duration;

use chrono::Utc;
use parselog::notify::{IN_DOUBT, LATE};
use parselog::parser::SummaryStatus;
use parselog::store::outbox::{self, Waits};
use parselog::store::{self, NewFile, NoticeState, notice};

use super::{PATIENCE, Post, SUBMITTER, success};
use crate::support::new_file;
use crate::support::request_by;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_fails_alone_and_one_refused_for_the_moment_is_tried_again() {
    let post = Post::new().await;
    let addresses = ["refused@state.test", "later@state.test", SUBMITTER];
    post.submit("a/1.txt", &addresses, 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    assert_eq!(post.told().await.len(), 1);
    let mut notices = notice::list(&post.db.pool, &notice::NoticeFilter::default()).await.unwrap();
    notices.sort_by(|one, other| one.address.cmp(&other.address));
    let [later, refused, sent] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!((later.state, refused.state), (NoticeState::Queued, NoticeState::Failed));
    assert_eq!((sent.state, sent.last_error.as_deref()), (NoticeState::Sent, None));
    assert!(later.next_try_at > Utc::now(), "{later:?}");
    let reason = refused.last_error.as_deref().unwrap();
    assert!(reason.contains("550") && !reason.contains("@state"), "{reason}");
    post.sql("update notice set next_try_at = now(), attempts = 401 where state = 'queued'").await;
    assert_eq!(post.told().await.len(), 1);
    let failed = notice::undelivered(&post.db.pool, IN_DOUBT, LATE).await.unwrap();
    assert_eq!(failed.len(), 2, "after days it is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_hangs_up_instead_of_answering_gets_the_mail_no_second_time() {
    let post = Post::new().await;
    post.submit("a/1.txt", &["silent@state.test", SUBMITTER], 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    for _ in 0..3 {
        post.notifier.round(PATIENCE).await.unwrap();
    }
    let told: Vec<String> = post.server.received().into_iter().map(|mail| mail.to).collect();
    assert_eq!(told, ["silent@state.test", SUBMITTER]);
    let mut states = post.states().await;
    states.sort();
    assert_eq!(states, [NoticeState::Sending, NoticeState::Sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_may_have_been_taken_is_sent_again_only_when_a_person_says_so() {
    let post = Post::new().await;
    post.submit("a/1.txt", &[SUBMITTER], 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    post.notifier.queue().await.unwrap();
    // A worker died after it took the notice: what came of the mail, nobody knows.
    let taken =
        outbox::take_result(&post.db.pool, Waits { gap: Duration::ZERO, archive: Duration::from_secs(3600) })
            .await
            .unwrap();
    assert_eq!(post.told().await, []);
    let ids = [taken[0].id];
    assert_eq!(
        notice::settle(&post.db.pool, &ids, true, IN_DOUBT, "ann").await.unwrap(),
        0,
        "it may be under way"
    );
    assert_eq!(notice::undelivered(&post.db.pool, IN_DOUBT, LATE).await.unwrap(), []);
    post.sql("update notice set tried_at = now() - interval '11 minutes'").await;
    assert_eq!(post.told().await, []);
    assert_eq!(notice::undelivered(&post.db.pool, IN_DOUBT, LATE).await.unwrap().len(), 1);
    assert_eq!(notice::settle(&post.db.pool, &ids, true, IN_DOUBT, "ann").await.unwrap(), 1);
    assert_eq!(post.told().await.len(), 1);
    let run = taken[0].run_id.unwrap();
    assert!(post.db.entries(run).await.contains(&"notice-retried".to_owned()));
}

#[tokio::test]
async fn an_address_that_is_none_never_reaches_a_row_and_new_ones_replace_those_from_before() {
    let post = Post::new().await;
    for bad in ["a@b\r\nBcc: c@d", "a b@c", "a@", "@b", "a@b@c", "<a@b>", "a@b,c@d", "ä@b"] {
        assert!(bad.parse::<parselog::config::Address>().is_err(), "{bad}");
        let file = NewFile { submitter_emails: vec![bad.to_owned()], ..new_file("a/1.txt") };
        let error = store::submit(&post.db.pool, &[file], &request_by("ann")).await.unwrap_err();
        assert!(error.to_string().contains("submitter_emails_are_addresses"), "{error}");
    }
    let emails = async || post.db_emails().await;
    post.submit("a/1.txt", &[SUBMITTER, "o'neil+x@a-b.test"], 1).await;
    post.submit("a/1.txt", &[], 1).await;
    assert_eq!(emails().await, [SUBMITTER, "o'neil+x@a-b.test"]);
    post.submit("a/1.txt", &["new@state.test"], 1).await;
    assert_eq!(emails().await, ["new@state.test"]);
}

impl Post {
    async fn db_emails(&self) -> Vec<String> {
        sqlx::query_scalar("select unnest(submitter_emails) from data_file")
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }
}
