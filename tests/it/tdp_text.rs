//! Text and csv files as editors and spreadsheets save them.

use parselog::parser::SummaryStatus::{Accepted, PartiallyAccepted, Rejected};

use crate::tdp_support::{
    ACTIVE, As, Logged, Parsed, changed, found, only, parse_text, parsed, sound, summary,
};
use crate::tdp_workbook::{number, text, workbook};

const CLOSED: As<'_> = As { program: "ssp", section: "closed", year: 2024, quarter: 2 };
const FRA: As<'_> = As { program: "fra", section: "work-outcomes", year: 2024, quarter: 2 };

fn csv(text: impl AsRef<[u8]>) -> Parsed {
    parse_text(text, "exits.csv", FRA)
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_data() {
    let marked = changed(ACTIVE, |lines| lines[0].insert(0, '\u{feff}'));
    assert_eq!((summary(&marked), found(&marked)), (Accepted, vec![]));
    assert_eq!(csv("\u{feff}202401,912345671\r\n202402,912345672\r\n").records.len(), 2);
}

#[test]
fn a_file_that_is_no_utf8_text_at_all_is_named_as_what_it_is() {
    let wide = |text: &str, mark: &[u8]| {
        [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat()
    };
    let sound = sound(ACTIVE, 1).join("\r\n");
    let encoded = "the file is UTF-16 text; save it as UTF-8";
    for (bytes, name, submission, says) in [
        (wide(&sound, b"\xff\xfe"), "a.txt", ACTIVE, encoded),
        (wide(&sound, b""), "a.txt", ACTIVE, encoded),
        (wide("202401,912345671", b"\xff\xfe"), "a.csv", FRA, encoded),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), "a.xlsx", FRA, "save it as .xlsx without a password"),
    ] {
        let parsed = parse_text(bytes, name, submission);
        assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(0, 1)]), "{name}");
        assert!(only(&parsed).message().contains(says), "{}", only(&parsed).message());
    }
}

#[test]
fn one_byte_that_is_not_utf8_is_a_problem_of_its_line_wherever_it_stands() {
    for line in [1, 150] {
        let mut lines: Vec<_> = sound(CLOSED, 100).into_iter().map(String::into_bytes).collect();
        lines[line][30] = 0xd1;
        let parsed = parse_text(lines.join(&b'\n'), "a.txt", CLOSED);
        assert_eq!(summary(&parsed), PartiallyAccepted, "{:?}", parsed.problems);
        let of_line: Vec<_> = parsed.problems.iter().filter(|p| p.record == Some(line as u64 + 1)).collect();
        assert_eq!((of_line.len(), of_line[0].category), (1, 7));
        assert!(of_line[0].message().contains("not UTF-8 text from character 31 on"), "{of_line:?}");
        assert!(parsed.problems.iter().all(|problem| !problem.message().contains("there is none")));
        let mut rows: Vec<_> =
            (0..200).map(|row| format!("202401,{}", 912_345_000 + row).into_bytes()).collect();
        rows[line][10] = 0xd1;
        let parsed = csv(rows.join(&b'\n'));
        assert_eq!(found(&parsed), [(line as u64 + 1, 4)]);
    }
}

#[test]
fn what_stands_behind_the_trailer_and_holds_nothing_is_no_problem() {
    for end in ["\n\n\n", "\r\n\x1a", "\x1a", "\n\0\0\0\0", "\n   \n\t\n\x1a\n"] {
        let parsed = parse_text(sound(ACTIVE, 3).join("\n") + end, "a.txt", ACTIVE);
        assert_eq!((summary(&parsed), found(&parsed)), (Accepted, vec![]), "{end:?}");
    }
    let last = sound(ACTIVE, 3).len() as u64;
    let parsed = changed(ACTIVE, |lines| lines.extend([String::new(), "T1".to_owned()]));
    assert!(found(&parsed).contains(&(last + 1, 7)), "a blank line before another is one of no known type");
}

#[test]
fn the_kin_of_a_refused_record_are_told_that_it_was_refused() {
    for spoil in [
        |line: &mut String| line.insert(0, ' '),
        |line: &mut String| line.truncate(20),
        |line: &mut String| line.insert(2, '\t'),
        |line: &mut String| line.make_ascii_lowercase(),
        |line: &mut String| line.replace_range(2..8, "209912"),
    ] {
        let mut lines = sound(CLOSED, 5);
        let refused = lines.iter().rposition(|line| line.starts_with("M4")).expect("M4");
        spoil(&mut lines[refused]);
        let refused = refused as u64 + 1;
        let parsed = parsed(&lines, CLOSED);
        let (own, kin): (Vec<_>, Vec<_>) =
            parsed.problems.iter().partition(|problem| problem.record == Some(refused));
        assert_eq!((own.len(), own[0].category), (1, 7), "{own:?}");
        assert!(!kin.is_empty());
        for problem in kin {
            let says = format!("record {refused} was to be one and is refused");
            assert!(problem.message().ends_with(&says), "{}", problem.message());
        }
    }
}

#[test]
fn no_record_of_a_case_that_one_blank_too_many_tore_apart_is_told_that_there_is_none() {
    let mut lines = sound(CLOSED, 5);
    let torn = lines.iter().rposition(|line| line.starts_with("M4")).expect("M4");
    lines[torn].insert_str(8, "  ");
    let parsed = parsed(&lines, CLOSED);
    let between: Vec<_> = parsed.problems.iter().filter(|problem| problem.category == 4).collect();
    assert!(between.len() > 1, "{between:?}");
    assert!(between.iter().all(|problem| !problem.message().contains("there is none")), "{between:?}");
}

#[test]
fn a_number_field_that_holds_letters_is_not_called_blank() {
    let parsed = changed(ACTIVE, |lines| lines[1].replace_range(34..35, "Q"));
    assert!(parsed.problems[0].message().contains("is 'Q' and must be a number"), "{:?}", parsed.problems);
    let parsed = csv("202401,912345671\nJanuary,912345672\n");
    assert!(
        parsed.problems.iter().all(|problem| !problem.message().contains("blank")),
        "{:?}",
        parsed.problems
    );
}

#[test]
fn another_separator_and_the_line_that_names_one_are_named_as_what_they_are() {
    for (text, says) in [
        ("202401;912345671\n", "semicolons separate its cells"),
        ("202401\t912345671\n", "tabs separate its cells"),
        ("sep=,\r\n202401,912345671\r\n", "it is a 'sep=' line"),
        ("sep=;\r\n202401;912345671\r\n", "it is a 'sep=' line"),
    ] {
        let parsed = csv(text);
        assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(1, 1)]), "{text:?}");
        assert!(only(&parsed).message().contains(says), "{}", only(&parsed).message());
    }
}

#[test]
fn what_excel_did_to_a_number_is_explained_and_the_number_not_shown() {
    let month = number("202402");
    let (short, rounded) = (number("12345678"), text("9.1E+08"));
    let book =
        workbook(&[(1, &[&month, &number("912345670")]), (2, &[&month, &short]), (3, &[&month, &rounded])]);
    let table =
        "202401,912345670\n202402,12345678\n202402,9.1E+08\n202402,=\"012345679\"\n202403,'012345679\n";
    for parsed in [parse_text(book, "exits.xlsx", FRA), csv(table)] {
        let messages: Vec<_> = parsed.problems.iter().map(Logged::message).collect();
        assert!(messages[0].contains("it has 8 digits: Excel drops leading zeros"), "{messages:?}");
        assert!(messages[1].contains("Excel has rounded it"), "{messages:?}");
        assert!(messages[2..].iter().all(|message| message.contains("a mark of Excel's")), "{messages:?}");
        assert!(messages.iter().all(|message| !message.contains("1234567")), "{messages:?}");
    }
    let zero = csv("202401,012345678\n");
    assert_eq!(summary(&zero), Accepted);
}

#[test]
fn a_cell_that_goes_on_in_the_next_line_is_one_problem_and_takes_no_row_along() {
    let parsed = csv("202401,\"912345671\"\r\n202402,\"91234\r\n5672\"\r\n202403,912345673\r\n");
    assert_eq!((found(&parsed), parsed.records.len()), (vec![(2, 4)], 2));
    assert!(only(&parsed).message().contains("a cell must not hold a line break"));
    let stray = csv("202401,912345670\n202402,\"912345671\n202402,\"912345672\n202403,912345673\n");
    assert_eq!((found(&stray), stray.records.len()), (vec![(2, 4), (3, 4)], 2));
}

#[test]
fn blank_cells_beside_the_data_count_alike_in_every_row_of_csv_and_xlsx() {
    let (month, ssn) = (number("202401"), [number("912345671"), number("912345672")]);
    for (beside, cell) in
        [("", r#"s="1">"#), (" ", r#"t="inlineStr"><is><t xml:space="preserve"> </t></is>"#)]
    {
        let book = workbook(&[(1, &[&month, &ssn[0], cell]), (2, &[&month, &ssn[1], cell])]);
        let table = format!("202401,912345671,{beside}\n202401,912345672,{beside}\n,,\n");
        for parsed in [parse_text(book, "exits.xlsx", FRA), csv(table)] {
            assert_eq!((summary(&parsed), parsed.records.len()), (Accepted, 2), "{:?}", parsed.problems);
        }
    }
    let padded = csv("202401 ,\u{a0}912345671 \r202402, 912345672\r");
    assert_eq!((summary(&padded), &padded.records[0].1["SSN"]), (Accepted, &"912345671".into()));
}
