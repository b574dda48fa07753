//! Where reports are stored, what they hold back, and what they cost.

use super::*;

#[tokio::test]
async fn no_sensitive_value_is_in_the_log_the_row_the_global_log_or_any_report() {
    let desk = Desk::new().await;
    let path = desk.path("broken.txt");
    let sample = desk.stdout(&["sample", "--cases", "60", "--error-rate", "0.5"]);
    let mut secrets = BTreeSet::new();
    let mut broken = Vec::new();
    for (line, number) in sample.split_inclusive(|&byte| byte == b'\n').zip(0..) {
        let mut line = line.to_vec();
        // Birth date and number of an adult (T2) or a child (T3): neither can be read as such.
        let at = match &line[..2] {
            b"T2" => 21,
            b"T3" => 20,
            _ => 0,
        };
        if at > 0 && line.len() > 40 {
            line[at..at + 8].copy_from_slice(format!("{}", 18_770_000 + number).as_bytes());
            line[at + 8..at + 17].copy_from_slice(format!("9{number:03}X8{number:03}").as_bytes());
            for secret in [&line[8..19], &line[at..at + 8], &line[at + 8..at + 17]] {
                secrets.insert(String::from_utf8_lossy(secret).into_owned());
            }
        }
        broken.extend(line);
    }
    fs::write(&path, broken).expect("write");

    let run =
        desk.command(&["run", "--json", "--reports", "json", "--global-level", "debug", &path]).output();
    let run = run.expect("the command starts");
    let mut said = vec![run.stdout, run.stderr];
    for format in ["csv", "json"] {
        said.push(desk.stdout(&["report", "@latest", "--format", format]));
    }
    let book = desk.stdout(&["report", "@latest", "--format", "xlsx"]);
    said.extend(
        ["Summary", "Groups", "Problems"].map(|name| format!("{:?}", sheet(&book, name)).into_bytes()),
    );
    said.push(desk.stdout(&["logs", "@latest", "--json"]));
    let stored = desk.files("objects").into_iter().filter(|path| path.contains(".report."));
    said.extend(stored.map(|path| fs::read(path).expect("the stored report")));

    let problems = String::from_utf8_lossy(&said[2]).into_owned();
    assert!(problems.contains("DATE_OF_BIRTH") && problems.contains("SSN"), "{problems}");
    assert!(secrets.len() > 100);
    for secret in secrets {
        for text in &said {
            let text = String::from_utf8_lossy(text);
            let at = text.find(&secret).map(|at| text[..at].lines().count());
            assert_eq!(at, None, "{secret} is in a text that begins {}", &text[..60]);
        }
    }
}

#[tokio::test]
async fn a_report_is_stored_beside_the_log_when_configured_and_its_failure_changes_nothing() {
    let desk = Desk::new().await;
    let path = desk.path("broken.txt");
    desk.stdout(&["sample", "--cases", "20", "--error-rate", "0.4", &path]);
    let stored = || -> Vec<String> {
        desk.files("objects").into_iter().filter(|path| path.contains(".report.")).collect()
    };

    desk.stdout(&["run", &path]);
    assert_eq!(stored(), Vec::<String>::new());

    for format in ["csv", "json", "xlsx"] {
        let mut run = desk.command(&["run", &path]);
        let run = run.env("PARSELOG_REPORTS", format).output().expect("the command starts");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let said = String::from_utf8(run.stdout).expect("UTF-8");
        let uri_of = |what: &str| {
            let line = said.lines().find(|line| line.trim_start().starts_with(what)).expect("a line");
            line.split_whitespace().last().expect("a URI").split('?').next().expect("a URI").to_owned()
        };
        assert_eq!(uri_of("report"), uri_of("log").replace(".log.gz", &format!(".report.{format}")));
        let shown = desk.stdout(&["show", "@latest"]);
        assert!(String::from_utf8_lossy(&shown).contains(&format!("  report       {}", uri_of("report"))));
        let of_format: Vec<String> =
            stored().into_iter().filter(|path| path.contains(&format!(".report.{format}"))).collect();
        let report = of_format.iter().map(|path| fs::read(path).expect("the report"));
        let report = report.max_by_key(Vec::len).expect("a stored report");
        if format == "xlsx" {
            assert!(sheet(&report, "Problems").len() > 1);
        } else {
            assert_eq!(report, desk.stdout(&["report", "@latest", "--format", format]));
        }
    }

    // Where the logs' folder should be is a file: nothing can be stored in it.
    let folder = stored()[0].split_once("parsing_logs").expect("the folder").0.to_owned() + "parsing_logs";
    fs::remove_dir_all(&folder).expect("remove");
    fs::write(&folder, "").expect("write");
    let mut run = desk.command(&["run", "--json", &path]);
    let run = run.env("PARSELOG_REPORTS", "csv").output().expect("the command starts");
    assert!(run.status.success());
    let row: Value = serde_json::from_slice(&run.stdout).expect("the row");
    assert_eq!((row["status"].as_str(), row["log_state"].as_str()), (Some("success"), Some("fallback")));
    assert_eq!(row.get("report_uri"), None);
    assert!(String::from_utf8_lossy(&run.stderr).contains("the error report is not stored"));
    let scratch = desk.files("scratch");
    assert!(scratch.is_empty(), "left over: {scratch:?}");
}

#[tokio::test]
async fn a_log_of_100_000_problems_takes_no_more_memory_than_one_of_10_000() {
    let desk = Desk::new().await;
    desk.stdout(&["migrate"]);
    let queued = desk.db.submit(&["sent/short.txt", "sent/long.txt"]).await;
    let spool = desk.home.path().join("spool");
    fs::create_dir_all(&spool).expect("the spool");
    let fields = json!({"category": 2, "record_type": "T1", "item": "4", "field": "MONTH"});
    for (run, problems) in [(queued[0].run_id, 10_000), (queued[1].run_id, 100_000)] {
        let of_record = |n| problem(n, &format!("item 4 MONTH is '{n}' and must be a month"), &fields);
        let lines: Vec<String> = (1..=problems).map(of_record).collect();
        fs::write(spool.join(format!("{run}.log")), log(run, &lines)).expect("the log");
    }
    for format in ["csv", "json", "xlsx"] {
        let peaks = [(queued[0].run_id, 10_000), (queued[1].run_id, 100_000)].map(|(run, problems)| {
            let mut report = desk.command(&["report", &run.to_string(), "--format", format]);
            let report = report.stdout(Stdio::piped()).spawn().expect("the command starts");
            let (bytes, peak) = read_and_watch(report);
            let lines = bytes.split(|&byte| byte == b'\n');
            let is_problem =
                |line: &&[u8]| line.starts_with(b"problem,") || line.starts_with(b"{\"record\":");
            assert!(format == "xlsx" || lines.filter(is_problem).count() == problems, "{format}, {problems}");
            peak
        });
        assert!(peaks[1] < peaks[0] + 8 * 1024, "{format}: {} KiB, then {} KiB", peaks[0], peaks[1]);
    }
}

/// Reads what a child writes and the most memory (KiB) that it ever held. It must write more than a
/// pipe holds: then it can't end before the last looks at it.
fn read_and_watch(mut child: Child) -> (Vec<u8>, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut out = child.stdout.take().expect("a pipe");
    let (mut bytes, mut peak) = (Vec::new(), 0);
    let mut buffer = vec![0; 1 << 14];
    loop {
        let held = fs::read_to_string(&status).unwrap_or_default();
        let held = held.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = peak.max(held.and_then(|held| held.parse().ok()).unwrap_or_default());
        match out.read(&mut buffer).expect("read") {
            0 => break,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    assert!(child.wait().expect("its end").success());
    assert!(peak > 0, "no look at the child's memory");
    (bytes, peak)
}
