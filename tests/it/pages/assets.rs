//! What the pages load: little of it, from here alone, and known again by a browser.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Site;
use crate::support::skip::skip;

fn gzipped(bytes: &[u8]) -> usize {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap().len()
}

#[tokio::test]
async fn pages_load_at_most_30_kb_of_scripts_and_10_kb_of_style() {
    let site = Site::new().await;
    let (mut scripts, mut styles) = (0, 0);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let answer = site.get(&format!("/assets/{name}"));
        assert_eq!(answer.status, 200, "{name} is not served");
        let size = gzipped(&answer.body);
        match name.rsplit_once('.').unwrap().1 {
            "js" => scripts += size,
            "css" => styles += size,
            _ => {}
        }
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let elsewhere =
            ["https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
        assert!(elsewhere.iter().all(|word| !text.contains(word)), "{name} has what no asset may have");
        let tag = answer.header("etag").unwrap().to_owned();
        let again = site.request("GET", &format!("/assets/{name}"), &[("If-None-Match", &tag)], "");
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    assert!(scripts > 0 && scripts <= 30 << 10, "{scripts} bytes of scripts");
    assert!(styles > 0 && styles <= 10 << 10, "{styles} bytes of style");
    assert_eq!(site.get("/assets/../Cargo.toml").status, 404);
    assert_eq!(site.get("/assets/none.js").status, 404);
    site.served.stop();
}

#[test]
fn the_types_of_the_scripts_fit_together() {
    let Some(clients) = std::env::var_os("PARSELOG_TEST_CLIENTS") else {
        return skip("the compiler of TypeScript is not installed: see scripts/test-clients");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let scripts = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let scripts = scripts.filter(|path| path.extension().is_some_and(|ending| ending == "js"));
    let mut tsc = Command::new(Path::new(&clients).join("node/node_modules/.bin/tsc"));
    tsc.args(["--allowJs", "--checkJs", "--noEmit", "--strict", "false", "--ignoreConfig"]);
    tsc.args(["--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--module", "esnext"]);
    let said = tsc.args(["--moduleResolution", "bundler"]).args(scripts).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}
