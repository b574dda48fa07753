//! Workers that are killed while they tell people: a mail at most once, and none is forgotten in silence.

use std::time::{Duration, Instant};

use crate::oracle::{self, Losses};
use crate::support::MailServer;
use crate::support::PATIENCE;
use crate::world::World;
use crate::{points, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_tells_people_sends_each_mail_at_most_once_and_names_those_in_doubt() {
    let _turn = turn().await;
    let server = MailServer::start();
    let mut world = World::in_folder().await;
    world.tell("PARSELOG_SMTP_URL", &server.url());
    world.tell("PARSELOG_MAIL_FROM", "noreply@parselog.test");
    for point in points::of("notice-") {
        world.submit(20, 1, 0).await;
        sqlx::query(
            "update data_file set submitter_emails = array[$1] where id = (select max(id) from data_file)",
        )
        .bind(address(&point))
        .execute(&world.db.pool)
        .await
        .unwrap();
        let mut worker = world.worker(Some(&point), &[]);
        assert!(worker.dies_within(PATIENCE).await, "nobody was told: {point}");
        world.look_at_the_wreck(&point).await;
        all_are_told(&mut world).await;
    }
    world.drain().await;
    for point in points::of("notice-") {
        let told = server.received().iter().filter(|mail| mail.to == address(&point)).count();
        let state: String = sqlx::query_scalar("select state from notice where address = $1")
            .bind(address(&point))
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
        let expected = match point.as_str() {
            "notice-taken" => (0, "sending"),
            "notice-delivered" => (1, "sending"),
            _ => (1, "sent"),
        };
        assert_eq!((told, state.as_str()), expected, "{point}");
    }
    // Nobody knows of two: a person is told, and decides.
    sqlx::query("update notice set tried_at = now() - interval '11 minutes'")
        .execute(&world.db.pool)
        .await
        .unwrap();
    let doctor = world.command(None, &["doctor"]).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(said.matches("nobody knows whether mail").count(), 2, "{said}");
    oracle::check(&mut world, Losses::None, "killed while people were told").await;
}

fn address(point: &str) -> String {
    format!("{point}@state.test")
}

/// An unharmed worker tells what there is to tell: for each run that was submitted, one mail.
async fn all_are_told(world: &mut World) {
    let mut worker = world.worker(None, &[]);
    let (began, runs) = (Instant::now(), world.submissions.len() as i64);
    loop {
        let (taken, waiting): (i64, i64) =
            sqlx::query_as("select count(*), count(*) filter (where state = 'queued') from notice")
                .fetch_one(&world.db.pool)
                .await
                .unwrap();
        if (taken, waiting) == (runs, 0) && world.says(&worker) {
            return world.wants_no_more_of(&mut worker);
        }
        if began.elapsed() > PATIENCE {
            world.fail(&format!("of {runs} mails {taken} are queued, and {waiting} of them wait"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
