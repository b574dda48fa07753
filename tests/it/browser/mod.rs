//! The pages in a real browser: the story of a submission by clicks, accessibility, and a log of a gigabyte.

mod driver;
mod large;
mod rules;
mod story;
mod streams;

use std::path::PathBuf;

pub(crate) use driver::Browser;

use crate::pages::Site;
use crate::support::skip;

/// A browser that is signed in to a site; `None` where there is none and the test may be left out.
fn signed_in(site: &Site) -> Option<(Browser, String)> {
    let Some(browser) = Browser::open() else {
        skip::skip("there is no Chromium with chromedriver");
        return None;
    };
    let listen = format!("127.0.0.1:{}", site.served.address.port());
    let said = site.desk.ok(&["ui", "--no-open", "--listen", &listen, "--role", "admin"]);
    let link = said.out.trim();
    browser.go(link);
    let origin = link.split("/enter").next().unwrap().to_owned();
    browser.wait("somebody is signed in", "return location.pathname === '/runs'");
    Some((browser, origin))
}

/// Where pictures go, if somebody wants them.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PARSELOG_PICTURES").map(PathBuf::from)
}
