//! JSON that holds any number of others: its elements one at a time, without decoding the whole.
//!
//! As `wire` does for protobuf. Only the JSON of one record is decoded as a whole.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pieces::JsonPieces;
use super::{BodyItem, BodySink};

/// The texts of the elements of an array.
pub(super) fn elements(array: Option<&RawValue>) -> JsonPieces<'_> {
    JsonPieces::of(array.map_or("", RawValue::get).as_bytes())
}

/// Reads JSON.
///
/// # Errors
/// It is not what is expected; the reason does not say where, since it is about a part of the body.
pub(super) fn from_json<'a, T: Deserialize<'a>>(raw: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(raw).map_err(|error| error.to_string())
}

/// Reads JSON that leads to records. If it can't be read, it is handed on as bad.
pub(super) fn parsed<'a, T: Deserialize<'a>>(
    raw: &'a [u8],
    service: Option<&str>,
    sink: &mut BodySink<'_>,
) -> Option<T> {
    match from_json(raw) {
        Ok(parsed) => Some(parsed),
        Err(reason) => {
            sink(BodyItem::Bad { service, raw, reason });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_apart_and_what_is_not_expected_is_bad() {
        let array: Box<RawValue> = serde_json::from_str(r#"[1, "a,]", [2], {"b": "]"}]"#).expect("JSON");
        let all: Vec<_> = elements(Some(&array)).collect();
        assert_eq!(all, [&b"1"[..], b"\"a,]\"", b"[2]", b"{\"b\": \"]\"}"]);
        assert_eq!(elements(None).count(), 0);
        let mut bad = Vec::new();
        let read: Vec<u32> = all
            .into_iter()
            .filter_map(|raw| {
                parsed(raw, Some("web"), &mut |found| {
                    let BodyItem::Bad { service, raw, .. } = found else { panic!("{found:?}") };
                    bad.push((service.map(str::to_owned), raw.len()));
                })
            })
            .collect();
        assert_eq!((read, bad.len(), bad[0].clone()), (vec![1], 3, (Some("web".to_owned()), 5)));
    }
}
