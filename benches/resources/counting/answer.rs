//! What a request asks, and how S3 words its answers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, RANGE};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::body::{Body as _, Incoming};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

pub(super) const CHECKSUM: &str = "x-amz-checksum-sha256";
const CHECKSUM_TYPE: &str = "x-amz-checksum-type";

/// The body of a request.
pub(super) struct Sent {
    pub(super) bytes: Bytes,
    sha256: [u8; 32],
}

impl Sent {
    /// Reads a body, and hashes it as it arrives; `None` if it is longer than `longest` bytes or breaks off.
    pub(super) async fn read(mut body: Incoming, longest: usize) -> Option<Self> {
        let (mut bytes, mut hash) = (Vec::new(), Sha256::new());
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let Ok(data) = frame.ok()?.into_data() else { continue };
            hash.update(&data);
            bytes.extend_from_slice(&data);
            if bytes.len() > longest {
                return None;
            }
        }
        Some(Self { bytes: Bytes::from(bytes), sha256: hash.finalize().into() })
    }
}

/// A request, read and checked.
pub(super) struct Asked {
    pub(super) method: Method,
    /// `/bucket/key`.
    pub(super) name: String,
    query: HashMap<String, String>,
    pub(super) body: Bytes,
    /// Of the body.
    pub(super) sha256: [u8; 32],
    pub(super) only_if_new: bool,
    pub(super) range: Option<String>,
}

impl Asked {
    /// Refuses a body that is not what its checksum says, as S3 does.
    pub(super) fn of(head: &Parts, body: Option<Sent>) -> Result<Self, Refusal> {
        let Sent { bytes: body, sha256 } = body.ok_or(Refusal(StatusCode::BAD_REQUEST, "IncompleteBody"))?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if header(CHECKSUM).is_some_and(|said| said != BASE64.encode(sha256)) {
            return Err(Refusal(StatusCode::BAD_REQUEST, "BadDigest"));
        }
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Ok(Self {
            method: head.method.clone(),
            name: decoded(head.uri.path()),
            query: pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect(),
            only_if_new: header(IF_NONE_MATCH.as_str()) == Some("*"),
            range: header(RANGE.as_str()).map(ToOwned::to_owned),
            body,
            sha256,
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Bucket and key.
    pub(super) fn bucket_and_key(&self) -> (&str, &str) {
        self.name.trim_start_matches('/').split_once('/').unwrap_or_default()
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Why a request is refused: the status, and S3's code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

impl Refusal {
    pub(super) fn answer(self) -> Response<Body> {
        let mut answer = xml("Error", &format!("<Code>{}</Code><Message>refused</Message>", self.1));
        *answer.status_mut() = self.0;
        answer
    }
}

/// What a store says of the bytes that it has.
pub(super) struct Facts<'a> {
    pub(super) size: u64,
    /// As S3 writes it.
    pub(super) checksum: &'a str,
    pub(super) is_composite: bool,
}

impl Facts<'_> {
    /// The answer to a put, with the ETag and checksum of what was stored.
    pub(super) fn stored(&self) -> Response<Body> {
        self.with(Response::new(Body::empty()))
    }

    /// The answer to a question for the object alone.
    pub(super) fn head(&self) -> Response<Body> {
        let mut answer = self.stored();
        answer.headers_mut().insert(CONTENT_LENGTH, self.size.into());
        answer
    }

    /// The answer with these bytes of the object, the first and the last counted.
    pub(super) fn part(&self, body: Bytes, range: (u64, u64)) -> Response<Body> {
        let mut answer = self.with(Response::new(Body::from(body)));
        let text = format!("bytes {}-{}/{}", range.0, range.1, self.size);
        answer.headers_mut().insert(CONTENT_RANGE, text.parse().expect("it is plain text"));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        answer
    }

    /// The answer with the whole object.
    pub(super) fn whole(&self, body: Bytes) -> Response<Body> {
        self.with(Response::new(Body::from(body)))
    }

    fn with(&self, mut answer: Response<Body>) -> Response<Body> {
        let kind = if self.is_composite { "COMPOSITE" } else { "FULL_OBJECT" };
        let etag = format!("\"{}\"", etag(self.checksum));
        for (name, value) in [(ETAG.as_str(), &*etag), (CHECKSUM, self.checksum), (CHECKSUM_TYPE, kind)] {
            answer.headers_mut().insert(name, value.parse().expect("it is plain text"));
        }
        answer
    }
}

/// Nobody may read anything into an ETag; this one is made of the checksum.
pub(super) fn etag(checksum: &str) -> String {
    let mut text = String::new();
    for byte in checksum.bytes().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// An answer in XML, whose outermost element has this name.
pub(super) fn xml(name: &str, inside: &str) -> Response<Body> {
    const SPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
    let text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{SPACE}\">{inside}</{name}>");
    Response::new(Body::from(text))
}
