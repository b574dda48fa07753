//! Bodies of `POST /logs` in JSON: an object, an array, or one object after the other, as in NDJSON.

use super::pieces::JsonPieces;
use super::{BodyItem, BodySink, check_length};
use crate::record::Incoming;

/// Reads the records of a body. A record that is only partly readable is kept, and says so.
pub fn read(body: &[u8], sink: &mut BodySink<'_>) {
    for raw in JsonPieces::of(body) {
        let record = check_length(raw).and_then(|()| Incoming::of_line(&String::from_utf8_lossy(raw)));
        sink(match record {
            Ok(record) => BodyItem::Record(record),
            Err(reason) => BodyItem::Bad { service: None, raw, reason },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_RECORD;
    use super::*;
    use crate::record::Level;

    fn found(body: &[u8]) -> Vec<Result<String, String>> {
        let mut all = Vec::new();
        read(body, &mut |found| {
            all.push(match found {
                BodyItem::Record(record) => Ok(record.message),
                BodyItem::Bad { reason, .. } => Err(reason),
            });
        });
        all
    }

    #[test]
    fn a_record_that_is_not_quite_json_is_kept_and_spoils_no_other() {
        let body = b"[{\"message\":\"a\",\"rate\":NaN},{\"message\":\"b\xff\"},{\"no\":\"record\"},17,{\"message\":\"c\"}]";
        let said = found(body);
        assert_eq!((said[0].as_deref(), said[1].as_deref()), (Ok("a"), Ok("b\u{fffd}")));
        assert!(said[2].is_err() && said[3].is_err(), "{said:?}");
        assert_eq!((said[4].as_deref(), said.len()), (Ok("c"), 5));
    }

    #[test]
    fn a_record_without_end_is_refused_and_the_next_one_is_not() {
        let body = format!("{{\"message\":\"{}\"}}\n{{\"message\":\"b\"}}\n", "a".repeat(MAX_RECORD));
        let said = found(body.as_bytes());
        assert!(said[0].as_ref().is_err_and(|reason| reason.contains("bytes long")), "{said:?}");
        assert_eq!(said[1].as_deref(), Ok("b"));
    }

    #[test]
    fn a_record_of_very_many_keys_is_read_at_once() {
        let keys: String = (0..80_000).map(|key| format!("\"k{key}\":1,")).collect();
        let began = std::time::Instant::now();
        assert_eq!(found(format!("{{{keys}\"message\":\"m\"}}").as_bytes()), [Ok("m".to_owned())]);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn who_logged_and_how_badly_is_read_as_everywhere() {
        read(
            b"{\"service\":\"web\",\"levelname\":\"ERROR\",\"msg\":\"m\",\"name\":\"django\"}",
            &mut |found| {
                let BodyItem::Record(record) = found else { panic!("{found:?}") };
                assert_eq!((record.service.as_deref(), record.level), (Some("web"), Level::Error));
                assert_eq!(record.logger, "django");
            },
        );
    }
}
