//! `kill -9` takes back nothing that was answered with 2xx.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{Client, Served, all_messages, spooled};
use crate::support::{Desk, PATIENCE};

const SENDERS: u64 = 4;

/// Kills by default; `PARSELOG_HTTP_KILLS` says how many otherwise.
const KILLS: u64 = 8;

/// Whether something was answered since the kill before this one.
fn is_answered(answered: &Mutex<BTreeSet<String>>, kill: u64) -> bool {
    let of_this_kill = format!("{kill}-");
    answered.lock().unwrap().iter().any(|id| id.starts_with(&of_this_kill))
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_wherever_the_server_is_killed() {
    let kills = std::env::var("PARSELOG_HTTP_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let desk = Desk::new().await;
    let answered = Mutex::new(BTreeSet::<String>::new());
    for kill in 0..kills {
        let sync = if kill % 2 == 0 { "off" } else { "on" };
        // Small segments, so that kills meet their ends too.
        let options = ["--listen", "127.0.0.1:0", "--segment-size", "64KiB", "--intake-sync", sync];
        let mut served = Served::start_with(&desk, &options, &[]);
        std::thread::scope(|threads| {
            for sender in 0..SENDERS {
                let (address, answered) = (served.address, &answered);
                threads.spawn(move || {
                    for batch in 0.. {
                        let ids: Vec<String> =
                            (0..20).map(|nth| format!("{kill}-{sender}-{batch}-{nth}")).collect();
                        let records: Vec<_> =
                            ids.iter().map(|id| json!({"service": "web", "message": id})).collect();
                        let body = serde_json::to_vec(&records).unwrap();
                        let mut client = Client::to_if_there(address)?;
                        let answer = client.request("POST", "/logs", &[], &body).ok()?;
                        if answer.status == 201 {
                            answered.lock().unwrap().extend(ids);
                        }
                    }
                    Some(())
                });
            }
            let began = Instant::now();
            while !is_answered(&answered, kill) && began.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Seeded by its number, so that each kill comes at another moment.
            std::thread::sleep(Duration::from_millis((kill * 7919 + 131) % 400));
            served.signal(Signal::KILL);
            served.child.wait().unwrap();
        });
        assert!(is_answered(&answered, kill), "nothing was answered before kill {kill}");
    }
    let answered = answered.into_inner().unwrap();
    // One more recovers what the dead left, archives it, and ends.
    let served = Served::start(&desk);
    served.stop();
    let stored = BTreeSet::from_iter(all_messages(&desk, "web"));
    let lost: Vec<_> = answered.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} are lost, such as {:?}", lost.len(), answered.len(), lost.first());
    assert!(spooled(&desk, "_rejected").is_empty());
}
