//! A stream in a browser: what comes appears by itself and moves nobody, and a record has a link that opens it.

use serde_json::json;

use super::signed_in;
use crate::pages::Site;

fn send(site: &Site, records: std::ops::Range<usize>) {
    let record = |nth: usize| {
        let level = if nth % 500 == 250 { "error" } else { "info" };
        json!({"service": "web", "level": level, "message": format!("this is number {nth}")})
    };
    let records: Vec<_> = records.map(record).collect();
    assert_eq!(site.served.post("/logs", "application/json", json!(records).to_string()).status, 201);
}

#[tokio::test]
async fn records_appear_by_themselves_and_each_has_a_link_that_opens_it() {
    let site = Site::new().await;
    let Some((browser, origin)) = signed_in(&site) else { return };
    send(&site, 0..1_000);
    browser.go(&format!("{origin}/streams/web"));
    browser.wait("the viewer is there", "return document.querySelector('.tools') !== null");
    let last = |number: usize| {
        format!(
            "const all = document.querySelectorAll('.lines li'); return all[all.length - 1].innerText.includes('number {number}') && all.length <= 450"
        )
    };
    browser.wait("the latest record", &last(999));
    send(&site, 1_000..1_300);
    browser.wait("what came", &last(1_299));
    let is_at_end = "const box = document.querySelector('.lines'); \
        return box.scrollHeight - box.scrollTop - box.clientHeight < 5";
    browser.wait("it follows", is_at_end);
    // Somebody reads an error further up, and what comes does not move it.
    browser.keys("E");
    let current = "const at = document.querySelector('li[aria-current]'); \
        return at && document.activeElement === at.firstElementChild && at.innerText.includes('number 1250')";
    browser.wait("the error before", current);
    let place = "return Math.round(document.querySelector('li[aria-current]').getBoundingClientRect().top)";
    let before = browser.run(place, &[]);
    send(&site, 1_300..1_310);
    browser.wait("what came behind it", "return document.body.innerText.includes('number 1309')");
    assert_eq!(browser.run(place, &[]), before);
    browser.keys("E");
    browser.wait(
        "an error that was not there",
        "return document.querySelector('li[aria-current]').innerText.includes('number 750')",
    );
    let permalink = browser.address();
    browser.keys("g");
    browser
        .wait("the beginning", "return document.querySelector('.lines li').innerText.includes('number 0')");
    browser.keys("G");
    browser.wait("the end", &last(1_309));
    browser.keys("/number 777\u{e007}");
    browser.wait("what matches", "return document.querySelectorAll('.lines li').length === 1 && document.querySelector('.lines li').innerText.includes('number 777')");
    browser.go("about:blank");
    browser.go(&permalink);
    browser.wait(
        "the record of the permalink",
        "const at = document.querySelector('li.target[aria-current]'); return at && at.innerText.includes('number 750')",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    site.served.stop();
}
