//! Reads pickles as data: it names nothing, builds nothing and calls nothing, whoever sent them.
//!
//! A pickle is a program for a small machine with a stack. [`Machine`] runs it over an arena of inert nodes: a
//! name stays a name, and what Python would call or build becomes an opaque object. Values that people know
//! (times, decimals, UUIDs, paths, exceptions, …) are rendered as people write them, all others by their class.
//! References into another process (persistent ids, extension codes, buffers) refuse the pickle.
//!
//! Everything is bounded, and charged before it is made: the arena counts what a pickle costs.

mod arena;
mod known;
mod machine;
mod number;
mod objects;
mod render;
mod tape;
mod text;
mod times;

pub use machine::Machine;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FRAME: usize = 1 << 20;
    const MOST: usize = 4 << 20;

    fn read(pickle: &[u8]) -> Result<Value, &'static str> {
        Machine::default().read(pickle).map(|members| Value::Object(members.into_iter().collect()))
    }

    /// A dict with one member, whose value the given opcodes leave on the stack.
    fn member(value: &[u8]) -> Vec<u8> {
        [b"}U\x01a", value, b"s."].concat()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [b"X", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
    }

    #[test]
    fn what_would_run_is_only_named() {
        let run = member(b"cposix\nsystem\n(U\x08rm -rf /tR");
        assert_eq!(read(&run), Ok(json!({"a": "posix.system('rm -rf /')"})));
        assert_eq!(read(&member(b"c__builtin__\neval\n")), Ok(json!({"a": "<builtins.eval>"})));
        assert_eq!(read(&member(b"(iapp.models\nUser\n}b")), Ok(json!({"a": "<app.models.User>"})));
    }

    #[test]
    fn what_refers_to_something_of_its_sender_is_refused() {
        for reference in
            [&b"P1\n"[..], b"NQ", b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"\x97", b"N\x98"]
        {
            assert!(read(&member(reference)).unwrap_err().contains("of its sender"), "{reference:?}");
        }
    }

    #[test]
    fn a_value_inside_of_itself_is_hinted_at() {
        assert_eq!(read(&member(b"]q\x01h\x01a")), Ok(json!({"a": ["[...]"]})));
        assert_eq!(read(&member(b"}q\x01U\x01bh\x01s")), Ok(json!({"a": {"b": "{...}"}})));
        assert_eq!(read(b"}q\x00U\x01ah\x00s."), Ok(json!({"a": "{...}"})));
    }

    #[test]
    fn a_torn_pickle_is_refused_wherever_it_is_torn() {
        let whole = member(b"(U\x01xK\x01G?\xf0\0\0\0\0\0\0L12L\nI01\nX\x02\0\0\0\xc3\xa9l");
        assert_eq!(read(&whole), Ok(json!({"a": ["x", 1, 1.0, 12, true, "é"]})));
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        for wrong in [
            &b"."[..],
            b"N.",
            b"0.",
            b"(0.",
            b"s.",
            b"(u.",
            b"}(Nu.",
            b"1.",
            b"Na.",
            b"(NNNa.",
            b"R.",
            b"b.",
            b"h\0.",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    /// A list of lists, each of which has the one before twice.
    fn doubling(times: u8) -> Vec<u8> {
        let mut value = b"]q\x00".to_vec();
        for level in 0..times {
            value.extend([b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
        }
        member(&value)
    }

    #[test]
    fn whatever_a_frame_asks_for_it_gets_no_more_than_four_mebibytes() {
        let filled = |head: &[u8], unit: &[u8], tail: &[u8]| {
            [head, &unit.repeat((FRAME - head.len() - tail.len()) / unit.len()), tail].concat()
        };
        let long = text(&vec![b'x'; FRAME / 2]);
        let accented = text("é".repeat(FRAME / 4).as_bytes());
        let remembered = |value: &[u8]| [b"}U\x01a(", value, b"q\x01"].concat();
        let name = |value: &[u8]| [b"cm\n", value, b"\n"].concat();
        for (what, frame) in [
            ("doubling", doubling(60)),
            ("marks", filled(b"", b"(", b".")),
            ("empty lists", filled(b"}U\x01a(", b"]", b"ls.")),
            ("references", filled(&remembered(b"N"), b"h\x01", b"ls.")),
            ("references to a long text", filled(&remembered(&long), b"h\x01", b"ls.")),
            ("digits", member(&[b"L", &b"9".repeat(FRAME - 100)[..], b"L\n"].concat())),
            (
                "long numbers",
                filled(b"}U\x01a(", &[&b"\x8b\xf4\x06\0\0"[..], &[0x7f; 1780]].concat(), b"ls."),
            ),
            ("a far place", member(b"Nr\xff\xff\xff\xff")),
            ("far places", filled(b"N", b"r\xff\xff\x01\0", b".")),
            ("a text beyond the end", member(b"X\xff\xff\xff\xff")),
            ("calls of a long name", filled(&remembered(&name(&b"x".repeat(FRAME / 2))), b"h\x01)R", b"ls.")),
            (
                "times of a long text",
                filled(
                    &[remembered(&long), b"0cdatetime\ndatetime\nq\x02h\x01\x85q\x03".to_vec()].concat(),
                    b"h\x02h\x03R",
                    b"ls.",
                ),
            ),
            (
                "bytes of a long text",
                filled(
                    &[remembered(&accented), b"0c_codecs\nencode\nq\x02h\x01N\x86q\x03".to_vec()].concat(),
                    b"h\x02h\x03R",
                    b"ls.",
                ),
            ),
            (
                "paths of a long text",
                filled(
                    &[remembered(&long), b"0cpathlib\nPath\nq\x02(".to_vec()].concat(),
                    b"h\x01",
                    b"tRls.",
                ),
            ),
            ("invalid text", member(&text(&vec![0xff; FRAME - 100]))),
            (
                "exceptions of a long text",
                member(&[b"cm\nXError\n(]", &text(&vec![1; FRAME - 100])[..], b"atR"].concat()),
            ),
        ] {
            assert!(frame.len() <= FRAME + 100, "{what}");
            let mut machine = Machine::default();
            assert!(machine.read(&frame).is_err(), "{what} is read");
            assert!(machine.granted() <= MOST.max(4 * frame.len()), "{what}");
        }
    }

    #[test]
    fn nesting_is_shown_down_to_a_depth() {
        let deep = member(&[b"]".repeat(1000), b"a".repeat(999)].concat());
        let shown = read(&deep).unwrap().to_string();
        assert!(shown.contains("[nested too deep]") && shown.len() < 200, "{shown}");
    }
}
