//! Lists of runs as an operator asks for them: by outcome and person, in an order, page by page, and no wider than
//! the terminal.

use std::collections::BTreeSet;

use parselog::queue::Ending;

use crate::support::{Desk, outcome};

/// The ids that a list names, in its order.
fn ids(desk: &Desk, arguments: &[&str]) -> Vec<String> {
    let rows = desk.ok(&[&["runs", "--json"], arguments].concat()).json();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Runs in each state: one that is rejected, one that runs, and the others queued.
async fn desk_with_many_runs() -> Desk {
    let desk = Desk::new().await;
    let keys: Vec<String> = (0..25).map(|n| format!("files/{n:02}-{}.txt", "name".repeat(12))).collect();
    desk.db.submit(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rejected = desk.db.claim("first").await.unwrap();
    let rejects = parselog::Outcome { summary: parselog::SummaryStatus::Rejected, ..*outcome() };
    desk.db.finish(&rejected, Ending::Success(Box::new(rejects))).await;
    desk.db.claim("second").await.unwrap();
    desk
}

#[tokio::test]
async fn the_pages_of_a_list_have_every_run_once_in_any_order() {
    let desk = desk_with_many_runs().await;
    for sort in ["queued", "started", "finished", "took", "size", "errors", "name"] {
        for more in [&[][..], &["--reverse"]] {
            let order = [&["--sort", sort], more].concat();
            let all = ids(&desk, &[&order[..], &["-n", "100"]].concat());
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 25, "{order:?}");
            let mut paged = ids(&desk, &[&order[..], &["-n", "10"]].concat());
            while paged.len() < all.len() {
                let last = paged.last().unwrap().clone();
                let page = ids(&desk, &[&order[..], &["-n", "10", "--after", &last]].concat());
                assert!(!page.is_empty(), "{order:?}");
                paged.extend(page);
            }
            // What runs took is another by now, but one alone runs.
            assert_eq!(paged, all, "{order:?}");
        }
    }
    let names = |arguments: &[&str]| {
        let rows = desk.ok(&[&["runs", "--json", "--sort", "name", "-n", "1"], arguments].concat()).json();
        rows[0]["name"].as_str().unwrap()[..2].to_owned()
    };
    assert_eq!((names(&[]), names(&["--reverse"])), ("00".to_owned(), "24".to_owned()));
}

#[tokio::test]
async fn a_page_says_how_much_there_is_and_how_to_go_on() {
    let desk = desk_with_many_runs().await;
    let first = desk.ok(&["runs"]);
    let said = first.err.trim_end().strip_prefix("20 of 25; next: --after ").unwrap().to_owned();
    let next = desk.ok(&["runs", "--after", &said]);
    assert_eq!((next.out.lines().count(), next.err.as_str()), (6, ""));
    assert_eq!(desk.ok(&["runs", "-n", "25"]).err, "");
}

#[tokio::test]
async fn runs_are_chosen_by_outcome_and_by_person_in_the_words_of_every_command() {
    let desk = desk_with_many_runs().await;
    for outcome in ["rejected", "Rejected", "success"] {
        assert_eq!(ids(&desk, &["--verdict", outcome]), ids(&desk, &["--status", outcome]), "{outcome}");
        assert_eq!(ids(&desk, &["--verdict", outcome]).len(), 1);
    }
    assert_eq!(ids(&desk, &["--status", "rejected,running"]).len(), 2);
    assert_eq!(ids(&desk, &["-n", "100", "--by", "ann"]).len(), 25);
    assert!(ids(&desk, &["--by", "bob"]).is_empty());
    let said = desk.run(&["runs", "--status", "good"]);
    assert_eq!((said.code, said.err.contains("partially-accepted")), (2, true), "{}", said.err);
    let shown = desk.ok(&["show", "@rejected", "--json"]).json();
    assert_eq!(shown[0]["run"]["id"].as_str(), Some(ids(&desk, &["--verdict", "rejected"])[0].as_str()));
}

#[tokio::test]
async fn a_running_run_has_its_worker_its_age_and_its_heartbeat() {
    let desk = desk_with_many_runs().await;
    sqlx::query(
        "update parse_file_meta set started_at = now() - interval '2 minutes' where status = 'running'",
    )
    .execute(&desk.db.pool)
    .await
    .unwrap();
    let said = desk.ok(&["runs", "--status", "running"]).out;
    assert!(said.contains("2 min ") && said.contains("on second, heartbeat "), "{said}");
}

#[tokio::test]
async fn no_list_is_wider_than_the_terminal_and_its_ids_are_found() {
    let desk = desk_with_many_runs().await;
    for columns in ["60", "80", "120", "200"] {
        for line in [&["runs"][..], &["history", "1"], &["actions"], &["show", "@rejected"]] {
            let output = desk.command(line).env("COLUMNS", columns).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let widest =
                said.lines().filter(|line| !line.contains("://")).map(|line| line.chars().count()).max();
            let room = if line[0] == "show" { 200 } else { columns.parse().unwrap() };
            assert!(widest.unwrap() <= room, "{line:?} at {columns}: {said}");
        }
    }
    let output = desk.command(&["runs", "-n", "1"]).env("COLUMNS", "80").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let id = said.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!((id.len(), ids(&desk, &["-n", "1"])[0].ends_with(id)), (8, true));
    desk.ok(&["show", id]);
}
