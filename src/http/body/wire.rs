//! Protobuf messages that hold any number of others: their fields one at a time, without decoding the whole.
//!
//! An empty message takes two bytes of a body, and a hundred of memory once decoded. So only the messages
//! within one record are decoded by `prost`, and what holds records is walked through.

/// The fields of a message that are bytes, texts or messages; the others are passed over.
#[derive(Debug, Clone)]
pub(super) struct WireFields<'a> {
    rest: &'a [u8],
}

impl<'a> WireFields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The contents of the fields with this number. The message must have been checked.
    pub(super) fn numbered(self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.map_while(Result::ok).filter(move |(known, _)| *known == number).map(|(_, content)| content)
    }

    fn field(&mut self) -> Option<Option<(u64, &'a [u8])>> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = self.varint()?;
                Some(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return None,
        };
        Some(content.map(|content| (key >> 3, content)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for WireFields<'a> {
    type Item = Result<(u64, &'a [u8]), String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.field() {
                Some(Some(field)) => return Some(Ok(field)),
                Some(None) => {}
                None => {
                    self.rest = &[];
                    return Some(Err("the protobuf message is torn or damaged".to_owned()));
                }
            }
        }
        None
    }
}

/// Checks that a message can be walked through, down the fields with these numbers.
///
/// # Errors
/// It is torn or damaged.
pub(super) fn check(message: &[u8], numbers: &[u64]) -> Result<(), String> {
    for field in WireFields::of(message) {
        let (number, content) = field?;
        if let Some((first, below)) = numbers.split_first()
            && number == *first
        {
            check(content, below)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_others_passed_over() {
        // 1: "ab"; 2: varint 300; 3: eight bytes; 4: four bytes; 1: ""; 16: "x".
        let message = b"\x0a\x02ab\x10\xac\x02\x19aaaaaaaa\x25bbbb\x0a\x00\x82\x01\x01x";
        let all: Vec<_> = WireFields::of(message).collect::<Result<_, _>>().expect("whole");
        assert_eq!(all, [(1, &b"ab"[..]), (1, b""), (16, b"x")]);
        assert_eq!(WireFields::of(message).numbered(1).collect::<Vec<_>>(), [&b"ab"[..], b""]);
    }

    #[test]
    fn torn_and_damaged_messages_are_refused_wherever_they_are_cut() {
        let message = b"\x0a\x04\x12\x02ab";
        assert!(check(message, &[1]).is_ok());
        for end in 1..message.len() {
            assert!(check(&message[..end], &[1]).is_err(), "{end}");
        }
        // A group; a varint without end; a length beyond the end; one that is damaged further down.
        for damaged in [&b"\x0b"[..], &[0xff; 11], b"\x0a\x7fab", b"\x0a\x02\x12\x05"] {
            assert!(check(damaged, &[1]).is_err(), "{damaged:?}");
        }
    }
}
