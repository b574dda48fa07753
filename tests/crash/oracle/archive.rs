//! An archive as another program reads it: `flate2` and `serde_json`, not the project's own reader and
//! decoder, which could share a fault with its writer.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parselog::objects::ObjectUri;
use parselog::store::Run;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::world::World;

/// One line of a log, as JSON.
pub(crate) struct Line {
    pub(crate) json: Value,
    /// Its bytes, newline included.
    pub(crate) bytes: u64,
}

impl Line {
    pub(crate) fn seq(&self) -> u64 {
        self.json["seq"].as_u64().unwrap_or(u64::MAX)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    pub(crate) fn is_error(&self) -> bool {
        self.text("level") == "ERROR"
    }

    /// Whether it is the head, the cut or the tail.
    pub(crate) fn frames(&self, what: &str) -> bool {
        self.json.get(what).is_some()
    }
}

/// A log in the parts that it must have: a head, events, perhaps a cut and more events, a tail.
pub(crate) struct Archive {
    pub(crate) head: Value,
    /// Up to the cut, or all.
    pub(crate) before: Vec<Line>,
    /// The cut, and what is behind it.
    pub(crate) cut: Option<(Value, Vec<Line>)>,
    pub(crate) tail: Value,
    /// Bytes of all lines that stand before the cut.
    pub(crate) bytes_before: u64,
}

impl Archive {
    /// The archive behind the row's URI, after its bytes are what the row says.
    pub(crate) async fn of(world: &World, run: &Run) -> Result<Self, String> {
        let raw = read(world, run).await?;
        let mut lines = Vec::new();
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            let json: Value = serde_json::from_slice(line)
                .map_err(|error| format!("no JSON: {error}: {}", String::from_utf8_lossy(line)))?;
            if let Some(byte) = line[..line.len() - 1].iter().find(|byte| **byte < b' ' || **byte == 0x7f) {
                return Err(format!("the control character {byte:#x} is in a line"));
            }
            lines.push(Line { json, bytes: line.len() as u64 });
        }
        Self::divide(lines)
    }

    fn divide(mut lines: Vec<Line>) -> Result<Self, String> {
        if lines.len() < 2 || !lines[0].frames("head") || !lines[lines.len() - 1].frames("tail") {
            return Err("it does not begin with a head and end with a tail".to_owned());
        }
        let tail = lines.pop().map(|mut line| line.json["tail"].take()).unwrap_or_default();
        let head = lines.remove(0);
        let mut archive = Self {
            bytes_before: head.bytes,
            head: head.json["head"].clone(),
            before: Vec::new(),
            cut: None,
            tail,
        };
        for line in lines {
            match &mut archive.cut {
                _ if line.frames("head") || line.frames("tail") => {
                    return Err("more than one head or tail".to_owned());
                }
                Some(_) if line.frames("cut") => return Err("more than one cut".to_owned()),
                Some((_, behind)) => behind.push(line),
                None if line.frames("cut") => archive.cut = Some((line.json["cut"].clone(), Vec::new())),
                None => {
                    archive.bytes_before += line.bytes;
                    archive.before.push(line);
                }
            }
        }
        Ok(archive)
    }

    /// All events, in the order of the file.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Line> {
        self.before.iter().chain(self.cut.iter().flat_map(|(_, behind)| behind))
    }
}

async fn read(world: &World, run: &Run) -> Result<Vec<u8>, String> {
    let uri: ObjectUri =
        run.logs_uri.as_ref().ok_or("no URI")?.parse().map_err(|error| format!("{error}"))?;
    let (stored, mut stream) =
        world.objects.open(&uri).await.map_err(|error| format!("its URI points at nothing: {error}"))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    let size = Some(bytes.len() as i64);
    if run.log_gzip_bytes != size || stored.size != bytes.len() as u64 {
        return Err(format!("{size:?} bytes, but the row says {:?}", run.log_gzip_bytes));
    }
    if run.log_gzip_sha256 != Some(Sha256::digest(&bytes).into()) {
        return Err("the object has another SHA-256 than the row says".to_owned());
    }
    let mut raw = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut raw).map_err(|error| error.to_string())?;
    let lines = raw.iter().filter(|byte| **byte == b'\n').count() as i64;
    if run.log_raw_sha256 != Some(Sha256::digest(&raw).into())
        || (run.log_raw_bytes, run.log_lines) != (Some(raw.len() as i64), Some(lines))
        || !raw.ends_with(b"\n")
    {
        return Err(format!("{} raw bytes, {lines} lines: not what the row says", raw.len()));
    }
    Ok(raw)
}
