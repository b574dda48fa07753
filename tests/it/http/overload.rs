//! Far more than is taken: what is refused is refused at once, and all else is stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::bounds::most_memory;
use super::{Client, Served, all_messages};
use crate::support::Desk;

/// Senders at once, the records of each request, and how long they send.
const SENDERS: usize = 32;
const RECORDS: u64 = 2_000;
const TIME: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_is_sent_is_stored_or_refused_and_memory_is_bounded() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let record = json!({"service": "web", "message": "x".repeat(2000)}).to_string();
    let body = vec![record; RECORDS as usize].join("\n");
    let (sent, stored, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..SENDERS {
            threads.spawn(|| {
                while began.elapsed() < TIME {
                    sent.fetch_add(1, Ordering::Relaxed);
                    let answer = Client::to(served.address).post("/logs", &[], body.as_bytes());
                    match answer.status {
                        201 => stored.fetch_add(1, Ordering::Relaxed),
                        503 => {
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => panic!("{answer:?}"),
                    };
                }
            });
        }
    });
    let [sent, stored, refused] = [sent, stored, refused].map(AtomicU64::into_inner);
    assert_eq!(sent, stored + refused);
    assert!(stored > 0, "nothing was stored");
    assert!(most_memory(&served) < 256, "{} MiB", most_memory(&served));
    served.stop();
    assert_eq!(all_messages(&desk, "web").len() as u64, stored * RECORDS);
}
