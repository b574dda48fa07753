//! `/assets/{name}`: the style sheet, the scripts and the icon, which are part of the program.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::super::error::HttpError;

/// Something that a page loads.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal as $kind:literal,)+) => {
        &[$(Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name)),
        },)+]
    };
}

const ASSETS: &[Asset] = assets![
    "page.css" as "text/css; charset=utf-8",
    "icon.svg" as "image/svg+xml",
    "live.js" as "text/javascript; charset=utf-8",
    "viewer.js" as "text/javascript; charset=utf-8",
    "stream.js" as "text/javascript; charset=utf-8",
    "lines.js" as "text/javascript; charset=utf-8",
    "window.js" as "text/javascript; charset=utf-8",
    "beside.js" as "text/javascript; charset=utf-8",
    "tools.js" as "text/javascript; charset=utf-8",
];

/// A browser asks each time whether it is still the same, and is told so by a hash.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return HttpError::new(StatusCode::NOT_FOUND, "nothing is here").into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(asset.bytes)[..8]));
    let about = [(ETAG, tag.clone()), (CACHE_CONTROL, "no-cache".to_owned())];
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    match is_known {
        true => (StatusCode::NOT_MODIFIED, about).into_response(),
        false => (about, [(CONTENT_TYPE, asset.kind)], asset.bytes).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_there_under_a_name_of_its_own() {
        for (nth, asset) in ASSETS.iter().enumerate() {
            assert!(!asset.bytes.is_empty() && std::str::from_utf8(asset.bytes).is_ok(), "{}", asset.name);
            assert!(ASSETS[..nth].iter().all(|other| other.name != asset.name), "{}", asset.name);
        }
    }
}
