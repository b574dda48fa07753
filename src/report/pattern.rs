//! The common pattern of messages of one kind.
//!
//! Two messages are of one kind when they differ only in numbers and quoted values. Of those, the
//! ones that are the same in all messages stay: they belong to the rule, not to the record.

/// Marks a difference between the messages.
const DIFFERENT: &str = "…";

/// A message, parts of which may differ from record to record.
#[derive(Debug, Clone)]
pub(super) struct MessagePattern(Vec<MessagePart>);

#[derive(Debug, Clone)]
enum MessagePart {
    Words(String),
    /// A number or a quoted value; `None` once two messages disagreed.
    Value(Option<String>),
}

impl MessagePattern {
    /// The pattern that fits this message alone.
    pub(super) fn of(message: &str) -> Self {
        let part = |(is_value, text): (bool, &str)| match is_value {
            true => MessagePart::Value(Some(text.to_owned())),
            false => MessagePart::Words(text.to_owned()),
        };
        Self(parts(message).map(part).collect())
    }

    /// The words alone, by which messages of one kind find each other.
    pub(super) fn words(message: &str) -> String {
        parts(message).map(|(is_value, text)| if is_value { "\0" } else { text }).collect()
    }

    /// Widens the pattern to another message of the same words.
    pub(super) fn widen(&mut self, message: &str) {
        for (part, (_, text)) in self.0.iter_mut().zip(parts(message)) {
            if let MessagePart::Value(value) = part
                && value.as_deref().is_some_and(|value| value != text)
            {
                *value = None;
            }
        }
    }
}

impl std::fmt::Display for MessagePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            MessagePart::Words(text) | MessagePart::Value(Some(text)) => f.write_str(text),
            MessagePart::Value(None) => f.write_str(DIFFERENT),
        })
    }
}

/// Cuts a message into words and values, in turn; says of each whether it is a value.
fn parts(message: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = message;
    let mut before = ' ';
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut at, mut last) = (0, before);
        let mut value = value_at(rest, last);
        while value == 0 && at < rest.len() {
            last = rest[at..].chars().next().unwrap_or(' ');
            at += last.len_utf8();
            value = value_at(&rest[at..], last);
        }
        let (is_value, length) = if at == 0 { (true, value) } else { (false, at) };
        let (part, after) = rest.split_at(length);
        before = part.chars().next_back().unwrap_or(' ');
        rest = after;
        Some((is_value, part))
    })
}

/// The length of the value that `text` begins with, 0 where there is none. `before` is the character
/// in front: a digit in a word (`T1`) and the apostrophe of "file's" begin no value.
fn value_at(text: &str, before: char) -> usize {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    if in_word(before) {
        return 0;
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 {
        return if text[digits..].starts_with(in_word) { 0 } else { digits };
    }
    let Some(quoted) = text.strip_prefix('\'') else { return 0 };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '\'' if !escaped && !quoted[at + 1..].starts_with(in_word) => return at + 2,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_left_out_and_what_belongs_to_the_rule_stays() {
        let messages = [
            "item 4 MONTH is 'ab c' and must be a month of the file's quarter, 202010 to 202012",
            "item 4 MONTH is 'it\\'s' and must be a month of the file's quarter, 202010 to 202012",
        ];
        assert_eq!(MessagePattern::words(messages[0]), MessagePattern::words(messages[1]));
        let mut pattern = MessagePattern::of(messages[0]);
        assert_eq!(pattern.to_string(), messages[0]);
        pattern.widen(messages[1]);
        assert_eq!(
            pattern.to_string(),
            "item 4 MONTH is … and must be a month of the file's quarter, 202010 to 202012"
        );
    }

    #[test]
    fn the_parts_of_any_text_are_the_text() {
        for message in ["", "7", "a 'b", "''", "T1 2 é'3'é 44", "'a' 'b'5_5 5", "record 12: '…'", "1\u{301}2"]
        {
            let all: String = parts(message).map(|(_, text)| text).collect();
            assert_eq!(all, message);
        }
        assert_eq!(MessagePattern::words("this T1 is a copy of record 12"), "this T1 is a copy of record \0");
    }
}
