//! The pages, without a browser: real requests to the real program, and what the HTML has in it.

mod assets;
mod followers;
mod hostile;
mod html;
mod links;
mod log;
mod shown;
mod streams;

use std::io::{BufRead as _, Read as _};

pub(crate) use self::html::Html;
use crate::http::{Answer, Client, Served};
use crate::support::{Desk, sample};

/// A server with pages, and somebody who may see and do everything.
pub(crate) struct Site {
    pub(crate) desk: Desk,
    pub(crate) served: Served,
    token: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::of(Desk::new().await)
    }

    /// The pages of what is at a desk already.
    pub(crate) fn of(desk: Desk) -> Self {
        Self::of_with(desk, &[], &[])
    }

    /// The same, from a server with these variables and options.
    pub(crate) fn of_with(desk: Desk, variables: &[(&str, &str)], options: &[&str]) -> Self {
        // A second server of a desk needs a token of another name.
        let name = format!("tester{}", options.concat());
        let token = desk.ok(&["token", "create", &name, "--role", "admin"]).out.trim().to_owned();
        let options = [&["--listen", "127.0.0.1:0"], options].concat();
        let served = Served::start_with(&desk, &options, variables);
        Self { desk, served, token }
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", bearer.as_str())][..], headers].concat();
        let mut client = Client::to(self.served.address);
        let host = format!("localhost:{}", self.served.address.port());
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        client.send(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = client.head().unwrap();
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut size = String::new();
                client.stream.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                client.stream.read_exact(&mut chunk).unwrap();
                if size == 0 {
                    break;
                }
                answer.body.extend_from_slice(&chunk[..size]);
            }
        } else {
            client.stream.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "")
    }

    /// A page that is there.
    pub(crate) fn page(&self, path: &str) -> Html {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        Html::of(path, answer.text())
    }

    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let origin = format!("http://localhost:{}", self.served.address.port());
        self.request("POST", path, &[kind, ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")], body)
    }

    /// Parses a shipped sample, under a name; returns the id of the run.
    pub(crate) fn parse(&self, name: &str, shipped: &str) -> String {
        parse(&self.desk, name, &std::fs::read_to_string(sample(shipped)).unwrap(), &[])
    }
}

/// Parses a file of the TANF program to its end; returns the id of the run.
pub(crate) fn parse(desk: &Desk, name: &str, text: &str, options: &[&str]) -> String {
    let file = desk.file(name, text);
    let arguments = ["submit", "--json", "--max-attempts", "1", "--program", "tanf", "--section", "active"];
    let said =
        desk.ok(&[&arguments[..], &["--year", "2021", "--quarter", "1", "--state", "WI", &file]].concat());
    desk.ok(&[&["worker", "--drain"], options].concat());
    said.json()[0]["run_id"].as_str().unwrap().to_owned()
}
