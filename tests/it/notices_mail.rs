//! Mails of the program itself: what is in them, and that no run waits for the mail server.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parselog::store;
use rustix::process::Signal;
use serde_json::Value;

use crate::fault_server::http_get;
use crate::localstack;
use crate::support::{Desk, KeptPort, MailServer, PATIENCE, Said, sample, sample_text};

const SUBMITTER: &str = "submitter@state.test";

/// The program with mails, told to whom `url` leads.
fn mailing(desk: &Desk, url: &str, arguments: &[&str]) -> Command {
    let mut command = desk.command(arguments);
    command
        .env("PARSELOG_SMTP_URL", url)
        .env("PARSELOG_MAIL_FROM", "noreply@parselog.test")
        .env("PARSELOG_MAIL_ADMINS", "admin@parselog.test,boss@parselog.test");
    command
}

fn at(desk: &Desk, url: &str, arguments: &[&str]) -> Said {
    Said::of(mailing(desk, url, arguments).output().unwrap())
}

fn notices(desk: &Desk, arguments: &[&str]) -> Vec<Value> {
    desk.ok(&[&["notices", "--json"], arguments].concat()).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_mails_results_and_errors_and_says_so() {
    let (desk, server) = (Desk::new().await, MailServer::start());
    let file = sample("tanf-active-2021-q1.txt");
    let said = at(&desk, &server.url(), &["run", "--email", SUBMITTER, &file]);
    assert_eq!(said.code, 0, "{}", said.err);
    let failing = ["run", "--email", SUBMITTER, "--parser", "false", &file];
    assert_eq!(at(&desk, &server.url(), &failing).code, 1);
    let told: Vec<(String, bool)> =
        server.subjects().into_iter().map(|(to, subject)| (to, subject.contains("ended as fail"))).collect();
    let expected =
        [("admin@parselog.test", true), ("boss@parselog.test", true), (SUBMITTER, false), (SUBMITTER, false)];
    assert_eq!(told, expected.map(|(to, failed)| (to.to_owned(), failed)));
    assert!(notices(&desk, &[]).iter().all(|notice| notice["state"] == "sent"));
    assert_eq!(notices(&desk, &["@latest"]).len(), 3);
    let text = desk.ok(&["notices", "@latest"]).out;
    assert!(text.contains(SUBMITTER) && text.contains("run-failed"), "{text}");
    assert_eq!(desk.ok(&["notices", "--unsent"]).out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mail_holds_a_value_a_file_name_or_a_problem_of_a_submission() {
    let (desk, server) = (Desk::new().await, MailServer::start());
    let name = "jane-roe-123-45-6789.txt";
    desk.ok(&["sample", "--size", "64K", "--error-rate", "0.3", &desk.path(name)]);
    let submission = fs::read_to_string(desk.path(name)).unwrap();
    let file = desk.path(name);
    at(&desk, &server.url(), &["run", "--email", SUBMITTER, &file]);
    let quoting = "sh -c 'head -c 200 {file} >&2; exit 3'";
    assert_eq!(at(&desk, &server.url(), &["run", "--email", SUBMITTER, "--parser", quoting, &file]).code, 1);

    let mails = server.received();
    assert_eq!(mails.len(), 4, "{:?}", server.subjects());
    let whole: String = mails.iter().map(|mail| mail.whole.as_str()).collect();
    assert!(!whole.contains("jane") && !whole.contains("6789"), "{whole}");
    // Every piece of a record that is long enough to mean somebody.
    let pieces = submission
        .lines()
        .filter(|line| line.starts_with('T') && !line.starts_with("TRAILER"))
        .flat_map(|line| line.split_whitespace())
        .filter(|piece| piece.len() >= 9);
    let mut count = 0;
    for piece in pieces {
        for at in 0..=piece.len() - 9 {
            assert!(!whole.contains(&piece[at..at + 9]), "{}", &piece[at..at + 9]);
            count += 1;
        }
    }
    assert!(count > 1000);
    let runs = store::find(&desk.db.pool, &store::RunFilter::default()).await.unwrap();
    let problem = runs[1].first_error.as_deref().unwrap();
    assert!(!whole.contains(problem), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_mail_server_down_runs_are_as_ever_and_the_mails_follow() {
    let desk = Desk::new().await;
    let port = KeptPort::new();
    let url = format!("smtp://{}?tls=none", port.address());
    let file = sample("tanf-active-2021-q1.txt");
    assert_eq!(at(&desk, &url, &["submit", "--email", SUBMITTER, &file]).code, 0);
    let said = at(&desk, &url, &["worker", "--drain"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("no mail is sent for now"), "{}", said.err);
    let run = store::latest(&desk.db.pool, &store::RunFilter::default()).await.unwrap().unwrap();
    assert!(run.summary_status.is_some() && run.logs_uri.is_some());
    let waiting = notices(&desk, &["--unsent"]);
    assert_eq!((waiting.len(), &waiting[0]["state"]), (1, &Value::from("queued")));
    assert!(waiting[0]["last_error"].as_str().unwrap().contains("failed to reach the mail server"));
    assert_eq!(desk.run(&["doctor"]).code, 0, "it has not waited for long");
    let age = "update notice set created_at = created_at - interval '3 hours', next_try_at = now()";
    sqlx::query(age).execute(&desk.db.pool).await.unwrap();
    let doctor = desk.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("notice-unsent"), "{}", doctor.out);

    let server = MailServer::start_at(port.number(), "plain");
    assert_eq!(at(&desk, &url, &["worker", "--drain"]).code, 0);
    assert_eq!(server.received().len(), 1);
    assert_eq!(desk.run(&["doctor"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_never_answers_holds_no_run_and_ends_no_worker_late() {
    let desk = Desk::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}?tls=none", silent.local_addr().unwrap());
    let file = sample("tanf-active-2021-q1.txt");
    assert_eq!(at(&desk, &url, &["run", "--email", SUBMITTER, &file]).code, 0);
    // With that mail waiting, ten runs in one slot, while the worker tries to send.
    let files = vec![file.as_str(); 10];
    for file in files {
        assert_eq!(at(&desk, &url, &["submit", "--email", SUBMITTER, file]).code, 0);
    }
    let began = Instant::now();
    let said = at(&desk, &url, &["worker", "--drain", "--slots", "1", "--sweep", "100ms"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let took = began.elapsed();
    // Whoever waited for that server waited 10 s for each of the mails.
    let waiting = Duration::from_secs(100);
    assert!(took < waiting, "{took:?}");
    let runs = store::find(&desk.db.pool, &store::RunFilter::default()).await.unwrap();
    assert!(runs.len() == 11 && runs.iter().all(|run| run.logs_uri.is_some()));
    let latest = runs.iter().filter_map(|run| run.finished_at).max().unwrap();
    let first = runs.iter().rev().nth(1).and_then(|run| run.started_at).unwrap();
    assert!((latest - first).to_std().unwrap() < waiting, "the runs waited for the mail server");
    assert!(notices(&desk, &["--unsent"]).iter().all(|notice| notice["state"] == "queued"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_its_mails_sends_none_twice_and_one_that_stops_finishes_its_mail() {
    const MAILS: usize = 100;
    let (desk, server) = (Desk::new().await, MailServer::start());
    let addresses: Vec<String> = (0..MAILS).map(|number| format!("{number:03}@state.test")).collect();
    let mut arguments = vec!["submit".to_owned(), sample("tanf-active-2021-q1.txt")];
    arguments.extend(addresses.iter().map(|address| format!("--email={address}")));
    desk.ok(&arguments);
    let mut in_doubt = 0;
    for (signal, until) in [(Signal::KILL, 30), (Signal::TERM, 60)] {
        let mut command = mailing(&desk, &server.url(), &["worker", "--sweep", "100ms"]);
        let mut worker = command.stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while server.received().len() < until {
            assert!(Instant::now() < deadline, "{} mails", server.received().len());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let id = rustix::process::Pid::from_child(&worker);
        rustix::process::kill_process(id, signal).unwrap();
        let asked = Instant::now();
        worker.wait().unwrap();
        // A worker that stops does not wait for ever for a mail server that this machine holds up.
        let finishes = signal == Signal::TERM && asked.elapsed() < Duration::from_secs(4);
        in_doubt += usize::from(!finishes);
        let sending = notices(&desk, &["--unsent", "-n", "999"]).into_iter();
        let unknown = sending.filter(|notice| notice["state"] == "sending").count();
        assert!(unknown <= in_doubt, "{unknown} mails of which nobody knows");
    }
    // A drain that runs out of time leaves mails to the next one.
    let deadline = Instant::now() + PATIENCE;
    while notices(&desk, &["--unsent", "-n", "999"]).iter().any(|notice| notice["state"] == "queued") {
        assert!(Instant::now() < deadline, "{:?}", notices(&desk, &["--unsent"]));
        let said = at(&desk, &server.url(), &["worker", "--drain"]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let told: Vec<String> = server.received().into_iter().map(|mail| mail.to).collect();
    let unknown = notices(&desk, &["--unsent"]);
    assert!(unknown.len() <= in_doubt, "{unknown:?}");
    // One that is unknown was taken or not; each of the others was taken once.
    let without: Vec<_> = unknown.iter().map(|notice| notice["address"].as_str().unwrap()).collect();
    let sent = |all: Vec<String>| -> Vec<String> {
        all.into_iter().filter(|to| !without.contains(&to.as_str())).collect()
    };
    assert!(told.len() - sent(told.clone()).len() <= in_doubt);
    assert_eq!(sent(told), sent(addresses));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_mail_server_is_encrypted_and_logged_in() {
    for (how, scheme) in [("smtps", "smtps"), ("starttls", "smtp")] {
        let (desk, server) = (Desk::new().await, MailServer::start_at(0, how));
        let file = sample("tanf-active-2021-q1.txt");
        let url = |password: &str| format!("{scheme}://parselog:{password}@127.0.0.1:{}", server.port);
        let try_with = |password: &str, trusted: bool| {
            let mut command = mailing(&desk, &url(password), &["run", "--email", SUBMITTER, &file]);
            if trusted {
                command.env("SSL_CERT_FILE", server.certificate());
            }
            Said::of(command.output().unwrap()).err
        };
        let said = try_with("p%25ss%2Fw%40rd", false);
        assert!(said.contains("no mail is sent for now") && said.contains("certificate"), "{how}: {said}");
        let said = try_with("wrong", true);
        assert!(said.contains("failed to log in") && said.contains("535"), "{how}: {said}");
        assert_eq!(server.received().len(), 0);
        assert_eq!(try_with("p%25ss%2Fw%40rd", true).matches("mail").count(), 0);
        assert_eq!(server.received().len(), 1, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_links_to_the_log_where_that_is_wanted_and_each_link_is_an_audit_entry() {
    let (desk, bucket, server) = (Desk::new().await, localstack::bucket().await, MailServer::start());
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    let mut command = mailing(&desk, &server.url(), &["run", "--email", SUBMITTER, &file]);
    command.env("PARSELOG_BUCKET", &bucket.name).env("AWS_ENDPOINT_URL", localstack::endpoint());
    let said = Said::of(command.env("PARSELOG_MAIL_LINKS", "2d").output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    let mail = server.received().remove(0);
    let link = mail.body.lines().find(|line| line.starts_with("http://")).expect("a link");
    let (head, body) = http_get(link).await.unwrap();
    assert!(head.to_lowercase().contains("content-type: text/plain"), "{head}");
    let mut log = String::new();
    std::io::Read::read_to_string(&mut parselog::gzip::BoundedReader::new(&body[..], 1 << 20), &mut log)
        .unwrap();
    assert!(log.contains("tanf-active") || log.lines().count() > 10, "{log}");
    let run = store::latest(&desk.db.pool, &store::RunFilter::default()).await.unwrap().unwrap();
    let entries = store::entry::of_run(&desk.db.pool, run.id).await.unwrap();
    let issued = entries.iter().find(|entry| entry.entry == "link-issued").unwrap();
    assert_eq!(issued.actor, "notices");
    assert!(link.contains("X-Amz-Expires=172800"), "{link}");
}

#[tokio::test]
async fn a_wrong_mail_setting_is_one_line_without_the_password() {
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    let refused = [
        ("http://u:hunter2@host", "the URL of the mail server is wrong"),
        ("smtp://u:hunter2@host?tls=perhaps", "the URL of the mail server is wrong"),
        ("smtp://u:hunter2@host:port", "the URL of the mail server is wrong"),
        ("hunter2", "the URL of the mail server is wrong"),
    ];
    for (url, expected) in refused {
        let said = at(&desk, url, &["run", &file]);
        assert!(said.code == 2 && said.err.contains(expected), "{url}: {}", said.err);
        assert!(!said.err.contains("hunter2") && said.err.lines().count() == 1, "{}", said.err);
    }
    for (name, value, expected) in [
        ("PARSELOG_MAIL_FROM", "nobody", "expected an address to send from"),
        ("PARSELOG_MAIL_ADMINS", "a@b.test,c d@e", "is not an e-mail address"),
        ("PARSELOG_MAIL_LINKS", "8d", "expected a week (7d) at most"),
    ] {
        let mut command = mailing(&desk, "smtp://host", &["worker", "--drain"]);
        let said = Said::of(command.env(name, value).output().unwrap());
        assert!(said.code == 2 && said.err.contains(expected), "{name}: {}", said.err);
    }
    let said = desk.run(&["run", "--email", "a@b\nBcc: c@d", &file]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
    let mut help = desk.command(&["worker", "--help"]);
    let help = Said::of(help.env("PARSELOG_SMTP_URL", "smtp://u:hunter2@host").output().unwrap());
    assert!(help.out.contains("PARSELOG_SMTP_URL") && !help.out.contains("hunter2"));
}
