//! A submission from its arrival to its correction, by clicks alone, in at most a minute.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Browser, pictures, signed_in};
use crate::pages::Site;
use crate::support::sample_text;

fn submit(site: &Site, text: &str) -> String {
    let file = site.desk.file("active.txt", text);
    let said = site.desk.ok(&["submit", "--json", "--state", "WI", "--by", "ann", &file]).json();
    said[0]["run_id"].as_str().unwrap().to_owned()
}

fn picture(browser: &Browser, name: &str) {
    let Some(folder) = pictures() else { return };
    for (scheme, width, ending) in [("light", 1280, ""), ("dark", 1280, "-dark"), ("light", 420, "-narrow")] {
        browser.prefer(scheme);
        browser.size(width, 860);
        std::thread::sleep(Duration::from_millis(300));
        browser.picture(&folder.join(format!("{name}{ending}.png")));
    }
    browser.prefer("light");
    browser.size(1280, 860);
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn somebody_follows_a_submission_from_its_first_error_to_its_correction_by_clicks() {
    let site = Site::new().await;
    let Some((browser, origin)) = signed_in(&site) else { return };
    let began = Instant::now();
    // A broken file arrives while somebody looks at the runs, and its run appears by itself.
    assert!(browser.run("return document.body.innerText", &[]).as_str().unwrap().contains("No run matches"));
    let broken = submit(&site, &sample_text("tanf-active-2021-q1.txt"));
    browser.wait("the run appears", "return document.body.innerText.includes('queued')");
    let mut command = site.desk.command(&["worker"]);
    let worker = Worker(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    browser.click(&format!("[href=\"/runs/{broken}\"]"));
    browser.wait(
        "the verdict stands there",
        "return document.querySelector('h1').innerText.includes('Accepted') || document.querySelector('h1').innerText.includes('Rejected')",
    );
    browser.wait(
        "the problems are listed",
        "return document.querySelector('#problems + * td, #problems ~ div td') !== null",
    );
    picture(&browser, "run");
    // Its log opens at the first error.
    browser.click("Open the log at the first error");
    let error = browser.wait(
        "the first error is chosen",
        "const at = document.querySelector('li.target[aria-current]'); return at && location.hash && at.innerText",
    );
    assert!(error.as_str().unwrap().contains('✕') || error.as_str().unwrap().contains('▲'), "{error}");
    picture(&browser, "log");
    let permalink = browser.address();
    // The submitter corrects the file and submits it again.
    let mended = submit(&site, &sample_text("tanf-active-2021-q1-corrected.txt"));
    browser.click(".brand[href]");
    browser.wait("the second run is there", "return document.querySelectorAll('tbody tr').length >= 2");
    browser.click(&format!("[href=\"/runs/{mended}\"]"));
    browser.wait("it has ended", "return document.body.innerText.includes('What changed since the run before') && document.body.innerText.includes('Download the log')");
    browser
        .wait("it has a verdict", "return /Accepted|Rejected/.test(document.querySelector('h1').innerText)");
    browser.click("What changed since the run before");
    browser.wait("the difference is there", "return document.body.innerText.includes('disappeared')");
    picture(&browser, "diff");
    // Somebody else opens the permalink: it leads to its line.
    browser.go("about:blank");
    assert!(permalink.starts_with(&origin));
    browser.go(&permalink);
    let again = browser.wait(
        "the line of the permalink is chosen",
        "const at = document.querySelector('li.target[aria-current]'); return at && at.innerText",
    );
    assert_eq!(again, error);
    eprintln!("the story took {:?}", began.elapsed());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // Whoever leaves sees nothing any more.
    browser.click("[action='/leave'] button");
    browser.wait("the session is over", "return document.body.innerText.includes('You are signed out')");
    browser.go(&permalink);
    browser.wait("the log is closed", "return document.body.innerText.includes('You are not signed in')");
    drop(worker);
    site.served.stop();
}
