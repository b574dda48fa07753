//! People who sign in at a provider of OpenID Connect: a real provider in a process of its own, and a browser that is
//! a test. Whatever provider or browser bring that does not fit opens no session.

mod hostile;
mod signing_in;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::{Answer, Client, Served};
use crate::support::Desk;

/// The secret that `provider.py` knows.
const SECRET: &str = "p%ss w/rd+ü";

/// What the groups of the tests allow.
const ROLES: &str = "admins=admin,ops=operator,/tanf=staff:tanf";

/// Headers of a browser that a page of elsewhere sends here.
const COMES_BACK: [(&str, &str); 3] =
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];

/// A running provider; stopped when dropped.
struct IdServer {
    address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl IdServer {
    fn start() -> Self {
        Self::start_at(0)
    }

    fn start_at(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = std::env::var("PARSELOG_TEST_PYTHON").expect(
            "PARSELOG_TEST_PYTHON names a Python with cryptography: run eval \"$(localstack/start --env)\"",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oidc/provider.py");
        let mut process = Command::new(python)
            .arg("-I")
            .arg(script)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| {
            panic!("the provider does not start: {}", fs::read_to_string(folder.path().join("log")).unwrap())
        });
        Self { address: ([127, 0, 0, 1], port).into(), process, folder }
    }

    fn issuer(&self) -> String {
        format!("http://{}/realm", self.address)
    }

    /// How it answers from now on.
    fn behave(&self, how: &Value) {
        let answer = Client::to(self.address).post("/behave", &[], how.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", self.log());
    }

    /// It signs somebody in with these groups, and does this wrong.
    fn is_wrong(&self, fault: &str, groups: &[&str]) {
        self.behave(&json!({"fault": fault, "claims": {"preferred_username": "ann", "roles": groups}}));
    }

    /// What a browser brings back that was sent here.
    fn sign_in(&self, sent: &Sent) -> String {
        let path = sent.to.strip_prefix(&format!("http://{}", self.address)).expect("the provider");
        let answer = Client::to(self.address).get(path, &[]);
        assert_eq!(answer.status, 302, "{}", self.log());
        let location = answer.header("location").unwrap();
        let (_, path) = location.split_once("/sign-in/done").expect("the address that it was given");
        format!("/sign-in/done{path}")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for IdServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser that was sent to the provider.
struct Sent {
    to: String,
    /// Its cookie, as it shows it.
    cookie: String,
}

/// A server whose people sign in at this provider.
fn serve(desk: &Desk, provider: &IdServer) -> Served {
    let issuer = provider.issuer();
    let options = ["--listen", "127.0.0.1:0", "--oidc-issuer", &issuer, "--oidc-client", "parselog"];
    let roles = ["--oidc-roles", ROLES];
    Served::start_with(desk, &[&options[..], &roles].concat(), &[("PARSELOG_OIDC_SECRET", SECRET)])
}

/// Begins a sign-in that ends at this address.
fn begin(served: &Served, to: &str) -> Sent {
    let answer = Client::to(served.address).get(&format!("/sign-in?to={to}"), &[]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("; Max-Age=600; HttpOnly; SameSite=Lax"), "{cookie}");
    Sent {
        to: answer.header("location").unwrap().to_owned(),
        cookie: cookie.split(';').next().unwrap().to_owned(),
    }
}

/// Comes back with what the provider said.
fn come_back(served: &Served, path: &str, cookie: &str) -> Answer {
    Client::to(served.address).get(path, &[&[("Cookie", cookie)][..], &COMES_BACK].concat())
}

/// Signs in, and returns the last answer.
fn sign_in(served: &Served, provider: &IdServer) -> Answer {
    let sent = begin(served, "%2Fruns");
    come_back(served, &provider.sign_in(&sent), &sent.cookie)
}

/// The cookie of the session that an answer opens.
fn session(answer: &Answer) -> Option<String> {
    let cookies = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs = cookies.map(|(_, cookie)| cookie.split(';').next().unwrap());
    let mut sessions = pairs.filter(|pair| !pair.contains("-sign-in=") && !pair.ends_with('='));
    sessions.next().map(str::to_owned)
}

/// How many sessions there are.
async fn sessions(desk: &Desk) -> i64 {
    sqlx::query_scalar("select count(*) from web_session").fetch_one(&desk.db.pool).await.unwrap()
}
