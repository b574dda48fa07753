//! What the store has: objects, and uploads that are under way.

use std::collections::{BTreeMap, HashMap};

use axum::body::{Body, Bytes};
use axum::http::{Method, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest as _, Sha256};

use super::answer::{Asked, Facts, Refusal, etag, xml};

/// Bytes of the longest body that is kept: submissions are read again, archives are not.
const KEPT: usize = 1 << 20;

/// Bytes of the smallest part but the last, as in S3.
const SMALLEST_PART: u64 = 5 << 20;

const NO_KEY: Refusal = Refusal(StatusCode::NOT_FOUND, "NoSuchKey");
const NO_UPLOAD: Refusal = Refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
const IS_THERE: Refusal = Refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
const NO_PART: Refusal = Refusal(StatusCode::BAD_REQUEST, "InvalidPart");
const TOO_SMALL: Refusal = Refusal(StatusCode::BAD_REQUEST, "EntityTooSmall");
const NO_RANGE: Refusal = Refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
const NOT_DONE: Refusal = Refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented");

type Answer = Result<Response<Body>, Refusal>;

#[derive(Default)]
pub(super) struct Shelf {
    /// By `/bucket/key`.
    objects: HashMap<String, Object>,
    /// By their ids.
    uploads: BTreeMap<String, Begun>,
    begun: u64,
}

struct Object {
    size: u64,
    checksum: String,
    is_composite: bool,
    body: Option<Bytes>,
}

/// An upload that is under way.
struct Begun {
    name: String,
    at: DateTime<Utc>,
    parts: BTreeMap<u16, Part>,
}

struct Part {
    size: u64,
    sha256: [u8; 32],
}

impl Shelf {
    /// Does what is asked.
    pub(super) fn answer(&mut self, asked: &Asked) -> Answer {
        let upload = asked.query("uploadId");
        match (&asked.method, upload) {
            (&Method::PUT, Some(id)) => self.put_part(asked, id),
            (&Method::PUT, None) => self.put(asked),
            (&Method::POST, Some(id)) => self.complete(asked, id),
            (&Method::POST, None) if asked.query("uploads").is_some() => self.begin(asked),
            (&Method::DELETE, Some(id)) => self.uploads.remove(id).map(|_| gone()).ok_or(NO_UPLOAD),
            (&Method::DELETE, None) => {
                self.objects.remove(&asked.name);
                Ok(gone())
            }
            (&Method::HEAD, None) => Ok(self.find(asked)?.facts().head()),
            (&Method::GET, Some(id)) => self.list_parts(asked, id),
            (&Method::GET, None) if asked.query("uploads").is_some() => Ok(self.list_uploads(asked)),
            (&Method::GET, None) if asked.query("versioning").is_some() => {
                Ok(xml("VersioningConfiguration", ""))
            }
            (&Method::GET, None) if asked.query("list-type").is_none() => self.get(asked),
            _ => Err(NOT_DONE),
        }
    }

    fn find(&self, asked: &Asked) -> Result<&Object, Refusal> {
        self.objects.get(&asked.name).ok_or(NO_KEY)
    }

    fn put(&mut self, asked: &Asked) -> Answer {
        if asked.only_if_new && self.objects.contains_key(&asked.name) {
            return Err(IS_THERE);
        }
        let object = Object {
            size: asked.body.len() as u64,
            checksum: BASE64.encode(asked.sha256),
            is_composite: false,
            body: (asked.body.len() <= KEPT).then(|| asked.body.clone()),
        };
        let answer = object.facts().stored();
        self.objects.insert(asked.name.clone(), object);
        Ok(answer)
    }

    fn get(&self, asked: &Asked) -> Answer {
        let object = self.find(asked)?;
        let body = object.body.as_ref().ok_or(NOT_DONE)?;
        let Some(range) = &asked.range else { return Ok(object.facts().whole(body.clone())) };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').ok_or(NO_RANGE)?;
        let last_byte = body.len().checked_sub(1).ok_or(NO_RANGE)?;
        let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), last) => (first, last.unwrap_or(last_byte).min(last_byte)),
            (Err(_), Ok(many)) => (body.len().saturating_sub(many), last_byte),
            (Err(_), Err(_)) => return Err(NO_RANGE),
        };
        if first > last {
            return Err(NO_RANGE);
        }
        Ok(object.facts().part(body.slice(first..=last), (first as u64, last as u64)))
    }

    fn begin(&mut self, asked: &Asked) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        let begun = Begun { name: asked.name.clone(), at: Utc::now(), parts: BTreeMap::new() };
        self.uploads.insert(id.clone(), begun);
        Ok(xml("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>")))
    }

    fn upload(&mut self, asked: &Asked, id: &str) -> Result<&mut Begun, Refusal> {
        self.uploads.get_mut(id).filter(|begun| begun.name == asked.name).ok_or(NO_UPLOAD)
    }

    fn put_part(&mut self, asked: &Asked, id: &str) -> Answer {
        let number = asked.query("partNumber").and_then(|number| number.parse().ok()).ok_or(NO_PART)?;
        let part = Part { size: asked.body.len() as u64, sha256: asked.sha256 };
        let checksum = BASE64.encode(part.sha256);
        let answer = Facts { size: part.size, checksum: &checksum, is_composite: false }.stored();
        self.upload(asked, id)?.parts.insert(number, part);
        Ok(answer)
    }

    fn list_parts(&mut self, asked: &Asked, id: &str) -> Answer {
        let part = |(number, part): (&u16, &Part)| {
            let checksum = BASE64.encode(part.sha256);
            let (size, etag) = (part.size, etag(&checksum));
            format!(
                "<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>\"{etag}\"</ETag>\
                 <ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            )
        };
        let parts: String = self.upload(asked, id)?.parts.iter().map(part).collect();
        Ok(xml("ListPartsResult", &parts))
    }

    fn list_uploads(&self, asked: &Asked) -> Response<Body> {
        let prefix = format!("{}/{}", asked.name.trim_end_matches('/'), asked.query("prefix").unwrap_or(""));
        let found = self.uploads.iter().filter(|(_, begun)| begun.name.starts_with(&prefix));
        let upload = |(id, begun): (&String, &Begun)| {
            let (at, key) = (begun.at.to_rfc3339_opts(SecondsFormat::Millis, true), key_of(&begun.name));
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{at}</Initiated></Upload>")
        };
        xml("ListMultipartUploadsResult", &found.map(upload).collect::<String>())
    }

    /// Makes the object, if the parts are those that were sent.
    fn complete(&mut self, asked: &Asked, id: &str) -> Answer {
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        let named: Vec<&str> = text.split("<Part>").skip(1).collect();
        let parts = &self.upload(asked, id)?.parts;
        let (mut size, mut digests, mut before) = (0, Vec::new(), 0);
        for (at, words) in named.iter().enumerate() {
            let number: u16 =
                element(words, "PartNumber").and_then(|text| text.parse().ok()).ok_or(NO_PART)?;
            let part = parts.get(&number).filter(|_| number > before).ok_or(NO_PART)?;
            let checksum = BASE64.encode(part.sha256);
            let is_it = element(words, "ChecksumSHA256").is_none_or(|said| said == checksum)
                && element(words, "ETag").is_none_or(|said| said.contains(&etag(&checksum)));
            if !is_it {
                return Err(NO_PART);
            }
            if part.size < SMALLEST_PART && at + 1 < named.len() {
                return Err(TOO_SMALL);
            }
            size += part.size;
            digests.extend(part.sha256);
            before = number;
        }
        if digests.is_empty() {
            return Err(NO_PART);
        }
        if asked.only_if_new && self.objects.contains_key(&asked.name) {
            return Err(IS_THERE);
        }
        self.uploads.remove(id);
        let checksum = format!("{}-{}", BASE64.encode(Sha256::digest(&digests)), named.len());
        let (bucket, key) = asked.bucket_and_key();
        let answer = xml(
            "CompleteMultipartUploadResult",
            &format!(
                "<Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>\"{}\"</ETag>\
                 <ChecksumSHA256>{checksum}</ChecksumSHA256><ChecksumType>COMPOSITE</ChecksumType>",
                etag(&checksum)
            ),
        );
        self.objects.insert(asked.name.clone(), Object { size, checksum, is_composite: true, body: None });
        Ok(answer)
    }
}

impl Object {
    fn facts(&self) -> Facts<'_> {
        Facts { size: self.size, checksum: &self.checksum, is_composite: self.is_composite }
    }
}

fn gone() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn key_of(name: &str) -> &str {
    name.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key)
}

/// The text of an element within one without attributes, as the SDK writes it.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    Some(behind.split_once("</")?.0)
}
