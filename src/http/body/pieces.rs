//! Cuts a body into the texts of its objects: one object, an array of them, or one after the other.
//!
//! It only counts brackets and quotes, so a record that is not quite JSON spoils no other one, and any number
//! of them takes no memory.

use memchr::{memchr, memchr3};

/// The texts of the objects of a body, or of the elements of one array. Outside of arrays, what is not an
/// object comes line by line.
pub(super) struct JsonPieces<'a> {
    rest: &'a [u8],
    in_array: bool,
    /// Something was torn: from there on only lines can be told apart.
    by_line: bool,
}

impl<'a> JsonPieces<'a> {
    pub(super) fn of(body: &'a [u8]) -> Self {
        let rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        Self { rest, in_array: false, by_line: false }
    }

    /// The length of the piece at the beginning of the rest.
    fn length(&mut self) -> usize {
        let whole = match self.rest[0] {
            _ if self.by_line => None,
            b'{' | b'[' => Some(value_length(self.rest)),
            b'"' if self.in_array => Some(string_length(&self.rest[1..]).map(|length| length + 1)),
            _ => None,
        };
        match whole {
            Some(Some(length)) => return length,
            Some(None) => self.by_line = true,
            None => {}
        }
        let line = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        if self.in_array && !self.by_line {
            let end = self.rest[1..line].iter().position(|byte| matches!(byte, b',' | b']'));
            return end.map_or(line, |end| end + 1);
        }
        line
    }
}

impl<'a> Iterator for JsonPieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest.first()? {
                b'[' if !self.in_array => self.in_array = true,
                b',' if self.in_array => {}
                b']' if self.in_array => self.in_array = false,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        let (piece, rest) = self.rest.split_at(self.length());
        self.rest = rest;
        let piece = piece.trim_ascii_end();
        Some(if self.in_array { piece.strip_suffix(b",").unwrap_or(piece) } else { piece })
    }
}

/// The length of the object or array at the beginning; `None` if it does not end, or a text of it does not on
/// its line.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            b'"' => at += string_length(&bytes[at + 1..])?,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return Some(at);
        }
    }
}

/// The length of a text behind its opening quote, with the closing one.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'"', b'\\', b'\n', bytes.get(at..)?)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(body: &str) -> Vec<&str> {
        JsonPieces::of(body.as_bytes()).map(|piece| std::str::from_utf8(piece).expect("text")).collect()
    }

    #[test]
    fn one_object_an_array_and_lines_of_objects_are_cut_alike() {
        let objects = [r#"{"a":"}\"{"}"#, r#"{"b":[1,{"c":2}]}"#];
        let [one, two] = objects;
        for body in [
            format!("{one}\n{two}\n"),
            format!("\u{feff}{one}\r\n\r\n{two}"),
            format!("{one}{two}"),
            format!(" [ {one} , {two} ] "),
            format!("[\n{one},\n{two}\n]\n"),
            format!("[{one}]\n[{two}]"),
        ] {
            assert_eq!(pieces(&body), objects, "{body}");
        }
        assert_eq!(pieces("{\n  \"a\": 1\n}\n"), ["{\n  \"a\": 1\n}"]);
        assert_eq!(
            pieces(r#"[["1","a,]"],["2",{"b":1}],"c,",3]"#),
            [r#"["1","a,]"]"#, r#"["2",{"b":1}]"#, r#""c,""#, "3"]
        );
        assert!(pieces("").is_empty() && pieces(" \n[]\n").is_empty());
    }

    #[test]
    fn what_is_torn_or_no_object_spoils_only_its_own_line() {
        assert_eq!(pieces("{\"a\":\"cut\n{\"b\":1}\n"), ["{\"a\":\"cut", "{\"b\":1}"]);
        assert_eq!(pieces("{\"a\":[\n{\"b\":1}\n"), ["{\"a\":[", "{\"b\":1}"]);
        assert_eq!(pieces("[{\"a\":1}, 7, \"x\", {\"b\":1}]"), ["{\"a\":1}", "7", "\"x\"", "{\"b\":1}"]);
        assert_eq!(pieces("plain text\n{\"b\":1}"), ["plain text", "{\"b\":1}"]);
        assert_eq!(pieces("[{\"a\":1},\n{\"b\":\n"), ["{\"a\":1}", "{\"b\":"]);
    }

    #[test]
    fn torn_lines_take_no_more_time_than_whole_ones() {
        let body = "{\n".repeat(1 << 20);
        assert_eq!(pieces(&body).len(), 1 << 20);
    }
}
