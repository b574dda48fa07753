//! Escaping: keeps characters out of logs that could forge a line, move a cursor or reorder text.

use std::fmt::Write as _;

/// Appends `text` as the inside of a JSON string. Beyond what JSON demands it escapes every
/// control character and every character that reorders or breaks lines on a terminal.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    escape(out, text, is_suspect_in_quotes);
}

/// Escapes, for the inside of a JSON string, the text that stands in `out` from here on.
pub(super) fn escape_from(out: &mut Vec<u8>, from: usize) {
    if clean_length(&out[from..], is_suspect_in_quotes) < out.len() - from {
        let text = out.split_off(from);
        push_escaped(out, &String::from_utf8_lossy(&text));
    }
}

/// Appends JSON text, with characters escaped that a terminal must not see; they occur only inside its
/// strings.
pub fn push_json_escaped(out: &mut Vec<u8>, json: &str) {
    escape(out, json, is_suspect);
}

/// Whether a character could forge a line, move a cursor or reorder text on a terminal.
pub(crate) fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether a byte may begin an unsafe character; all others are copied in runs.
fn is_suspect(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte)
}

fn is_suspect_in_quotes(byte: u8) -> bool {
    is_suspect(byte) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut Vec<u8>, text: &str, suspect: impl Fn(u8) -> bool) {
    let bytes = text.as_bytes();
    let mut clean_from = 0;
    let mut at = 0;
    loop {
        at += clean_length(&bytes[at..], &suspect);
        let Some(character) = text[at..].chars().next() else { break };
        let after = at + character.len_utf8();
        if character.is_ascii() || is_unsafe(character) {
            out.extend_from_slice(&bytes[clean_from..at]);
            push_escape(out, character);
            clean_from = after;
        }
        at = after;
    }
    out.extend_from_slice(&bytes[clean_from..]);
}

/// How many bytes come before the first suspect one.
fn clean_length(bytes: &[u8], suspect: impl Fn(u8) -> bool) -> usize {
    let wide = clean_lanes::<16>(bytes, &suspect);
    let narrow = wide + clean_lanes::<8>(&bytes[wide..], &suspect);
    let rest = &bytes[narrow..];
    narrow + rest.iter().position(|byte| suspect(*byte)).unwrap_or(rest.len())
}

/// How many bytes are in lanes without a suspect; the compiler checks a lane in one comparison.
fn clean_lanes<const LANE: usize>(bytes: &[u8], suspect: impl Fn(u8) -> bool) -> usize {
    let clean = |lane: &&[u8; LANE]| !lane.iter().fold(false, |any, byte| any | suspect(*byte));
    bytes.as_chunks::<LANE>().0.iter().take_while(clean).count() * LANE
}

fn push_escape(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            let mut text = String::with_capacity(6);
            let _ = write!(text, "\\u{:04x}", u32::from(other));
            out.extend_from_slice(text.as_bytes());
        }
    }
}
