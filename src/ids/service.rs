//! The name of a service, which is the name of its stream: safe as a folder, a part of a key and a word on a
//! terminal, whatever a sender calls itself.

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most bytes of a name. It stands twice in a key of at most 1,024 bytes, whose parts are file names of at
/// most 255.
const LONGEST: usize = 120;

/// Bytes of a longer name that stay readable, before the hash of all of it.
const READABLE: usize = 80;

/// Names a service and its stream.
///
/// A sender's text becomes a name by [`ServiceName::of`]: letters, digits, `.`, `_` and `-` of ASCII stay, and
/// every other byte, also `.` and `_` at the beginning, becomes `=` and two hexadecimal digits, which can be read
/// back. So different texts are different names, and a name that begins with `_` is one of our own. Only a text
/// that is empty or too long is no longer readable as a whole: behind its beginning stand `==` and a hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The stream of what is no record.
    pub fn rejected() -> Self {
        Self("_rejected".into())
    }

    /// The stream of records for whose own streams there is no room.
    pub fn overflow() -> Self {
        Self("_overflow".into())
    }

    /// The name for what a sender calls its service.
    pub fn of(text: &str) -> Self {
        Self(Self::escaped(text).into())
    }

    /// The text of that name, without an allocation for a text that is one.
    pub fn escaped(text: &str) -> Cow<'_, str> {
        let is_plain = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().enumerate().all(|(at, byte)| stays(at, byte));
        if is_plain {
            return Cow::Borrowed(text);
        }
        let mut name = String::new();
        let mut readable = 0;
        for (at, byte) in text.bytes().enumerate() {
            if stays(at, byte) {
                name.push(char::from(byte));
            } else {
                let _ = write!(name, "={byte:02X}");
            }
            if name.len() <= READABLE {
                readable = name.len();
            }
            if name.len() > LONGEST {
                break;
            }
        }
        if text.is_empty() || name.len() > LONGEST {
            name.truncate(readable);
            let _ = write!(name, "=={}", hex::encode(&Sha256::digest(text)[..16]));
        }
        Cow::Owned(name)
    }

    /// Whether parselog itself gave the name, and no sender can.
    pub fn is_ours(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn stays(at: usize, byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || (at > 0 && matches!(byte, b'.' | b'_'))
}

impl TryFrom<String> for ServiceName {
    type Error = String;

    /// Takes a name as it is written; a folder of any other text could be anywhere.
    fn try_from(name: String) -> Result<Self, Self::Error> {
        let is_name = (1..=LONGEST).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte));
        if is_name { Ok(Self(name.into())) } else { Err(format!("{name:?} is not the name of a stream")) }
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_names_of_usual_services_are_what_they_are() {
        for usual in ["celery", "gunicorn.error", "info", "My-App_2", "-"] {
            assert_eq!(ServiceName::of(usual).as_str(), usual);
        }
        for (text, name) in [
            ("..", "=2E."),
            ("../../etc/passwd", "=2E.=2F..=2Fetc=2Fpasswd"),
            ("_rejected", "=5Frejected"),
            ("a b", "a=20b"),
            ("a=20b", "a=3D20b"),
            ("Ä", "=C3=84"),
            ("a\0", "a=00"),
            ("", "==e3b0c44298fc1c149afbf4c8996fb924"),
        ] {
            assert_eq!(ServiceName::of(text).as_str(), name);
        }
    }

    proptest! {
        #[test]
        fn a_text_can_be_read_back_from_its_name(text in any::<String>()) {
            let name = ServiceName::of(&text);
            prop_assert!(name.as_str().len() <= LONGEST);
            prop_assert_eq!(ServiceName::try_from(name.to_string()), Ok(name.clone()));
            if !name.as_str().contains("==") {
                let read = percent_decode_str(&name.as_str().replace('=', "%")).decode_utf8().unwrap().into_owned();
                prop_assert_eq!(read, text);
            }
        }

        #[test]
        fn different_texts_never_have_one_name(one in "[=_.a2Ff/]{0,200}", other in "[=_.a2Ff/]{0,200}") {
            prop_assert_eq!(one == other, ServiceName::of(&one) == ServiceName::of(&other));
            let name = ServiceName::of(&one);
            prop_assert_eq!(name.as_str() == one, ServiceName::of(name.as_str()) == name);
        }
    }
}
