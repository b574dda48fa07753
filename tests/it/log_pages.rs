//! Pages of a log agree with a naive scan, whatever the log, the conditions and the place: in an archive of either
//! version of the index, and in a file of the spool.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::Arc;

use parselog::archive::line_facts;
use parselog::gzip;
use parselog::objects::{FolderStore, Objects};
use parselog::reader::{KnownBlocks, LinesWanted, LogBlocks, LogSource, PageFrom, Selection};
use parselog::record::{Level, timestamp_of};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Lines with a level each, or none; some are long, so that a few dozen make several blocks.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let level = prop::sample::select(vec!["ERROR", "WARN", "INFO", "INFO", "INFO", "DEBUG", ""]);
    let length = prop_oneof![4 => 0..60_usize, 1 => 200_000..700_000_usize];
    let line = (level, length, any::<bool>()).prop_map(|(level, length, has_word)| {
        let word = if has_word { "needle" } else { "hay" };
        let message = format!("{word} {}", "x".repeat(length));
        let line = match level {
            "" => format!("{message}\n"),
            level => format!(
                "{{\"timestamp\":\"2026-11-21T06:30:00.000000Z\",\"seq\":1,\"level\":\"{level}\",\"target\":\"t\",\
                 \"message\":\"{message}\"}}\n"
            ),
        };
        line.into_bytes()
    });
    prop::collection::vec(line, 0..50)
}

/// A log, wherever a reader may find it.
struct Places {
    _folder: TempDir,
    objects: Objects,
    sources: Vec<LogSource>,
}

fn places(raw: &[u8]) -> Places {
    let folder = TempDir::new().unwrap();
    let objects = Objects::Folder(FolderStore::open(folder.path()).unwrap());
    fs::create_dir(folder.path().join("logs")).unwrap();
    let mut sources = Vec::new();
    for has_levels in [true, false] {
        let name = format!("{has_levels}.log.gz");
        let out = File::create(folder.path().join("logs").join(&name)).unwrap();
        match has_levels {
            true => gzip::compress(raw, out, line_facts),
            false => gzip::compress(raw, out, timestamp_of),
        }
        .unwrap();
        let uri = objects.uri("logs", &name, None).unwrap();
        sources.push(LogSource::Archive { uri, raw_bytes: raw.len() as u64 });
    }
    let mut spooled = tempfile::tempfile().unwrap();
    spooled.write_all(raw).unwrap();
    // As an open log has them behind its content.
    spooled.write_all(&[0; 5000]).unwrap();
    sources.push(LogSource::Spool(Arc::new(spooled)));
    Places { _folder: folder, objects, sources }
}

/// Runs what blocks where it may.
fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(act).join().unwrap()
}

fn open(places: &Places, source: &LogSource, known: Option<KnownBlocks>, runtime: &Runtime) -> LogBlocks {
    let (objects, source, handle) = (places.objects.clone(), source.clone(), runtime.handle().clone());
    blocking(move || LogBlocks::open(&objects, &source, known, handle).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_page_is_what_a_scan_finds(
        lines in lines(), level in prop::option::of(prop::sample::select(Level::ALL.to_vec())), has_word in any::<bool>(),
        from in 0..60_u64, count in 1..20_usize, is_forward in any::<bool>(),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let places = places(&lines.concat());
        let grep = has_word.then(|| regex::Regex::new("needle").unwrap());
        let selection = Selection { level, grep, ..Selection::default() };
        let matches: Vec<u64> =
            (0..).zip(&lines).filter(|(_, line)| selection.wants(line)).map(|(number, _)| number).collect();
        let expected: Vec<u64> = match is_forward {
            true => matches.iter().copied().filter(|number| *number >= from).take(count).collect(),
            false => {
                let mut last: Vec<u64> = matches.iter().rev().copied().filter(|number| *number < from).take(count).collect();
                last.reverse();
                last
            }
        };
        for source in &places.sources {
            let mut blocks = open(&places, source, None, &runtime);
            prop_assert_eq!(blocks.lines(), lines.len() as u64);
            let selection = selection.clone();
            let mut all = Vec::new();
            let (found, total) = blocking(move || {
                let mut place = if is_forward { PageFrom::Line(from) } else { PageFrom::Before(from) };
                loop {
                    // A page may end early, and says where the next one begins.
                    let left = count - all.len();
                    let wanted = LinesWanted { from: place, count: left, selection: selection.clone() };
                    let page = blocks.page(&wanted, |number, line| (number, line.to_vec())).unwrap();
                    let has_ended = if is_forward { page.looked_at.end >= page.total } else { page.looked_at.start == 0 };
                    place = if is_forward { PageFrom::Line(page.looked_at.end) } else { PageFrom::Before(page.looked_at.start) };
                    if is_forward { all.extend(page.lines) } else { all = [page.lines, all].concat() }
                    if all.len() >= count || has_ended {
                        return (all, page.total);
                    }
                }
            });
            prop_assert_eq!(total, lines.len() as u64);
            let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
            prop_assert_eq!(&numbers, &expected);
            prop_assert!(found.iter().all(|(number, line)| *line == lines[*number as usize]));
        }
    }
}

#[test]
fn a_level_passes_over_members_without_it_and_a_known_archive_costs_no_index() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let line = |number: u32, level: &str| {
        format!(
            "{{\"timestamp\":\"2026-11-21T06:30:00.000000Z\",\"seq\":{number},\"level\":\"{level}\",\"target\":\"t\",\
             \"message\":\"{number} {:x}\"}}\n",
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        )
    };
    let raw: String =
        (1..=200_000).map(|number| line(number, if number == 150_000 { "ERROR" } else { "INFO" })).collect();
    let places = places(raw.as_bytes());
    let error = LinesWanted {
        from: PageFrom::Line(0),
        count: 1,
        selection: Selection { level: Some(Level::Error), ..Selection::default() },
    };
    let mut blocks = open(&places, &places.sources[0], None, &runtime);
    assert!(blocks.blocks().len() > 10);
    let known = blocks.known();
    let (found, cost) = blocking(move || {
        let page = blocks.page(&error, |number, _| number).unwrap();
        (page.lines, blocks.cost())
    });
    assert_eq!(found, [149_999]);
    assert_eq!(cost.gets, 2, "the index, and the one member that has an error");
    let mut blocks = open(&places, &places.sources[0], Some(known), &runtime);
    let window = LinesWanted { from: PageFrom::Line(99_900), count: 200, selection: Selection::default() };
    let (lines, cost) =
        blocking(move || (blocks.page(&window, |number, _| number).unwrap().lines, blocks.cost()));
    assert_eq!((lines.len(), lines[0], cost.gets), (200, 99_900, 1));
    assert!(cost.bytes < 512 << 10, "{cost:?}");
}

#[test]
fn a_file_that_grows_has_its_new_lines_behind_what_was_known() -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = TempDir::new()?;
    let path = folder.path().join("log");
    let mut file = File::create(&path)?;
    let source = LogSource::Spool(Arc::new(File::open(&path)?));
    let places = Places {
        objects: Objects::Folder(FolderStore::open(folder.path()).unwrap()),
        sources: vec![source.clone()],
        _folder: folder,
    };
    let mut known = None;
    for round in 1..=5_u64 {
        for line in 0..20_000 {
            writeln!(file, "line {line} of round {round}, and no more")?;
        }
        write!(file, "an unfinished one")?;
        let blocks = open(&places, &source, known.take(), &runtime);
        assert_eq!(blocks.lines(), round * 20_000 + (round - 1));
        let counted: u64 = blocks.blocks().iter().map(|block| block.lines).sum();
        assert_eq!(counted, blocks.lines());
        known = Some(blocks.known());
        writeln!(file)?;
    }
    Ok(())
}
