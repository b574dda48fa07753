//! A mail server of one test: aiosmtpd, in the Python of `PARSELOG_TEST_PYTHON`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running mail server; stopped when dropped.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

/// A mail that the server took.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Whom the envelope named.
    pub(crate) to: String,
    pub(crate) subject: String,
    /// Head and body as they came.
    pub(crate) whole: String,
    pub(crate) body: String,
}

impl MailServer {
    /// A server without encryption, on a free port.
    pub(crate) fn start() -> Self {
        Self::start_at(0, "plain")
    }

    /// A server on this port; `how` is `plain`, `smtps` or `starttls`.
    pub(crate) fn start_at(port: u16, how: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = std::env::var("PARSELOG_TEST_PYTHON").expect(
            "PARSELOG_TEST_PYTHON names a Python with aiosmtpd: run eval \"$(localstack/start --env)\"",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/smtp.py");
        let mut process = Command::new(python)
            .arg("-I")
            .arg(script)
            .arg(folder.path())
            .args([&port.to_string(), how])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| {
            let log = fs::read_to_string(folder.path().join("log")).unwrap();
            panic!("the mail server does not start: {log}");
        });
        Self { port, folder, process }
    }

    /// The setting that leads there.
    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}?tls=none", self.port)
    }

    /// What it made for itself as its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The mails that it took, by whom they are for.
    pub(crate) fn received(&self) -> Vec<Received> {
        let mut mails: Vec<Received> = fs::read_dir(self.folder.path().join("mail/new"))
            .into_iter()
            .flatten()
            .map(|entry| Received::read(&fs::read_to_string(entry.unwrap().path()).unwrap()))
            .collect();
        mails.sort_by(|one, other| (&one.to, &one.subject).cmp(&(&other.to, &other.subject)));
        mails
    }

    /// Whom the mails that it took are for, and what they are about.
    pub(crate) fn subjects(&self) -> Vec<(String, String)> {
        self.received().into_iter().map(|mail| (mail.to, mail.subject)).collect()
    }
}

impl Received {
    fn read(whole: &str) -> Self {
        let whole = whole.replace("\r\n", "\n");
        let (head, body) = whole.split_once("\n\n").expect("a head and a body");
        let head = head.replace("\n ", " ");
        let header = |name: &str| {
            let found: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix(name)).collect();
            assert_eq!(found.len(), 1, "{name} {head}");
            found[0].trim().to_owned()
        };
        // Lines that would be too long are joined again.
        let body = body.replace("=\n", "").replace("=3D", "=");
        Self { to: header("X-RcptTo:"), subject: header("Subject:"), body, whole: whole.clone() }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
