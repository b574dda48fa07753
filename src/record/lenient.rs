//! JSON as programs really write it: reads one object as far as possible.
//!
//! Beyond the standard it accepts Python's `NaN` and `Infinity`, halves of surrogate pairs, numbers of any
//! size and control characters in texts. Repeated keys, endless nesting and torn text are damage: the part
//! before it stays, and the result names the damage.

use serde_json::{Number, Value};

use super::members::Members;

/// Deepest nesting of values.
const DEEPEST: usize = 64;

/// Members of an object up to which a repeated key is looked for one by one.
const FEW: usize = 32;

/// The readable part of an object.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// The members in order, with every repeated key.
    pub(super) members: Vec<(String, Value)>,
    /// The first damage.
    pub(super) damage: Option<String>,
    /// Whether the rest is unreadable.
    pub(super) torn: bool,
}

/// Reads an object; `None` when the text does not even begin like one.
pub(super) fn object(text: &str) -> Option<Object> {
    let mut reader = LenientReader { text, at: 0, damage: None, torn: false };
    reader.blanks();
    if !reader.take(b'{') {
        return None;
    }
    reader.blanks();
    if !matches!(reader.peek(), Some(b'"' | b'}')) {
        return None;
    }
    let members = reader.members(1);
    reader.blanks();
    if !reader.torn && reader.at < text.len() {
        reader.say("more text follows the object".to_owned());
    }
    Some(Object { members, damage: reader.damage, torn: reader.torn })
}

struct LenientReader<'a> {
    text: &'a str,
    at: usize,
    damage: Option<String>,
    torn: bool,
}

impl LenientReader<'_> {
    /// The members up to the closing brace, after the opening one.
    fn members(&mut self, depth: usize) -> Vec<(String, Value)> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        loop {
            self.blanks();
            if self.take(b'}') {
                return members;
            }
            if self.peek() != Some(b'"') {
                self.tear("a key");
                return members;
            }
            let key = self.string();
            self.blanks();
            if self.torn || !self.take(b':') {
                self.tear("a key and its value");
                return members;
            }
            if members.len() == FEW {
                names.extend(members.iter().map(|(known, _)| known.clone()));
            }
            let is_among_few = || members.iter().any(|(known, _)| *known == key);
            let is_new = if names.is_empty() { !is_among_few() } else { names.insert(key.clone()) };
            if !is_new {
                self.say(format!("the key {:?} stands there twice", short(&key)));
            }
            let value = self.value(depth);
            members.push((key, value));
            if !self.goes_on(b'}') {
                return members;
            }
        }
    }

    fn values(&mut self, depth: usize) -> Vec<Value> {
        let mut values = Vec::new();
        self.blanks();
        if self.take(b']') {
            return values;
        }
        loop {
            values.push(self.value(depth));
            if !self.goes_on(b']') {
                return values;
            }
        }
    }

    /// Whether a comma says that more comes; `end` ends it.
    fn goes_on(&mut self, end: u8) -> bool {
        self.blanks();
        if self.torn || self.take(end) {
            return false;
        }
        let more = self.take(b',');
        if !more {
            self.tear("a comma or the end of an object or a list");
        }
        more
    }

    fn value(&mut self, depth: usize) -> Value {
        self.blanks();
        match self.peek() {
            Some(b'"') => Value::String(self.string()),
            Some(b'{' | b'[') if depth >= DEEPEST => self.skip(),
            Some(b'{') => {
                self.at += 1;
                Value::Object(Members::new(self.members(depth + 1)).fold())
            }
            Some(b'[') => {
                self.at += 1;
                Value::Array(self.values(depth + 1))
            }
            _ => self.word(),
        }
    }

    /// A number or a word; values without a JSON number stay text.
    fn word(&mut self) -> Value {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let rest = &self.text[self.at..];
        let word = &rest[..rest.bytes().take_while(|byte| is_part(byte)).count()];
        self.at += word.len();
        match word {
            "true" => return true.into(),
            "false" => return false.into(),
            "null" => return Value::Null,
            "NaN" | "Infinity" | "-Infinity" => return word.into(),
            _ => {}
        }
        let whole = word.parse::<u64>().map(Number::from).or_else(|_| word.parse::<i64>().map(Number::from));
        let number = whole.ok().or_else(|| {
            let is_exact = word.contains(['.', 'e', 'E']);
            word.parse().ok().filter(|_| is_exact).and_then(Number::from_f64)
        });
        match number {
            Some(number) => Value::Number(number),
            None if word.parse::<f64>().is_ok() && word.contains(|digit: char| digit.is_ascii_digit()) => {
                word.into()
            }
            None => {
                self.at -= word.len();
                self.tear("a value");
                Value::Null
            }
        }
    }

    /// A text, from its opening quote. Halves of surrogate pairs become visible escapes.
    fn string(&mut self) -> String {
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
                string.push_str(rest);
                self.at = self.text.len();
                self.tear("the end of a text");
                return string;
            };
            string.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return string;
            }
            self.escape(&mut string);
        }
    }

    fn escape(&mut self, string: &mut String) {
        let Some(escaped) = self.text[self.at..].chars().next() else { return };
        self.at += escaped.len_utf8();
        match escaped {
            '"' | '\\' | '/' => string.push(escaped),
            'b' => string.push('\u{8}'),
            'f' => string.push('\u{c}'),
            'n' => string.push('\n'),
            'r' => string.push('\r'),
            't' => string.push('\t'),
            'u' => match self.unit() {
                Some(unit) => self.push_unit(string, unit),
                None => {
                    self.say("an escape is not \\uXXXX".to_owned());
                    string.push_str("\\u");
                }
            },
            other => {
                self.say(format!("unknown escape \\{}", other.escape_default()));
                string.push('\\');
                string.push(other);
            }
        }
    }

    fn push_unit(&mut self, string: &mut String, unit: u16) {
        let before = self.at;
        let low = (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u");
        if low {
            self.at += 2;
        }
        let pair = if low { self.unit() } else { None };
        let pair = pair.filter(|low| (0xdc00..0xe000).contains(low));
        let units: &[u16] = &[unit, pair.unwrap_or_default()][..1 + usize::from(pair.is_some())];
        for read in char::decode_utf16(units.iter().copied()) {
            match read {
                Ok(character) => string.push(character),
                Err(half) => string.push_str(&format!("\\u{{{:x}}}", half.unpaired_surrogate())),
            }
        }
        if pair.is_none() {
            self.at = before;
        }
    }

    /// The four digits of an escape.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let unit = u16::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        self.at += 4;
        Some(unit)
    }

    /// Skips a value that is nested too deep, without recursion.
    fn skip(&mut self) -> Value {
        let (mut open, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, byte) in self.text.bytes().enumerate().skip(self.at) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => open += 1,
                b'}' | b']' if !quoted => open -= 1,
                _ => {}
            }
            if open == 0 {
                self.at = at + 1;
                self.say(format!("it is nested deeper than {DEEPEST}"));
                return "[nested too deep]".into();
            }
        }
        self.at = self.text.len();
        self.tear("the end of an object or a list");
        Value::Null
    }

    fn blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Ends the reading because `what` is missing.
    fn tear(&mut self, what: &str) {
        let place =
            if self.at >= self.text.len() { "its end".to_owned() } else { format!("byte {}", self.at + 1) };
        self.say(format!("{what} is missing at {place}"));
        self.torn = true;
    }

    fn say(&mut self, damage: String) {
        self.damage.get_or_insert(damage);
    }
}

/// The beginning of a name, for messages.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(40)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Value, Option<String>) {
        let read = object(text).expect(text);
        (Value::Object(Members::new(read.members).fold()), read.damage)
    }

    #[test]
    fn what_the_standard_allows_is_read_as_serde_reads_it() {
        for text in [
            r#"{}"#,
            r#" { "a" : [ 1 , -2 , 3.5 , 1e3 , true , false , null , "x" , [ ] , { } ] } "#,
            r#"{"\u00e9\n\"\\\/":"\ud83d\ude00 é","n":18446744073709551615,"m":-9223372036854775808}"#,
        ] {
            assert_eq!(read(text), (serde_json::from_str(text).unwrap(), None), "{text}");
        }
    }

    #[test]
    fn what_python_writes_beyond_the_standard_is_kept_as_text() {
        let text = r#"{"a":NaN,"b":[Infinity,-Infinity],"c":"\ud800x","d":123456789012345678901234567890,"e":1e999}"#;
        let kept = json!({"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "\\u{d800}x",
            "d": "123456789012345678901234567890", "e": "1e999"});
        assert_eq!(read(text), (kept, None));
    }

    #[test]
    fn what_is_torn_is_kept_up_to_there_and_the_damage_is_named() {
        for (text, kept, damage) in [
            (r#"{"a":1,"b":"cut"#, json!({"a": 1, "b": "cut"}), "the end of a text"),
            (r#"{"a":1,"b"#, json!({"a": 1}), "the end of a text"),
            (r#"{"a":1,"b":{"c":[1,2"#, json!({"a": 1, "b": {"c": [1, 2]}}), "its end"),
            (r#"{"a":1 "b":2}"#, json!({"a": 1}), "byte 8"),
            (r#"{"a":1,"a":2}"#, json!({"a": 1, "a'": 2}), "twice"),
            (r#"{"a":1} tail"#, json!({"a": 1}), "more text"),
            (r#"{"a":"\q\u12"}"#, json!({"a": "\\q\\u12"}), "escape"),
            (r#"{"a":, "b":1}"#, json!({"a": null}), "a value"),
        ] {
            let (value, said) = read(text);
            assert_eq!(value, kept, "{text}");
            assert!(said.as_ref().is_some_and(|said| said.contains(damage)), "{text}: {said:?}");
        }
        let many: String = (0..100).map(|key| format!("\"{key}\":1,")).collect();
        let (value, damage) = read(&format!("{{{many}\"7\":2}}"));
        assert_eq!((&value["7'"], damage.is_some_and(|damage| damage.contains("twice"))), (&json!(2), true));
        let deep = format!(r#"{{"a":{}1{},"level":"error"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let (value, damage) = read(&deep);
        assert_eq!(value["level"], "error");
        assert!(damage.unwrap().contains("nested deeper"));
        assert!(object("{'a': 1}").is_none() && object("{broken").is_none() && object("[1]").is_none());
    }
}
