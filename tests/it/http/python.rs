//! Python's own handlers, and its requests.

use std::process::Command;

use super::{Served, spooled};
use crate::support::Desk;

fn python(served: &Served, script: &str) {
    let output =
        Command::new("python3").args(["-I", "-c", script]).arg(served.address.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_stock_http_handler_is_understood_and_told_once_to_use_post() {
    let desk = Desk::new().await;
    let mut served = Served::start(&desk);
    python(
        &served,
        r#"
import logging, logging.handlers, sys
log = logging.getLogger("shop.cart")
log.addHandler(logging.handlers.HTTPHandler(sys.argv[1], "/logs", method="POST"))
log.error("%s has %d rows, %.1f%%", "wörld", 3, 99.5)
log.error("100% sure")
log.error("%(who)s did it", {"who": "she"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed with %r", "x'y")
"#,
    );
    let records = spooled(&desk, "shop");
    let said: Vec<_> = records.iter().map(|record| record.message.as_str()).collect();
    assert_eq!(said, ["wörld has 3 rows, 99.5%", "100% sure", "she did it", "failed with \"x'y\""]);
    assert!(records.iter().all(|record| record.target == "shop.cart" && record.level.to_string() == "ERROR"));
    python(
        &served,
        r#"
import logging, logging.handlers, sys
log = logging.getLogger("shop")
log.addHandler(logging.handlers.HTTPHandler(sys.argv[1], "/logs"))
log.error("by get")
log.error("by get")
"#,
    );
    let told =
        |served: &mut Served| served.said().iter().filter(|line| line.contains("method=\"POST\"")).count();
    served.wait_for("method=\"POST\"");
    assert_eq!(told(&mut served), 1);
    assert_eq!(spooled(&desk, "shop").len(), 4);
}
