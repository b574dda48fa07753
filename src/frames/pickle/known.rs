//! The classes that people know, rendered as they write them.

use std::borrow::Cow;

use serde_json::Value;

use super::arena::{Id, Node, Opaque};
use super::objects::{Call, repr};
use super::render::Renderer;
use super::times;
use crate::record::plain;

impl<'a> Renderer<'a> {
    /// The value of an object of a known class, and `None` for any other.
    pub(super) fn known(
        &mut self,
        call: &Call<'a>,
        object: &'a Opaque,
    ) -> Result<Option<Value>, &'static str> {
        let text = match (call.module, &*call.name, call.arguments) {
            ("datetime", "datetime", [state, zone @ ..]) => {
                let time = self.bytes_of(*state)?.and_then(|state| times::date_time(&state));
                time.zip(self.zone(zone)).map(|(time, zone)| time + &zone.on_a_time())
            }
            ("datetime", "date", [state]) => self.bytes_of(*state)?.and_then(|state| times::date(&state)),
            ("datetime", "time", [state, zone @ ..]) => {
                let time = self.bytes_of(*state)?.and_then(|state| times::time(&state));
                time.zip(self.zone(zone)).map(|(time, zone)| time + &zone.on_a_time())
            }
            ("datetime", "timedelta", arguments) => self.span(arguments).map(times::span),
            ("datetime", "timezone", _) | ("zoneinfo" | "pytz", ..) => {
                self.zone_of(call).map(times::Zone::name)
            }
            ("decimal" | "_decimal" | "_pydecimal", "Decimal", [digits]) => {
                self.text(*digits).map(ToOwned::to_owned)
            }
            ("uuid", "UUID", []) => self.uuid(object),
            ("builtins", "set" | "frozenset", [items]) => match self.node(*items) {
                Node::List(items) | Node::Tuple(items) => return self.list(items).map(Some),
                _ => None,
            },
            ("builtins", "set" | "frozenset", []) | ("collections", "deque", _) => {
                return self.list(&object.items).map(Some);
            }
            ("collections", "OrderedDict" | "defaultdict", _) => {
                return self.map(&object.pairs).map(|map| Some(map.into()));
            }
            // A member of an enum.
            ("builtins", "getattr", [class, member]) => {
                let class = self.name(*class).zip(self.name_of(*member));
                class.map(|((module, class), member)| format!("{module}.{class}.{member}"))
            }
            ("collections", "Counter", [counts]) => return self.value(*counts).map(Some),
            ("builtins", "bytes" | "bytearray", []) => return self.bytes(b"").map(Some),
            ("builtins", "bytearray", [bytes, ..]) | ("_codecs", "encode", [bytes, _]) => {
                return self.bytes_of(*bytes)?.map(|bytes| self.bytes(&bytes)).transpose();
            }
            ("pathlib" | "pathlib._local", name, parts) if name.ends_with("Path") => {
                self.path(name, parts)?
            }
            (module, name, arguments) if is_exception(module, name) => {
                return self.exception(call, arguments).map(Some);
            }
            _ => None,
        };
        text.map(|text| self.said(&text)).transpose()
    }

    /// The bytes of a node, also of the call that stands for them in old protocols.
    fn bytes_of(&mut self, id: Id) -> Result<Option<Cow<'a, [u8]>>, &'static str> {
        Ok(match self.node(id) {
            Node::Bytes(part) => Some(Cow::Borrowed(part.of(self.pickle))),
            Node::Text(_) | Node::OwnText(_) => self.latin1(id)?.map(Cow::Owned),
            Node::Object(object) => match self.call(object) {
                Some(Call { module: "_codecs", name, arguments: [text, _] }) if name == "encode" => {
                    self.latin1(*text)?.map(Cow::Owned)
                }
                Some(Call { module: "builtins", name, arguments: [] }) if name == "bytes" => {
                    Some(Cow::Borrowed(&[]))
                }
                _ => None,
            },
            _ => None,
        })
    }

    /// The bytes of a text in Latin-1.
    fn latin1(&mut self, id: Id) -> Result<Option<Vec<u8>>, &'static str> {
        let Some(text) = self.text(id) else { return Ok(None) };
        self.costs.charge(text.len())?;
        Ok(text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect())
    }

    /// Days, seconds and microseconds, within Python's bounds.
    fn span(&self, arguments: &[Id]) -> Option<[i64; 3]> {
        let [days, seconds, micros] = *arguments else { return None };
        let whole = |id, bound| match self.node(id) {
            Node::Whole(whole) if whole.abs() < bound => Some(*whole),
            _ => None,
        };
        Some([whole(days, 1_000_000_000)?, whole(seconds, 86_400)?, whole(micros, 1_000_000)?])
    }

    fn zone(&self, zone: &[Id]) -> Option<times::Zone> {
        let Some(zone) = zone.first() else { return Some(times::Zone::None) };
        match self.node(*zone) {
            Node::None => Some(times::Zone::None),
            Node::Object(object) => self.zone_of(&self.call(object)?),
            _ => None,
        }
    }

    fn zone_of(&self, call: &Call<'_>) -> Option<times::Zone> {
        match (call.module, &*call.name, call.arguments) {
            ("datetime", "timezone", [offset, ..]) => {
                let Node::Object(offset) = self.node(*offset) else { return None };
                let span = self.span(self.call(offset)?.arguments).filter(|[days, ..]| days.abs() <= 1)?;
                Some(times::Zone::Offset(span))
            }
            ("pytz", "_UTC", []) => Some(times::Zone::Offset([0; 3])),
            ("zoneinfo" | "pytz", "ZoneInfo" | "ZoneInfo._unpickle" | "_p", [name, ..]) => {
                self.name_of(*name).map(|name| times::Zone::Named(name.to_owned()))
            }
            _ => None,
        }
    }

    fn uuid(&self, object: &Opaque) -> Option<String> {
        let Node::Dict(state) = self.node(object.state?) else { return None };
        let is_number = |(key, _): &&(Id, Id)| self.name_of(*key) == Some("int");
        let (_, number) = state.iter().take(2).find(is_number)?;
        let number = match self.node(*number) {
            Node::Whole(whole) => u128::try_from(*whole).ok()?,
            Node::Digits(digits) => digits.parse().ok()?,
            _ => return None,
        };
        Some(uuid::Uuid::from_u128(number).to_string())
    }

    /// The parts of a path, joined; a part with a root begins anew.
    fn path(&mut self, name: &str, parts: &[Id]) -> Result<Option<String>, &'static str> {
        let separator = if name.contains("Windows") { '\\' } else { '/' };
        let mut path = String::new();
        for part in parts {
            let Some(part) = self.text(*part) else { return Ok(None) };
            self.costs.charge(part.len() + 1)?;
            if part.starts_with(separator) {
                path.clear();
            } else if !path.is_empty() && !path.ends_with(separator) {
                path.push(separator);
            }
            path.push_str(part);
        }
        Ok(Some(if path.is_empty() { ".".to_owned() } else { path }))
    }

    /// The name that Python gives an `OSError` of this number.
    fn os_error(&self, number: Id) -> &'static str {
        match self.node(number) {
            Node::Whole(1 | 13) => "PermissionError",
            Node::Whole(2) => "FileNotFoundError",
            Node::Whole(3) => "ProcessLookupError",
            Node::Whole(4) => "InterruptedError",
            Node::Whole(10) => "ChildProcessError",
            Node::Whole(11) => "BlockingIOError",
            Node::Whole(17) => "FileExistsError",
            Node::Whole(20) => "NotADirectoryError",
            Node::Whole(21) => "IsADirectoryError",
            Node::Whole(32) => "BrokenPipeError",
            Node::Whole(103) => "ConnectionAbortedError",
            Node::Whole(104) => "ConnectionResetError",
            Node::Whole(110) => "TimeoutError",
            Node::Whole(111) => "ConnectionRefusedError",
            _ => "OSError",
        }
    }

    /// An exception as the last line of its traceback.
    fn exception(&mut self, call: &Call<'_>, arguments: &[Id]) -> Result<Value, &'static str> {
        let before = self.costs.output();
        let values: Result<Vec<Value>, _> = arguments.iter().map(|argument| self.value(*argument)).collect();
        // As JSON, a character may take six bytes.
        self.costs.charge(6 * (self.costs.output() - before))?;
        let words = match &*values? {
            [] => String::new(),
            [key] if call.name == "KeyError" => repr(key),
            [message] => plain(message.clone()),
            [Value::Number(number), text @ Value::String(_), rest @ ..]
                if call.module == "builtins" && rest.len() < 2 =>
            {
                let file = rest.first().map(|file| format!(": {}", repr(file))).unwrap_or_default();
                format!("[Errno {number}] {}{file}", plain(text.clone()))
            }
            values => format!("({})", values.iter().map(repr).collect::<Vec<_>>().join(", ")),
        };
        let module = if call.module == "builtins" { String::new() } else { format!("{}.", call.module) };
        let colon = if words.is_empty() { "" } else { ": " };
        let name = match &*call.name {
            // Old protocols have only the name of Python 2; the number says more.
            "OSError" if call.module == "builtins" => {
                arguments.first().map_or("OSError", |id| self.os_error(*id))
            }
            name => name,
        };
        self.said(&format!("{module}{name}{colon}{words}"))
    }
}

fn is_exception(module: &str, name: &str) -> bool {
    let others = ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "StopAsyncIteration"];
    ["Error", "Exception", "Warning"].iter().any(|ending| name.ends_with(ending))
        || module == "builtins" && others.contains(&name)
}
