//! A small HTTP server that stands between the real SDK and S3 and does what goes wrong there.
//!
//! Every request is read whole and handed to the test's own function, which says what becomes of
//! it: passed on to the real server, answered with anything, lost, or cut off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use parselog::carry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// None: the real server answers.
    Pass,
    /// The request is read, and nothing ever comes back.
    Hang,
    /// The connection is reset when the request's head and some of its body have been read.
    ResetMidBody,
    /// The real server does it, and the connection is reset before its answer comes back.
    LoseAnswer,
    /// This status and body, whatever was asked.
    Answer(u16, &'static str),
    /// The real server does it, and this header of its answer gets this value.
    Lie(&'static str, &'static str),
    /// The real server does it, and the answer breaks off after so many bytes of its body.
    CutBody(usize),
}

/// What the test's function sees of a request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    /// The request line and the headers.
    pub head: String,
    /// How many requests came before this one.
    pub number: usize,
}

impl Request {
    /// Whether it sends a part of a multipart upload.
    pub(crate) fn is_part(&self) -> bool {
        self.method == "PUT" && self.target.contains("partNumber=")
    }

    /// Whether it completes a multipart upload.
    pub(crate) fn is_completion(&self) -> bool {
        self.method == "POST" && self.target.contains("uploadId=")
    }
}

/// The running server. It ends when it is dropped.
pub(crate) struct FaultServer {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl FaultServer {
    /// Starts a server in front of `upstream`, an endpoint like `http://127.0.0.1:4566`.
    pub(crate) async fn start(
        upstream: &str,
        decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, decide) = (requests.clone(), Arc::new(decide));
        let task = carry::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, seen, decide) = (upstream.clone(), seen.clone(), decide.clone());
                // A client that gives up early is what some tests are about.
                carry::spawn(async move { drop(serve(stream, &upstream, &seen, &*decide).await) });
            }
        });
        Self { endpoint, requests, task }
    }

    /// The requests so far, as they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A plain GET of `url`, as a browser would send it: status line with headers, and the body.
pub(crate) async fn http_get(url: &str) -> io::Result<(String, Vec<u8>)> {
    let (host, target) = url.trim_start_matches("http://").split_once('/').unwrap();
    let head = format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = exchange(host, head.as_bytes(), &[]).await?;
    let end = head_end(&answer).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end..].to_vec()))
}

/// Serves one connection. It closes after every answer, so that there is one request in each.
async fn serve(
    mut stream: TcpStream,
    upstream: &str,
    seen: &Mutex<Vec<Request>>,
    decide: &(dyn Fn(&Request) -> Fault + Send + Sync),
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        match head_end(&bytes) {
            Some(end) => break end,
            None if stream.read_buf(&mut bytes).await? == 0 => return Ok(()),
            None => {}
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = {
        let mut seen = seen.lock().unwrap();
        let request = Request { method, target, head: head.clone(), number: seen.len() };
        seen.push(request.clone());
        request
    };
    let fault = decide(&request);

    if header(&head, "expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let wanted = if matches!(fault, Fault::ResetMidBody) { length.min(64 << 10) } else { length };
    while bytes.len() < end + wanted {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }

    match fault {
        Fault::Hang => std::future::pending().await,
        Fault::ResetMidBody => reset(&stream),
        Fault::Answer(status, body) => {
            let kind = if body.starts_with("<html") { "text/html" } else { "application/xml" };
            let body = if request.method == "HEAD" { "" } else { body };
            let answer = format!(
                "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await
        }
        passed_on => {
            let answer = exchange(upstream, &bytes[..end], &bytes[end..]).await?;
            let answer_end = head_end(&answer).ok_or(io::ErrorKind::UnexpectedEof)?;
            let (answer_head, body) = answer.split_at(answer_end);
            match passed_on {
                Fault::LoseAnswer => reset(&stream),
                Fault::Lie(name, value) => {
                    let head = with_header(&String::from_utf8_lossy(answer_head), name, value);
                    stream.write_all(&[head.as_bytes(), body].concat()).await
                }
                Fault::CutBody(most) => {
                    stream.write_all(&[answer_head, &body[..most.min(body.len())]].concat()).await
                }
                _ => stream.write_all(&answer).await,
            }
        }
    }
}

/// Sends a request to `address`, and returns the whole answer.
async fn exchange(address: &str, head: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(address).await?;
    let head = with_header(&String::from_utf8_lossy(head), "connection", "close");
    let head = without_header(&head, "expect");
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Makes the close that follows a reset, so that the other side does not see an end.
fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn without_header(head: &str, name: &str) -> String {
    let is = |line: &str| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
    head.split_inclusive("\r\n").filter(|line| !is(line)).collect()
}

fn with_header(head: &str, name: &str, value: &str) -> String {
    let head = without_header(head, name);
    format!("{}{name}: {value}\r\n\r\n", head.strip_suffix("\r\n").unwrap_or(&head))
}
