//! What a page says of a run, and what operators do from it.

use super::{Html, Site, parse};
use crate::support::{Desk, sample_text};

#[tokio::test]
async fn a_run_says_what_came_of_it_and_what_happens_next() {
    let site = Site::new().await;
    let first = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let page = site.page(&format!("/runs/{first}"));
    let said = site.desk.ok(&["show", "--json", &first]).json();
    let why = said[0]["why"].as_str().unwrap();
    assert!(page.says(&why[1..]), "{why}");
    assert!(page.says("The submitter corrects the problems and submits the file again"));
    assert!(page.says("is in the object store, which confirmed its checksum"));
    // The problems in groups as in the report, with their counts.
    let groups = said[0]["groups"].as_array().unwrap();
    assert!(!groups.is_empty());
    for group in groups {
        let message = group["message"].as_str().unwrap().split('…').next().unwrap();
        assert!(page.says(message.trim()), "{message}");
    }
    let second = site.parse("active.txt", "tanf-active-2021-q1-corrected.txt");
    let page = site.page(&format!("/runs/{second}"));
    let diff = site.page(&page.link("What changed since the run before"));
    let difference = site.desk.ok(&["diff", "--json", &first, &second]).json();
    let gone = difference[0]["problems"]["disappeared"].as_u64().unwrap();
    assert!(gone > 0 && diff.says(&format!("{gone} disappeared")));
    let history = site.page(&page.link("The file and its history"));
    assert!(history.says("2 runs of it, in all its versions"));
    site.served.stop();
}

#[tokio::test]
async fn times_on_pages_are_in_the_servers_zone_named_and_for_programs_in_utc() {
    let desk = Desk::new().await;
    let run = parse(&desk, "active.txt", &sample_text("tanf-active-2021-q1.txt"), &[]);
    let queued = desk.ok(&["runs", "--json"]).json()[0]["queued_at"].as_str().unwrap().to_owned();
    let queued = chrono::DateTime::parse_from_rfc3339(&queued).unwrap();
    let offset = chrono::FixedOffset::west_opt(7 * 3600).unwrap();
    let there = queued.with_timezone(&offset).format("%Y-%m-%d %H:%M:%S -07:00").to_string();
    let site = Site::of_with(desk, &[("TZ", "MST7")], &[]);
    let page = site.page(&format!("/runs/{run}"));
    let time = page.all("time").next().unwrap();
    assert_eq!(time.text, there);
    let for_programs = chrono::DateTime::parse_from_rfc3339(&time.attributes["datetime"]).unwrap();
    assert_eq!(for_programs.timestamp(), queued.timestamp());
    assert!(time.attributes["datetime"].ends_with('Z'));
    assert!(page.says("Times are in this server's zone: -07:00."));
    // A line of a log begins with its time, wherever it is shown.
    let day = there[..13].to_owned();
    let log = site.page(&format!("/runs/{run}/log"));
    let first = log.all("span").find(|span| span.text.starts_with(&day[..4])).unwrap().text.clone();
    assert_eq!(&first[23..30], "-07:00 ", "{first}");
    let text = site.get(&format!("/runs/{run}/log/download?as=log")).text().to_owned();
    assert!(text.lines().all(|line| line[23..].starts_with("-07:00 ")), "{text}");
    let lines = site.json(&format!("/runs/{run}/log/lines?from=1"));
    assert!(lines["lines"][0]["time"].as_str().unwrap().ends_with("-07:00"), "{lines}");
    let found = site.json(&format!("/runs/{run}/log/lines?from=1&q=-07:00"));
    assert_eq!(found["lines"].as_array().unwrap().len(), lines["lines"].as_array().unwrap().len());
    let table = site.get(&format!("/runs/{run}/report?as=csv")).text().to_owned();
    assert!(table.lines().any(|row| row.contains(",started,") && row.contains("-07:00")), "{table}");
    site.served.stop();
    let site = Site::of_with(site.desk, &[("TZ", "MST7")], &["--utc"]);
    let page = site.page(&format!("/runs/{run}"));
    assert_eq!(page.all("time").next().unwrap().text, queued.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    assert!(page.says("Times are in this server's zone: UTC."));
    site.served.stop();
}

#[tokio::test]
async fn a_file_shows_the_problems_of_each_parse_by_category_and_those_of_the_latest_by_month() {
    let site = Site::new().await;
    site.parse("active.txt", "tanf-active-2021-q1.txt");
    let page = site.page("/files/1");
    assert!(page.says("2 field value, 2 cross-field, 3 case consistency, 2 record"), "{}", page.text);
    assert!(page.says("Problems of submission 1, the latest that was parsed, by month"), "{}", page.text);
    // Once it is mended, none of the latest are left to show.
    site.parse("active.txt", "tanf-active-2021-q1-corrected.txt");
    let page = site.page("/files/2");
    assert!(page.says("3 case consistency") && !page.says("by month"), "{}", page.text);
    site.served.stop();
}

#[tokio::test]
async fn the_most_frequent_problems_of_all_runs_are_counted_as_the_command_counts_them() {
    let site = Site::new().await;
    site.parse("active.txt", "tanf-active-2021-q1.txt");
    site.parse("other.txt", "tanf-active-2021-q1.txt");
    let page = site.page("/problems");
    let rows = site.desk.ok(&["problems", "--json", "--top", "100"]).out.lines().count();
    assert_eq!(page.all("tr").count(), rows + 1, "{}", page.text);
    let cells = |page: &Html| page.all("td").map(|cell| cell.text.clone()).collect::<Vec<_>>().join(" | ");
    let found = cells(&page);
    assert!(
        found.starts_with("2 | 2 | ") && found.contains(" | 2 field value | T1 12 FAMILY_TYPE"),
        "{found}"
    );
    let page = site.page("/problems?by=kind%2Cstate&program=TANF&year=2021&quarter=1");
    assert!(cells(&page).contains(" | WI | 2 field value | T1 12 FAMILY_TYPE"), "{}", cells(&page));
    assert!(site.page("/problems?state=XX").says("No problem matches."));
    for (wrong, why) in
        [("by=colour", "by: expected"), ("year=x", "is not a number"), ("q=x", "unknown filter")]
    {
        let answer = site.get(&format!("/problems?{wrong}"));
        assert!(answer.status == 400 && answer.text().contains(why), "{wrong}: {}", answer.text());
    }
    site.served.stop();
}

#[tokio::test]
async fn runs_are_found_by_program_period_outcome_and_name_and_come_page_by_page() {
    let site = Site::new().await;
    site.parse("active.txt", "tanf-active-2021-q1.txt");
    let text = sample_text("tanf-active-2021-q1.txt");
    let mut submit = ["submit", "--state", "WI"].map(str::to_owned).to_vec();
    submit.extend((0..60).map(|nth| site.desk.file(&format!("more-{nth}.txt"), &text)));
    site.desk.ok(&submit);
    let count = |query: &str| {
        let page = site.page(&format!("/runs?{query}"));
        page.all("tr").count().saturating_sub(page.all("table").count())
    };
    assert_eq!((count("q=ACTIVE.t"), count("q=more-1"), count("q=none")), (1, 11, 0));
    assert_eq!((count("outcome=queued&program=TANF&year=2021&quarter=1"), count("program=ssp")), (50, 0));
    let first = site.page("/runs");
    let second = site.page(&first.link("Older runs"));
    assert_eq!(second.all("tr").count(), 12);
    assert!(second.all("a").all(|link| link.text != "Older runs"));
    site.served.stop();
}

#[tokio::test]
async fn an_act_asks_first_and_is_an_audit_entry_with_the_persons_name() {
    let site = Site::new().await;
    let failed = parse(&site.desk, "odd.txt", "x", &["--parser-for", "tanf/*=false"]);
    let last =
        site.desk.ok(&["runs", "--json", "--file", "odd.txt"]).json()[0]["id"].as_str().unwrap().to_owned();
    assert!(!failed.is_empty());
    let ask = site.page(&site.page(&format!("/runs/{last}")).link("Try it again …"));
    assert!(ask.says("Another attempt at the same bytes is queued at once"));
    let done = site.post(&format!("/runs/{last}/retry"), "");
    assert_eq!(done.status, 303, "{}", done.text());
    let again = done.header("location").unwrap().to_owned();
    assert!(site.page(&again).says("queued"));
    assert!(site.page(&format!("{again}/cancel")).says("leaves the queue"));
    assert_eq!(site.post(&format!("{again}/cancel"), "").status, 303);
    assert!(site.page(&again).says("It was taken out of the queue before it was parsed."));
    // The same preview as the command's, and then its reparse.
    let preview = site.page("/reparse?file=odd.txt");
    assert!(preview.says("1 file, 1 B, would be parsed again."), "{}", preview.text);
    let done = site.post("/reparse", "file=odd.txt&why=new+rules");
    assert_eq!(done.status, 303, "{}", done.text());
    let reparse = done.header("location").unwrap().to_owned();
    let page = site.page(&reparse);
    assert!(page.says("Why: new rules") && page.says("0 of 1 file done"), "{}", page.text);
    // Once it is over, its page compares logs, and that is a reading of them.
    site.desk.ok(&["worker", "--drain", "--parser-for", "tanf/*=false"]);
    let compared = "select count(*) from log_entry where entry = 'log-compared' and actor = 'token tester'";
    for readings in 1..=2 {
        assert!(site.page(&reparse).says("1 of 1 file done"));
        let noted: i64 = sqlx::query_scalar(compared).fetch_one(&site.desk.db.pool).await.unwrap();
        assert_eq!(noted, readings);
    }
    let actors: Vec<(String, String)> =
        sqlx::query_as("select entry, actor from log_entry where entry in ('cancel-requested', 'retried', 'reparse-queued') order by id")
            .fetch_all(&site.desk.db.pool)
            .await
            .unwrap();
    assert!(actors.len() >= 2 && actors.iter().all(|(_, actor)| actor == "token tester"), "{actors:?}");
    site.served.stop();
}

#[tokio::test]
async fn an_operator_holds_the_logs_of_a_file_and_releases_them_and_a_form_sent_twice_does_it_once() {
    let site = Site::new().await;
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let file = site.page(&format!("/runs/{run}")).link("The file and its history");
    let ask = site.page(&site.page(&file).link("Hold its logs …"));
    assert!(ask.says("can't be pruned or erased until the hold is released"), "{}", ask.text);
    for _ in 0..2 {
        let done = site.post(&format!("{file}/hold"), "held=true&why=a+lawsuit");
        assert_eq!((done.status, done.header("location")), (303, Some(file.as_str())), "{}", done.text());
    }
    assert!(site.page(&file).says("its logs may not be deleted"));
    let erased = site.desk.output(&["erase", "--yes", &run]);
    let why = String::from_utf8_lossy(&erased.stderr);
    assert!(!erased.status.success() && why.contains("on legal hold"), "{why}");
    let ask = site.page(&site.page(&file).link("Release the hold …"));
    assert!(ask.says("can be pruned and erased again"), "{}", ask.text);
    assert_eq!(site.post(&format!("{file}/hold"), "held=maybe").status, 400);
    assert_eq!(site.post(&format!("{file}/hold"), "held=false").status, 303);
    let entries: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "select entry, actor, detail from log_entry where entry in ('held', 'hold-released') order by id",
    )
    .fetch_all(&site.desk.db.pool)
    .await
    .unwrap();
    let tester = "token tester".to_owned();
    let held = ("held".to_owned(), tester.clone(), Some("a lawsuit".to_owned()));
    assert_eq!(entries, [held, ("hold-released".to_owned(), tester, None)]);
    site.served.stop();
}

#[tokio::test]
async fn the_menu_leads_only_where_the_reader_may_go() {
    let desk = Desk::new().await;
    let token = |name: &str, options: &[&str]| {
        desk.ok(&[&["token", "create", name][..], options].concat()).out.trim().to_owned()
    };
    let staff = token("ann", &["--role", "staff"]);
    let narrow = token("bob", &["--role", "staff", "--program", "fra"]);
    let admin = Site::of(desk);
    let menu = |site: &Site| {
        let page = site.page("/runs");
        assert!(page.all("button").all(|button| button.text != "Sign out"), "a token has no session to end");
        let names = ["Runs", "Reparses", "Streams", "Attention", "Audit"];
        let shown = page.all("a").map(|link| link.text.clone()).collect::<Vec<_>>();
        let (shown, hidden): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| shown.iter().any(|text| text == name));
        for (name, expected) in
            shown.iter().map(|name| (name, 200)).chain(hidden.iter().map(|name| (name, 403)))
        {
            let path = format!("/{}", name.to_lowercase());
            assert_eq!(site.get(&path).status, expected, "{path}");
        }
        shown
    };
    assert_eq!(menu(&admin).len(), 5);
    let site = Site { token: staff, ..admin };
    assert_eq!(menu(&site), ["Runs", "Reparses", "Streams", "Attention"]);
    let site = Site { token: narrow, ..site };
    assert_eq!(menu(&site), ["Runs"]);
    assert!(site.page("/runs").says("token bob"));
    site.served.stop();
}

#[tokio::test]
async fn who_sees_some_programs_alone_learns_no_name_of_another_programs_file() {
    let desk = Desk::new().await;
    let narrow = ["token", "create", "narrow", "--role", "staff", "--program", "fra"];
    let token = desk.ok(&narrow).out.trim().to_owned();
    let site = Site::of(desk);
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let paths = ["/runs/activ.txt", "/runs?after=activ.txt", "/reparse?file=activ.txt"];
    for path in paths {
        let answer = site.get(path);
        assert!(answer.status >= 400 && answer.text().contains("active.txt"), "{path}: {}", answer.text());
    }
    let site = Site { token, ..site };
    for path in paths.into_iter().chain([format!("/runs/{run}").as_str()]) {
        let answer = site.get(path);
        let expected = if path.starts_with("/reparse") { 403 } else { 404 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
        assert!(!answer.text().contains("active.txt"), "{path}: {}", answer.text());
    }
    assert!(site.page("/problems").says("No problem matches."));
    let others = site.get("/problems?program=tanf");
    assert!(others.status == 400 && others.text().contains("you may read fra"), "{}", others.text());
    site.served.stop();
}
