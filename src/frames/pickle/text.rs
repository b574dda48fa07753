//! Text and bytes as pickles write them.

use std::fmt::Write as _;

/// Text from UTF-8 that has halves of surrogate pairs in it, or is none: they become visible escapes, at most
/// four bytes of text for one.
pub(super) fn from_almost_utf8(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let error = match str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => error,
        };
        let (valid, invalid) = rest.split_at(error.valid_up_to());
        text.push_str(str::from_utf8(valid).unwrap_or_default());
        rest = match *invalid {
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, ref rest @ ..] => {
                push_half(&mut text, 0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f));
                rest
            }
            [byte, ref rest @ ..] => {
                let _ = write!(text, "\\x{byte:02x}");
                rest
            }
            [] => return text,
        };
    }
}

/// Text in Python's raw form: Latin-1, with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn from_raw_unicode(bytes: &[u8]) -> Result<String, &'static str> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        let digits = match (byte, behind) {
            (b'\\', [b'u', ..]) => 4,
            (b'\\', [b'U', ..]) => 8,
            (b'\\', [escaped, behind @ ..]) => {
                text.extend(['\\', char::from(*escaped)]);
                rest = behind;
                continue;
            }
            _ => {
                text.push(char::from(*byte));
                continue;
            }
        };
        let code = behind.get(1..=digits).and_then(|hex| str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or("it has a torn escape")?;
        match char::from_u32(code) {
            Some(character) => text.push(character),
            None if code <= 0xffff => push_half(&mut text, code),
            None => return Err("it has an escape that is no character"),
        }
        rest = &behind[1 + digits..];
    }
    Ok(text)
}

fn push_half(text: &mut String, half: u32) {
    let _ = write!(text, "\\u{{{half:x}}}");
}

/// Bytes from a quoted string of Python 2.
pub(super) fn from_quoted(line: &[u8]) -> Result<Vec<u8>, &'static str> {
    let torn = "it has a torn string";
    let line = line.trim_ascii();
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else { return Err(torn) };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let [escaped, behind @ ..] = rest else { return Err(torn) };
        rest = behind;
        match escaped {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let hex = rest.get(..2).and_then(|hex| str::from_utf8(hex).ok()).ok_or(torn)?;
                bytes.push(u8::from_str_radix(hex, 16).map_err(|_| torn)?);
                rest = &rest[2..];
            }
            b'\\' | b'\'' | b'"' => bytes.push(*escaped),
            other => bytes.extend([b'\\', *other]),
        }
    }
    Ok(bytes)
}

/// Bytes as Python shows them: `b'a\x00'`, at most four bytes for one.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 3);
    text.push_str("b'");
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\'' => text.push_str("\\'"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..0x7f => text.push(char::from(*byte)),
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_and_other_bytes_stay_visible() {
        assert_eq!(from_almost_utf8(b"a\xed\xb2\x80b"), "a\\u{dc80}b");
        assert_eq!(from_almost_utf8(b"\xff\xc3\xa9\xed"), "\\xffé\\xed");
    }

    #[test]
    fn the_text_forms_of_the_oldest_protocol_are_read() {
        assert_eq!(from_raw_unicode(b"a\\u00e9\\U0001f600\xe9\\x").unwrap(), "aé😀é\\x");
        assert_eq!(from_raw_unicode(b"\\ud800").unwrap(), "\\u{d800}");
        assert!(from_raw_unicode(b"\\u12").is_err());
        assert_eq!(from_quoted(br"'a\n\x00\'b\q'").unwrap(), b"a\n\0'b\\q");
        assert!(from_quoted(b"'open").is_err());
        assert_eq!(shown(b"a'\\\0\n\xff"), r"b'a\'\\\x00\n\xff'");
    }
}
