//! What a webhook is told, at a real HTTP server: once per event, signed, and again until it answers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use parselog::config::{MailConfig, WebhookConfig};
use parselog::notify::{IN_DOUBT, LATE, Notifier};
use parselog::parser::SummaryStatus;
use parselog::store::outbox;
use parselog::store::stream_error::{self, NewErrors};
use parselog::store::{NoticeState, notice};
use serde_json::Value;

use super::{Post, URI, failure, success, system};
use crate::support::{KeptPort, PATIENCE};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Exits with 0 if the call on stdin, as the page's function sees it, comes from parselog.
const CHECK: &str = "
import json, sys
secret, headers, body = json.load(sys.stdin)
sys.exit(0 if is_from_parselog(secret, headers, body.encode()) else 1)
";

/// A request as it arrived.
#[derive(Debug, Clone)]
struct Call {
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

impl Call {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether the Python function of the page takes it for one of parselog's.
    fn is_from_parselog(&self, secret: &str) -> bool {
        let page = include_str!("../../../docs/WEBHOOK.md");
        let function = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
        let mut python = Command::new("python3");
        let python = python.args(["-c", &format!("{function}{CHECK}")]).stdin(Stdio::piped());
        let mut python = python.spawn().unwrap();
        let asked = serde_json::to_vec(&(secret, &self.headers, &self.body)).unwrap();
        python.stdin.take().unwrap().write_all(&asked).unwrap();
        python.wait().unwrap().success()
    }
}

/// An HTTP server that keeps what it is sent, and answers with the statuses it is given, then with 204.
struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, statuses) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::<Mutex<Vec<u16>>>::default());
        let (heard, answers) = (Arc::clone(&calls), Arc::clone(&statuses));
        parselog::carry::thread(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (heard, answers) = (Arc::clone(&heard), Arc::clone(&answers));
                parselog::carry::thread(move || serve(&stream, &heard, &answers));
            }
        });
        Self { address, calls, statuses }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn notifier(&self, post: &Post) -> Notifier {
        let config = WebhookConfig {
            notify_url: Some(format!("http://{}/hook?token=S3CRET", self.address).parse().unwrap()),
            notify_secret: Some(SECRET.parse().unwrap()),
        };
        Notifier::new(&MailConfig::default(), &config, system(&post.db)).unwrap().unwrap()
    }
}

fn serve(stream: &TcpStream, heard: &Mutex<Vec<Call>>, answers: &Mutex<Vec<u16>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            match line.trim_end() {
                "" => break,
                line => headers.push(line.to_owned()),
            }
        }
        assert_eq!(headers[0], "POST /hook?token=S3CRET HTTP/1.1");
        let headers: BTreeMap<_, _> = headers[1..]
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        heard.lock().unwrap().push(Call { headers, body: String::from_utf8(body).unwrap() });
        let mut answers = answers.lock().unwrap();
        let status = if answers.is_empty() { 204 } else { answers.remove(0) };
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_each_end_once_and_can_check_who_tells_it() {
    let (post, receiver) = (Post::new().await, Receiver::start());
    let notifier = receiver.notifier(&post);
    post.submit("a/secret-name.txt", &[], 2).await;
    let failed = post.end(failure(true)).await;
    post.db.make_due().await;
    let ended = post.end(success(SummaryStatus::PartiallyAccepted)).await;
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 1, "an attempt that is retried is no news");
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 0);
    let calls = receiver.calls();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(call.is_from_parselog(SECRET), "{call:?}");
    assert!(!call.is_from_parselog("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "another's secret");
    let forged = Call { body: call.body.replace("success", "crash"), ..call.clone() };
    assert!(!forged.is_from_parselog(SECRET), "another body");
    let told = call.json();
    assert_eq!(told["type"], "result");
    let run = &told["data"]["run"];
    assert_eq!(run["id"], ended.to_string());
    assert_ne!(run["id"], failed.to_string());
    assert_eq!((&run["status"], &run["logs_uri"]), (&Value::from("success"), &Value::from(URI)));
    assert!(!call.body.contains("secret-name"), "the name of a file is private");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_or_unanswered_is_made_again_under_the_same_id() {
    let (post, receiver) = (Post::new().await, Receiver::start());
    let notifier = receiver.notifier(&post);
    // A redirect is no delivery, and its target is not called.
    *receiver.statuses.lock().unwrap() = vec![500, 302];
    post.submit("a/1.txt", &[], 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    for taken in [0, 0, 1] {
        post.sql("update notice set next_try_at = now()").await;
        assert_eq!(notifier.round(PATIENCE).await.unwrap(), taken);
    }
    // A worker took the next one, and died.
    post.submit("a/2.txt", &[], 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    notifier.queue().await.unwrap();
    let taken = outbox::take_call(&post.db.pool, LATE, IN_DOUBT).await.unwrap().unwrap();
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 0, "it may be under way");
    post.sql("update notice set tried_at = now() - interval '11 minutes' where state = 'sending'").await;
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 1);
    let calls = receiver.calls();
    assert!(
        calls.len() == 4 && calls[0].id() == calls[1].id() && calls[1].id() == calls[2].id(),
        "{calls:?}"
    );
    assert!(calls[3].id().starts_with(&format!("notice_{}_", taken.id)), "{calls:?}");
    assert_eq!(post.states().await, [NoticeState::Sent, NoticeState::Sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_away_or_wants_no_more_keeps_its_notices_and_gives_no_secret_away() {
    let (post, receiver) = (Post::new().await, Receiver::start());
    *receiver.statuses.lock().unwrap() = vec![410];
    let notifier = receiver.notifier(&post);
    post.submit("a/1.txt", &[], 1).await;
    post.end(success(SummaryStatus::Accepted)).await;
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 0);
    assert_eq!(post.states().await, [NoticeState::Failed]);

    let nobody = KeptPort::new();
    let away = Receiver { address: nobody.address(), ..receiver };
    let notifier = away.notifier(&post);
    for key in ["a/2.txt", "a/3.txt"] {
        post.submit(key, &[], 1).await;
        post.end(success(SummaryStatus::Accepted)).await;
    }
    assert_eq!(notifier.round(PATIENCE).await.unwrap(), 0);
    let notices = notice::list(&post.db.pool, &notice::NoticeFilter::default()).await.unwrap();
    let waiting: Vec<_> = notices.iter().filter(|notice| notice.state == NoticeState::Queued).collect();
    assert_eq!(waiting.len(), 2);
    for notice in waiting {
        let error = notice.last_error.as_deref().unwrap();
        assert!(notice.attempts == 1 && !error.contains("S3CRET"), "{notice:?}");
    }
    assert_eq!(away.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_errors_in_a_stream_by_their_number() {
    let (post, receiver) = (Post::new().await, Receiver::start());
    let errors = NewErrors { service: "web".to_owned(), logger: "django.request".to_owned(), count: 7 };
    stream_error::add(&post.db.pool, &[errors]).await.unwrap();
    assert_eq!(receiver.notifier(&post).round(PATIENCE).await.unwrap(), 1);
    let told = receiver.calls()[0].json();
    assert_eq!(told["type"], "stream-errors");
    let stream = &told["data"]["stream"];
    assert_eq!((&stream["service"], &stream["errors"]), (&Value::from("web"), &Value::from(7)));
    assert_eq!(stream["logger"], "django.request");
}
