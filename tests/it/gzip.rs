//! The archive format: byte identity, the index against a naive scan, damage and lies.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use flate2::bufread::MultiGzDecoder;
use parselog::gzip::{
    ArchiveSummary, BoundedReader, Compressor, Index, IndexTail, LEVELS, LineFacts, compress, decode_member,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// Times in these tests are the digits that a line begins with.
fn time_of(line: &[u8]) -> Option<i64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&line[..digits]).ok()?.parse().ok()
}

fn archive(raw: &[u8]) -> (Vec<u8>, ArchiveSummary) {
    let mut out = Vec::new();
    let summary = compress(raw, &mut out, time_of).unwrap();
    assert_eq!(summary.raw_bytes, raw.len() as u64);
    assert_eq!(summary.gzip_bytes, out.len() as u64);
    assert_eq!(summary.raw_sha256, <[u8; 32]>::from(Sha256::digest(raw)));
    assert_eq!(summary.gzip_sha256, <[u8; 32]>::from(Sha256::digest(&out)));
    (out, summary)
}

fn index(archive: &[u8]) -> Index {
    match Index::parse(archive, archive.len() as u64).unwrap() {
        IndexTail::Index(index) => index,
        other => panic!("{other:?}"),
    }
}

fn inflate(gzip: &[u8]) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    BoundedReader::new(gzip, 1 << 30).read_to_end(&mut raw)?;
    Ok(raw)
}

/// A log of about `members` members whose times grow by one a line.
fn big_log(members: u64) -> Vec<u8> {
    let mut raw = Vec::new();
    for number in 0..members * 4096 {
        writeln!(raw, "{number:020} {}", &"0123456789abcdef".repeat(15)[..234]).unwrap();
    }
    raw
}

/// Lines of all lengths, some of them long enough that a few dozen fill several members.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (0..1000_i64).prop_map(|time| time.to_string().into_bytes()),
        (0..1000_i64, 50_000..700_000_usize).prop_map(|(time, len)| [
            time.to_string().as_bytes(),
            &vec![b'x'; len]
        ]
        .concat()),
    ];
    (prop::collection::vec(line, 0..40), any::<bool>()).prop_map(|(lines, ended)| {
        let mut raw = lines.join(&b'\n');
        raw.extend(ended.then_some(b'\n'));
        raw
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_lines_come_back_byte_for_byte(raw in lines()) {
        let (gzip, _) = archive(&raw);
        prop_assert!(inflate(&gzip).unwrap() == raw);
        let mut foreign = Vec::new();
        MultiGzDecoder::new(&gzip[..]).read_to_end(&mut foreign).unwrap();
        prop_assert!(foreign == raw);
    }

    #[test]
    fn any_pushes_make_the_same_archive(raw in lines(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60), asks in any::<u64>()) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).collect();
        cuts.sort_unstable();
        let mut compressor = Compressor::new(time_of);
        let (mut gzip, mut pushed) = (Vec::new(), 0);
        for (nth, cut) in cuts.into_iter().enumerate() {
            compressor.push(&raw[std::mem::replace(&mut pushed, cut)..cut]);
            if asks >> (nth % 64) & 1 == 1 {
                gzip.extend(compressor.members());
                // Whole members, each of whole lines.
                let there = if gzip.is_empty() { Vec::new() } else { inflate(&gzip).unwrap() };
                prop_assert!(raw.starts_with(&there) && (there.is_empty() || there.ends_with(b"\n")));
            }
        }
        compressor.push(&raw[pushed..]);
        let (rest, summary) = compressor.finish();
        gzip.extend(rest);
        prop_assert!((gzip, summary) == archive(&raw));
    }

    #[test]
    fn the_index_agrees_with_a_naive_scan(raw in lines(), asked in 0..1000_i64, from in 0..50_u64, many in 0..50_u64) {
        let (gzip, summary) = archive(&raw);
        let index = index(&gzip);
        let naive: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
        prop_assert_eq!((index.lines(), summary.lines), (naive.len() as u64, naive.len() as u64));
        prop_assert_eq!(index.raw_bytes(), raw.len() as u64);

        let mut line = 0;
        let mut joined = Vec::new();
        for member in index.members() {
            prop_assert_eq!((member.first_line, member.raw_offset), (line, joined.len() as u64));
            let bytes = &gzip[member.offset as usize..(member.offset + member.gzip_len) as usize];
            joined.extend(decode_member(bytes, member.raw_len).unwrap());
            line += member.lines;
            let latest = naive[..line as usize].iter().filter_map(|line| time_of(line)).max();
            prop_assert_eq!(member.latest, latest);
        }
        prop_assert!(joined == raw);

        let wanted = from..from + many;
        let found = index.members_for_lines(wanted.clone());
        for (at, member) in index.members().iter().enumerate() {
            let holds = |line: u64| member.first_line <= line && line < member.first_line + member.lines;
            prop_assert_eq!(found.contains(&at), wanted.clone().any(holds));
        }
        let first = naive.iter().position(|line| time_of(line) >= Some(asked));
        let since = index.members_since(asked);
        prop_assert_eq!(since.end, index.members().len());
        match first {
            Some(line) => {
                let line = line as u64;
                prop_assert_eq!(since.start..since.start + 1, index.members_for_lines(line..line + 1));
            }
            None => prop_assert!(since.is_empty()),
        }
    }

    #[test]
    fn the_lines_of_each_level_agree_with_a_naive_scan(raw in lines()) {
        let level_of = |line: &[u8]| line.first().map(|byte| byte % 8).filter(|level| usize::from(*level) < LEVELS);
        let mut gzip = Vec::new();
        compress(&raw[..], &mut gzip, |line| LineFacts { time: time_of(line), level: level_of(line) }).unwrap();
        let mut naive = raw.split_inclusive(|byte| *byte == b'\n');
        for member in index(&gzip).members() {
            let mut levels = [0; LEVELS];
            for line in naive.by_ref().take(member.lines as usize) {
                if let Some(level) = level_of(line) {
                    levels[usize::from(level)] += 1;
                }
            }
            prop_assert_eq!(member.levels, Some(levels));
        }
    }

    #[test]
    fn any_damaged_byte_is_found_by_the_checksum_and_never_gives_other_lines(
        raw in lines(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let (mut gzip, summary) = archive(&raw);
        let at = at.index(gzip.len());
        gzip[at] ^= flip;
        prop_assert_ne!(<[u8; 32]>::from(Sha256::digest(&gzip)), summary.gzip_sha256);
        if let Ok(IndexTail::Index(index)) = Index::parse(&gzip, gzip.len() as u64) {
            for member in index.members() {
                let bytes = &gzip[member.offset as usize..(member.offset + member.gzip_len) as usize];
                if let Ok(lines) = decode_member(bytes, member.raw_len) {
                    let begin = member.raw_offset as usize;
                    prop_assert!(lines == raw[begin..begin + member.raw_len as usize]);
                }
            }
        }
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..600), size in any::<u64>(), raw_len in any::<u64>()) {
        let _ = Index::parse(&garbage, size);
        let _ = Index::parse(&garbage, garbage.len() as u64);
        let _ = decode_member(&garbage, raw_len);
        let _ = inflate(&garbage);
    }

    #[test]
    fn a_footer_or_index_that_lies_never_panics(raw in lines(), edits in prop::collection::vec((1..200_usize, any::<u8>()), 1..12)) {
        let (mut gzip, _) = archive(&raw);
        let len = gzip.len();
        for (from_end, value) in edits {
            gzip[len - from_end.min(len)] = value;
        }
        if let Ok(IndexTail::Index(index)) = Index::parse(&gzip, len as u64) {
            let _ = index.members_since(0);
        }
    }
}

#[test]
fn an_empty_log_is_a_footer_alone_whose_bytes_never_change() {
    let (gzip, summary) = archive(b"");
    let footer = |version: u8| {
        let mut footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x29\0PF\x25\0".to_vec();
        footer.push(version);
        footer.extend([0; 36]);
        footer.extend([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        footer
    };
    assert_eq!(gzip, footer(2));
    assert_eq!(index(&footer(1)), index(&gzip), "the first version is read as ever");
    assert!(Index::parse(&footer(3), gzip.len() as u64).is_err(), "a later one is refused");
    assert_eq!((summary.lines, index(&gzip).lines(), index(&gzip).members_for_tail(5)), (0, 0, 0..0));
    assert_eq!(inflate(&gzip).unwrap(), b"");
}

#[test]
fn a_tail_that_is_too_short_says_what_is_missing() {
    let (gzip, _) = archive(&big_log(3));
    let size = gzip.len() as u64;
    let mut from = size - 10;
    let mut asked = 0;
    let found = loop {
        match Index::parse(&gzip[from as usize..], size).unwrap() {
            IndexTail::NeedMore { from: earlier } => from = earlier,
            IndexTail::Index(found) => break found,
            IndexTail::Foreign => panic!("it is ours"),
        }
        asked += 1;
    };
    assert_eq!(asked, 2, "once for the footer and once for the index");
    assert_eq!(found, index(&gzip));
    assert_eq!(found.members().len(), 3);
    assert_eq!(found.byte_range(0..3), 0..from);
}

#[test]
fn two_hundred_lines_are_read_from_one_byte_range() {
    let raw = big_log(5);
    let (gzip, _) = archive(&raw);
    let index = index(&gzip);
    let members = index.members_for_lines(9_000..9_200);
    assert_eq!(members.len(), 1);
    let bytes = index.byte_range(members.clone());
    let member = index.members()[members.start];
    let text = decode_member(&gzip[bytes.start as usize..bytes.end as usize], member.raw_len).unwrap();
    let line = text.split_inclusive(|byte| *byte == b'\n').nth((9_000 - member.first_line) as usize).unwrap();
    assert_eq!(time_of(line), Some(9_000));
    assert_eq!(index.members_for_tail(1), 4..5);
    assert_eq!((index.members_for_tail(0).len(), index.members_for_lines(100..100).len()), (0, 0));
}

#[test]
fn a_foreign_gzip_is_told_apart_and_still_streams() {
    let mut gzip = Vec::new();
    for part in ["one\n", "two\n"] {
        let mut member = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::fast());
        member.write_all(part.as_bytes()).unwrap();
        member.finish().unwrap();
    }
    assert_eq!(Index::parse(&gzip, gzip.len() as u64).unwrap(), IndexTail::Foreign);
    assert_eq!(inflate(&gzip).unwrap(), b"one\ntwo\n");
}

#[test]
fn a_decompression_bomb_ends_at_the_bound() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut io::repeat(0).take(64 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(decode_member(&bomb, 1 << 20).unwrap_err().to_string().contains("not 1048576 bytes long"));
    assert!(decode_member(&bomb, u64::MAX).is_err());
    assert!(decode_member(&bomb[..100], 1 << 20).unwrap_err().to_string().contains("cannot hold"));
    let mut raw = Vec::new();
    let error = BoundedReader::new(&bomb[..], 1 << 20).read_to_end(&mut raw).unwrap_err();
    assert_eq!(error.to_string(), "the archive inflates to more than 1048576 bytes");
    assert!(raw.len() <= 1 << 20);
}

#[test]
fn a_member_is_read_alone_or_not_at_all() {
    let (gzip, _) = archive(&big_log(2));
    let index = index(&gzip);
    let both = index.byte_range(0..2);
    let raw_len = index.members()[0].raw_len;
    assert!(decode_member(&gzip[..both.end as usize], raw_len).is_err());
    assert!(decode_member(&gzip[..index.members()[0].gzip_len as usize - 1], raw_len).is_err());
}

#[test]
fn ordinary_tools_read_an_archive_as_if_it_were_any_gzip() {
    let python = "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let tools = [("gunzip", &["-c"][..]), ("zcat", &[]), ("python3", &["-c", python])];
    for raw in [&b""[..], b"no newline", b"one\ntwo\n", &big_log(3)] {
        let (gzip, _) = archive(raw);
        for (program, arguments) in tools {
            // A desk without one of the tools still has the other checks.
            let Ok(mut tool) =
                Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
            else {
                continue;
            };
            let mut stdin = tool.stdin.take().unwrap();
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    stdin.write_all(&gzip).unwrap();
                    drop(stdin);
                });
                let output = tool.wait_with_output().unwrap();
                assert!(output.status.success(), "{program}");
                assert!(output.stdout == raw, "{program}");
            });
        }
    }
}
