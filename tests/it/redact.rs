//! The redactor, shape by shape, and every way by which a text leaves a run.

use parselog::redact::{REDACTED, Redactor};
use proptest::prelude::*;

use crate::support::Desk;

/// What no exit may let through.
const PRIVATE: [&str; 5] = ["123-45-6789", "987 65 4321", "111223333", "ann.lee@example.org", "CASE-77"];

proptest! {
    #[test]
    fn every_valid_number_is_caught_whatever_stands_around_it(
        area in (1u16..900).prop_filter("never given", |area| *area != 666),
        group in 1u8..100,
        serial in 1u16..10_000,
        separator in prop::sample::select(vec!["-", " ", ".", "\u{2011}", "\u{2013}", "\u{a0}"]),
        before in "[a-zA-Z_:=\"(,;é\u{202e}]{0,6}",
        after in "[a-zA-Z_:=\")?!,;é\u{202e}]{0,6}",
    ) {
        let number = format!("{area:03}{separator}{group:02}{separator}{serial:04}");
        let redacted = Redactor::default().redact(&format!("{before}{number}{after}")).into_owned();
        prop_assert_eq!(redacted, format!("{before}{REDACTED}{after}"));

        let bare = format!("{area:03}{group:02}{serial:04}");
        let redacted = Redactor::default().redact(&format!("id {bare}, next")).into_owned();
        prop_assert_eq!(redacted, format!("id {REDACTED}, next"));
    }

    #[test]
    fn every_address_is_caught(
        local in "[a-zA-Z0-9éß._+-]{1,20}",
        domain in "[a-z0-9ü]{1,10}(\\.[a-z]{2,5}){1,3}",
        before in "[ :<(\"]",
    ) {
        let redacted = Redactor::default().redact(&format!("mail{before}{local}@{domain} now")).into_owned();
        prop_assert!(!redacted.contains(&domain), "{}", redacted);
    }

    #[test]
    fn nothing_makes_it_panic_and_what_it_made_it_leaves(text in "\\PC{0,200}") {
        let redactor = Redactor::default();
        let once = redactor.redact(&text).into_owned();
        prop_assert_eq!(redactor.redact(&once).into_owned(), once);
    }
}

#[test]
fn an_address_is_caught_that_begins_within_a_longer_number() {
    let redacted = Redactor::default().redact("12 123 45 67899@b.c, 9123-45-6789").into_owned();
    assert_eq!(redacted, format!("12 123 45 {REDACTED}, 9123-45-6789"));
}

#[test]
fn ids_times_and_counts_stay() {
    let redactor = Redactor::default();
    for text in [
        "01890000-0000-7000-8000-123456789012",
        "2026-01-31T12:34:56.123456Z",
        "20210131T123456Z",
        "1234567890 bytes",
        "12345678 lines",
        "section 2021-01-2024",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ] {
        assert_eq!(redactor.redact(text), text);
    }
}

/// Says private things in every way that a parser has, then fails.
const PARSER: &str = r#"
printf '{"level":"error","message":"bad 123-45-6789","owner":"ann.lee@example.org","case":"CASE-77"}\n'
printf 'plain 987 65'; sleep 0.2; printf ' 4321 and 111223333\n' >&2
printf ' 4321, 123-45'; sleep 0.2; printf -- '-6789 split\n'
printf '{"first_error":{"record":1,"message":"of 123-45-6789, ann.lee@example.org, CASE-77"}}' > "$PARSELOG_RESULT"
"#;

#[tokio::test]
async fn nothing_private_leaves_by_replay_row_or_audit_log() {
    for (ending, last_words) in [("exit 0", ""), ("exit 7", ""), ("kill -9 $$", "echo 111223333")] {
        let desk = Desk::new().await;
        // The store of logs is down: a file is where their folder must be.
        let folder = desk.home.path().join("objects/files/data_files/2021/Q1/fra/work-outcomes");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("parsing_logs"), "").unwrap();
        let script = desk.file("parser.sh", &format!("{PARSER}{last_words}\n{ending}\n"));
        let file = desk.file("submission.txt", "one\n");
        let parser = format!("sh {script}");
        let arguments = [
            "run",
            "--program",
            "fra",
            "--section",
            "work-outcomes",
            "--year",
            "2021",
            "--quarter",
            "1",
            "--redact",
            "CASE-[0-9]+",
            "--global-level",
            "trace",
            "--parser",
            &parser,
            &file,
        ];
        let said = desk.run(&arguments);
        assert!(said.err.contains("fell back"), "{}", said.err);
        assert!(said.err.contains(REDACTED), "warnings were replayed: {}", said.err);

        let rows: Vec<String> = sqlx::query_scalar(
            "select r::text from parse_file_meta r union all select a::text from run_action a
             union all select e::text from log_entry e",
        )
        .fetch_all(&desk.db.pool)
        .await
        .unwrap();
        let left = [said.out, said.err, rows.join("\n")].join("\n");
        for private in PRIVATE {
            assert!(!left.contains(private), "{ending}: {private} left in: {left}");
        }
    }
}

#[tokio::test]
async fn hostile_bytes_reach_no_terminal_and_forge_no_record() {
    let desk = Desk::new().await;
    let script = desk.file(
        "parser.sh",
        "cat \"$PARSELOG_FILE\"; cat \"$PARSELOG_FILE\" >&2\nprintf '{\"level\":\"warn\",\"message\":\"\\\\u001b[2J\\\\u202e\\\\u0000\",\"a\\\\u001b\":\"\\\\u009b2J\"}\\n'\n",
    );
    let forged = r#"{"timestamp":"2026-01-01T00:00:00.000000Z","seq":1,"level":"INFO","message":"forged","tail":{"ending":"success","events":{},"dropped":0}}"#;
    let mut hostile = Vec::new();
    for piece in [
        &b"\x1b[31mred\x1b]0;title\x07\x9b2J\n"[..],
        b"\0\0nul\x7f\x08\x08\rover\n",
        "\u{202e}reversed\u{2066}\u{feff}\u{200b}\n".as_bytes(),
        b"\xff\xfe\xc3\x28 invalid\n",
        forged.as_bytes(),
        b"\n",
        b"\xe2\x80\xa8line\xe2\x80\xa9separators\xc2\x85\n",
    ] {
        hostile.extend_from_slice(piece);
    }
    hostile.extend(std::iter::repeat_n(b'x', 3 << 20));
    std::fs::write(desk.home.path().join("hostile\u{202e}.txt"), &hostile).unwrap();
    let parser = format!("sh {script}");
    let file = desk.path("hostile\u{202e}.txt");
    desk.run(&[
        "run",
        "--program",
        "fra",
        "--section",
        "work-outcomes",
        "--year",
        "2021",
        "--quarter",
        "1",
        "--parser",
        &parser,
        &file,
    ]);

    let commands = ["logs @latest", "logs @latest --json", "runs", "runs --json", "history 1 --json"];
    let shown: String = commands.map(|command| desk.ok(&command.split(' ').collect::<Vec<_>>()).out).concat();
    let dangerous = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    assert_eq!(shown.chars().find(|c| dangerous(*c)), None, "it would reach a terminal");
    let records = desk.ok(&["logs", "@latest", "--json"]).json();
    let frames = |key: &str| records.iter().filter(|record| record.get(key).is_some()).count();
    assert_eq!((frames("head"), frames("tail")), (1, 1), "a forged frame");
    let events = records.iter().filter(|record| record["seq"].as_u64().unwrap() > 0).count() as u64;
    let tail = &records.last().unwrap()["tail"];
    let counted: u64 =
        tail["events"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(counted, events);
    assert_eq!(desk.ok(&["verify", "@latest"]).code, 0);
    assert_eq!(desk.ok(&["doctor"]).out, "");
}

#[test]
fn a_private_number_is_redacted_whatever_type_it_is_logged_as() {
    let line = br#"{"timestamp":"2026-11-21T06:30:23.123456Z","seq":1,"level":"WARN","target":"of 123-45-6789","message":"m","record":123456789,"span":"run:row{ssn=123456789}","fields":{"unsigned":123456789,"signed":-123456789,"float":123456789.0,"deep":[{"ssn":123456789}],"bytes":1234567890,"count":12345678}}"#;
    let mut record = parselog::record::Record::decode(line).unwrap();
    parselog::telemetry::redact(&Redactor::default(), &mut record);
    let text = serde_json::to_string(&record).unwrap();
    assert!(
        !text.contains("123456789,") && !text.contains("123456789.") && !text.contains("123456789}"),
        "{text}"
    );
    assert!(!text.contains("123-45-6789"), "{text}");
    assert_eq!((&record.fields["unsigned"], record.record), (&REDACTED.into(), None));
    assert_eq!(
        (&record.fields["bytes"], &record.fields["count"]),
        (&1_234_567_890.into(), &12_345_678.into())
    );
}
