//! Every page keeps to the rules of accessibility, in light and dark and on a narrow screen, complains of nothing, and
//! can be used by its keys.

use serde_json::json;

use super::signed_in;
use crate::pages::{Site, parse};
use crate::support::skip;

/// The source of axe-core, which checks a page.
fn axe() -> Option<String> {
    let clients = std::env::var_os("PARSELOG_TEST_CLIENTS")?;
    let path = std::path::Path::new(&clients).join("node/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(path).ok()
}

#[tokio::test]
async fn axe_finds_nothing_on_any_page_in_light_and_dark() {
    let site = Site::new().await;
    let Some(axe) = axe() else { return skip::skip("axe-core is not installed: see scripts/test-clients") };
    let Some((browser, origin)) = signed_in(&site) else { return };
    let broken = site.parse("active.txt", "tanf-active-2021-q1.txt");
    let mended = site.parse("active.txt", "tanf-active-2021-q1-corrected.txt");
    let odd = parse(&site.desk, "odd.txt", "x", &["--parser-for", "tanf/*=false"]);
    site.desk.ok(&["reparse", "--yes", "active.txt"]);
    let waiting =
        site.desk.ok(&["runs", "--status", "queued", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    site.served.post("/logs", "application/json", r#"{"service":"web","level":"error","message":"no"}"#);
    let pages = [
        "/runs".to_owned(),
        "/runs?q=nothing".to_owned(),
        format!("/runs/{broken}"),
        format!("/runs/{broken}/log?at=first-error"),
        format!("/runs/{broken}/log?level=error&q=x"),
        format!("/runs/{mended}/diff?with={broken}"),
        format!("/runs/{odd}"),
        "/files/1".to_owned(),
        "/problems".to_owned(),
        "/problems?by=kind,state&program=tanf".to_owned(),
        "/reparses".to_owned(),
        "/reparses/@latest".to_owned(),
        "/reparse?file=active.txt".to_owned(),
        format!("/runs/{odd}/retry"),
        format!("/runs/{waiting}/cancel"),
        "/files/1/hold".to_owned(),
        "/streams".to_owned(),
        "/streams/web".to_owned(),
        "/attention?examine=yes".to_owned(),
        "/audit".to_owned(),
        "/files/99".to_owned(),
        "/enter?link=none".to_owned(),
    ];
    let mut found = Vec::new();
    for page in &pages {
        browser.go(&format!("{origin}{page}"));
        browser.run(&format!("{axe}; return typeof axe"), &[]);
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 360)] {
            browser.prefer(scheme);
            browser.size(width, 800);
            let said = browser.run(
                "const said = await axe.run(document, {resultTypes: ['violations']}); \
                 return said.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary).join(' | ')}`)",
                &[],
            );
            match said.as_array() {
                Some(violations) => {
                    found.extend(violations.iter().map(|one| format!("{page} {scheme} {width}: {one}")));
                }
                None => found.push(format!("{page}: {said}")),
            }
            let overflow =
                "return document.documentElement.scrollWidth > document.documentElement.clientWidth + 1";
            if browser.run(overflow, &[]) == json!(true) {
                found.push(format!("{page} {width}: it is wider than the screen"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    // That a page is not there, or a link is too old, is said by the browser too.
    let is_said = |line: &String| line.contains("status of 404") || line.contains("status of 410");
    let complaints: Vec<_> = browser.complaints().into_iter().filter(|line| !is_said(line)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    site.served.stop();
}

#[tokio::test]
async fn beside_the_lines_are_the_problems_by_kind_and_a_map_and_both_lead_to_a_line() {
    let site = Site::new().await;
    let Some((browser, origin)) = signed_in(&site) else { return };
    let run = site.parse("active.txt", "tanf-active-2021-q1.txt");
    // Also where a filter leaves that line out.
    browser.go(&format!("{origin}/runs/{run}/log?level=error"));
    browser.wait("the kinds are there", "return document.querySelectorAll('.problems li a').length > 5");
    browser.run(
        "[...document.querySelectorAll('.problems li')].find((one) => one.innerText.includes('FAMILY_TYPE')).querySelector('a').click()",
        &[],
    );
    browser.wait(
        "the line of that problem is chosen among its neighbours",
        "const at = document.querySelector('li.target[aria-current]'); \
         return at && at.innerText.includes('FAMILY_TYPE') && at.nextElementSibling && location.hash === '#' + at.id",
    );
    // The map has both colours, and a click on it leads to an error.
    let marked = "const map = document.querySelector('canvas.map'); if (!map || map.hidden || !map.width) return false; \
                  const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height); const colors = new Set(); \
                  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colors.add(data.slice(at, at + 3).join()); \
                  return colors.size >= 2";
    browser.wait("the map is drawn", marked);
    let wanted = browser.run(
        "const viewer = document.querySelector('log-viewer'); const { parts, canvas } = viewer.map; \
         const at = parts.findIndex((part) => part[0] > 0); const box = canvas.getBoundingClientRect(); \
         const y = (at + 0.5) * box.height / parts.length; \
         canvas.dispatchEvent(new MouseEvent('click', { clientX: box.x + 5, clientY: box.y + y, bubbles: true })); \
         return at",
        &[],
    );
    assert!(wanted.as_i64().unwrap() > 0, "{wanted}");
    browser.wait(
        "an error is chosen",
        "const at = document.querySelector('li.target[aria-current]'); return at && at.classList.contains('error')",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
}

#[tokio::test]
async fn every_task_is_done_by_keys_alone() {
    let site = Site::new().await;
    let Some((browser, _)) = signed_in(&site) else { return };
    let broken = site.parse("active.txt", "tanf-active-2021-q1.txt");
    site.parse("active.txt", "tanf-active-2021-q1-corrected.txt");
    let on = |text: &str| {
        let script = format!("return document.querySelector('main').innerText.includes({})", json!(text));
        browser.wait(&format!("'{text}' stands there"), &script);
    };
    let follow = |text: &str| {
        browser.tab_to(text);
        browser.leave();
    };
    let at = |path: &str| {
        let script = format!("return (location.pathname + location.search).startsWith({})", json!(path));
        browser.wait(&format!("{path} is open"), &script);
    };
    // A run is looked for, and its log opened where the first error is.
    follow("Runs");
    at("/runs");
    browser.tab_to("q");
    browser.keys("active");
    browser.leave();
    at("/runs?");
    browser.wait("both runs are found", "return document.querySelectorAll('tbody tr').length === 2");
    browser.go(&browser.address().replace("/runs?", &format!("/runs/{broken}?")));
    follow("Open the log at the first error");
    at(&format!("/runs/{broken}/log"));
    browser.wait("it is chosen", "return document.querySelector('li.target[aria-current]') !== null");
    // From its problems to the line of one, and from a level to the lines of it.
    browser.wait("the kinds are there", "return document.querySelectorAll('.problems li a').length > 5");
    browser.tab_to("item 35 SEX is required and blank");
    browser.enter();
    let sex = "const at = document.querySelector('li.target[aria-current]'); return at && at.innerText.includes('SEX')";
    browser.wait("the line of that problem is chosen", sex);
    browser.keys("/");
    browser.tab_to("field");
    browser.keys("field=SEX");
    browser.enter();
    browser.wait("its line alone is there", "return document.querySelectorAll('.lines li').length === 1");
    // The file is held, and parsed again.
    browser.go(browser.address().split("/log").next().unwrap());
    follow("The file and its history");
    at("/files/");
    follow("Hold its logs …");
    browser.tab_to("why");
    browser.keys("asked for by counsel");
    follow("Hold them");
    at("/files/");
    on("Release the hold");
    follow("Parse it again …");
    at("/reparse?");
    browser.tab_to("why");
    browser.keys("new rules");
    follow("Parse them again");
    at("/reparses/");
    // The run that waits is cancelled.
    follow("Runs");
    on("queued");
    browser.run("document.querySelector('main').focus()", &[]);
    let waiting =
        site.desk.ok(&["runs", "--status", "queued", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    browser.go(&browser.address().replace("/runs", &format!("/runs/{waiting}")));
    follow("Cancel it …");
    at(&format!("/runs/{waiting}/cancel"));
    follow("Cancel it");
    on("taken out of the queue");
    follow("Sign out");
    browser.wait("the session is over", "return document.body.innerText.includes('You are signed out')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
}

#[tokio::test]
async fn the_viewer_is_used_by_keys_alone() {
    let site = Site::new().await;
    let Some((browser, origin)) = signed_in(&site) else { return };
    let script = site.desk.file(
        "lines.sh",
        "i=1; while [ $i -le 3000 ]; do l=info; [ $((i % 1000)) -ne 500 ] || l=error\n\
         echo '{\"level\":\"'$l'\",\"message\":\"this is number '$i'\"}'; i=$((i + 1)); done",
    );
    let run = parse(&site.desk, "many.txt", "x", &["--parser-for", &format!("tanf/*=sh {script}")]);
    browser.go(&format!("{origin}/runs/{run}/log"));
    browser.wait("the viewer is there", "return document.querySelector('.tools') !== null");
    let current = |what: &str, number: &str| {
        let script = format!(
            "const at = document.querySelector('li[aria-current]'); return at && at.innerText.includes('{number}') && \
             document.activeElement === at.firstElementChild"
        );
        browser.wait(what, &script);
    };
    browser.keys("e");
    current("the first error", "number 500");
    browser.keys("e");
    current("the second error", "number 1500");
    browser.keys("E");
    current("the first error again", "number 500");
    browser.keys("jjk");
    current("the line behind it", "number 501");
    browser.keys("G");
    browser.wait("the end", "return document.body.innerText.includes('number 3000')");
    browser.keys("g");
    browser.wait("the beginning", "return document.querySelector('#L1') !== null");
    browser.keys("?");
    browser.wait("the keys", "return document.querySelector('dialog[open]') !== null");
    browser.keys("\u{e00c}");
    browser.wait("no keys", "return document.querySelector('dialog') === null");
    browser.keys("/");
    browser.keys("number 2345\u{e007}");
    browser.wait(
        "the only line that matches",
        "return document.querySelectorAll('.lines li').length === 1 && document.body.innerText.includes('number 2345')",
    );
    assert!(browser.address().ends_with("?q=number+2345"), "{}", browser.address());
    // A range by shift-click is in the address, and that address opens it.
    browser.go(&format!("{origin}/runs/{run}/log?from=2000#L2010-L2012"));
    browser.wait("three lines are chosen", "return document.querySelectorAll('li.target').length === 3");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
}
