//! The form that Python's `HTTPHandler` sends: the attributes of a log record, each as its `str`.
//!
//! Its `msg` is not formatted, and its `args` are the text of a tuple or a dict: both are put together here.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::literal::Arguments;
use super::{BodyItem, BodySink, check_length, percent};
use crate::record::Incoming;

/// The attributes of a log record that are numbers.
const NUMBERS: [&str; 7] = ["levelno", "lineno", "created", "msecs", "relativeCreated", "thread", "process"];

/// What Python writes for arguments that are not there.
const NO_ARGUMENTS: [&str; 3] = ["()", "None", "{}"];

/// Reads the one record of a form.
pub fn read(body: &[u8], sink: &mut BodySink<'_>) {
    let record = check_length(body).and_then(|()| record(body));
    sink(match record {
        Ok(record) => BodyItem::Record(record),
        Err(reason) => BodyItem::Bad { service: None, raw: body, reason },
    });
}

fn record(body: &[u8]) -> Result<Incoming, String> {
    let mut members = Map::new();
    for (name, text) in form_urlencoded::parse(body) {
        members.insert(name.into_owned(), text.into_owned().into());
    }
    let damage = format_message(&mut members);
    for (name, value) in &mut members {
        let Value::String(text) = value else { continue };
        if text == "None" {
            *value = Value::Null;
        } else if NUMBERS.contains(&name.as_str())
            && let Ok(number) = serde_json::from_str(text)
        {
            *value = Value::Number(number);
        }
    }
    let mut record = Incoming::of_object(members)?;
    record.damage = record.damage.or(damage);
    Ok(record)
}

/// Puts the arguments into the message. If they don't fit, both stay as they are, and the result says why.
fn format_message(members: &mut Map<String, Value>) -> Option<String> {
    let args = members.get("args")?.as_str()?;
    if NO_ARGUMENTS.contains(&args) {
        members.shift_remove("args");
        return None;
    }
    let message = members.get("msg")?.as_str()?;
    match Arguments::read(args).and_then(|arguments| percent::format(message, &arguments)) {
        Ok(message) => {
            members.insert("msg".to_owned(), message.into());
            members.shift_remove("args");
            None
        }
        Err(reason) => Some(format!("its arguments do not fit its message: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    fn incoming(body: &str) -> Incoming {
        let mut found = None;
        read(body.as_bytes(), &mut |one| {
            let BodyItem::Record(record) = one else { panic!("{one:?}") };
            found = Some(record);
        });
        found.expect("a record")
    }

    /// What CPython 3.13 sent for `log.warning("%s has %d rows", "wörld", 3)`.
    const SENT: &str = "name=app.parsers&msg=%25s+has+%25d+rows&args=%28%27w%C3%B6rld%27%2C+3%29&levelname=WARNING\
        &levelno=30&pathname=%2Fapp%2Ffra.py&filename=fra.py&module=fra&exc_info=None&exc_text=None\
        &stack_info=None&lineno=7&funcName=parse&created=1764237600.5&msecs=500.0&relativeCreated=88.5\
        &thread=140735268359680&threadName=MainThread&processName=MainProcess&process=77&taskName=None";

    #[test]
    fn the_form_of_pythons_handler_is_the_record_that_was_logged() {
        let record = incoming(SENT);
        assert_eq!((record.level, record.message.as_str()), (Level::Warn, "wörld has 3 rows"));
        assert_eq!((record.logger.as_str(), record.time), ("app.parsers", Some(1_764_237_600_500_000)));
        assert_eq!(record.source, Some(("/app/fra.py".to_owned(), 7)));
        let kept: Vec<&str> = record.rest.keys().map(String::as_str).collect();
        assert_eq!(kept, ["funcName", "thread", "threadName", "processName", "process"]);
        assert_eq!(record.damage, None);
    }

    #[test]
    fn arguments_that_do_not_fit_stay_beside_their_message() {
        let record = incoming("levelname=INFO&msg=100%25+of+%25d&args=%28%27x%27%2C%29&name=a");
        assert_eq!(record.message, "100% of %d");
        assert_eq!(record.rest["args"], "('x',)");
        assert!(record.damage.is_some_and(|damage| damage.contains("do not fit")));
        let plain = incoming("levelname=INFO&msg=100%25&args=%28%29&name=a");
        assert_eq!((plain.message.as_str(), plain.damage), ("100%", None));
    }

    #[test]
    fn a_form_without_a_record_says_so() {
        let mut reasons = Vec::new();
        for body in ["", "a=b", "%ff=%zz"] {
            read(body.as_bytes(), &mut |found| {
                let BodyItem::Bad { reason, .. } = found else { panic!("{found:?}") };
                reasons.push(reason);
            });
        }
        assert_eq!(reasons.len(), 3);
    }
}
