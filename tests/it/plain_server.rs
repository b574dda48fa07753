//! An S3 server as some compatible ones are: it keeps no SHA-256, ignores `If-None-Match`, knows no
//! versions, and takes the bucket from the path only.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use parselog::carry;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::fault_server::{head_end, header};

type Objects = Mutex<HashMap<String, Vec<u8>>>;

/// The running server. It ends when it is dropped.
pub(crate) struct PlainServer {
    pub port: u16,
    objects: Arc<Objects>,
    task: JoinHandle<()>,
}

impl PlainServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let objects = Arc::<Objects>::default();
        let served = objects.clone();
        let task = carry::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                carry::spawn(async move { drop(serve(stream, &served).await) });
            }
        });
        Self { port, objects, task }
    }

    /// The names of all objects, each as `/bucket/key`.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.objects.lock().unwrap().keys().cloned().collect();
        names.sort();
        names
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, objects: &Objects) -> io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        match head_end(&bytes) {
            Some(end) => break end,
            None if stream.read_buf(&mut bytes).await? == 0 => return Ok(()),
            None => {}
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    if header(&head, "expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let (status, size, body) = answer(&head, &bytes[end..end + length], &mut objects.lock().unwrap());
    let range = size.1.map(|range| format!("Content-Range: {range}\r\n")).unwrap_or_default();
    let answer =
        format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n", size.0);
    stream.write_all(&[answer.as_bytes(), &body].concat()).await
}

/// The status, what the headers say of size and range, and the body.
fn answer(
    head: &str,
    sent: &[u8],
    objects: &mut HashMap<String, Vec<u8>>,
) -> (u16, (usize, Option<String>), Vec<u8>) {
    let whole = |status, body: &[u8]| (status, (body.len(), None), body.to_owned());
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = percent_decode_str(path).decode_utf8_lossy().into_owned();
    match (method, objects.get(&name)) {
        ("PUT", _) => {
            objects.insert(name, sent.to_owned());
            whole(200, b"")
        }
        ("DELETE", _) => {
            objects.remove(&name);
            whole(204, b"")
        }
        ("GET", _) if query.contains("list-type") || query.contains("uploads") => {
            whole(200, b"<ListBucketResult></ListBucketResult>")
        }
        ("HEAD", Some(object)) => (200, (object.len(), None), Vec::new()),
        ("GET", Some(object)) => match header(head, "range").and_then(|range| range.strip_prefix("bytes=")) {
            None => whole(200, object),
            Some(range) => {
                let (from, to) = range.split_once('-').unwrap_or_default();
                let size = object.len();
                let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
                    (Ok(from), Ok(to)) => (from, to.min(size - 1)),
                    (Ok(from), _) => (from, size - 1),
                    (_, last) => (size.saturating_sub(last.unwrap_or(0)), size - 1),
                };
                let part = object[from..=to].to_owned();
                (206, (part.len(), Some(format!("bytes {from}-{to}/{size}"))), part)
            }
        },
        _ => whole(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"),
    }
}
