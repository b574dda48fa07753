//! Who may see and do what with a browser: links, sessions, a proxy's word, and pages of elsewhere.

use parselog::http::{HttpRoute, RouteKind, routes};
use parselog::store::Role;
use serde_json::json;

use super::{Answer, Client, Served, wait_until};
use crate::architecture::files;
use crate::support::Desk;

/// What stands in the log of the stream that the tests read, and nowhere else.
const LOGGED: &str = "walrus-7215";

/// Headers of a browser that sends what a page of this site asks.
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

/// Headers of a browser that sends what a page of elsewhere asks.
const FOREIGN: [(&str, &str); 2] = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")];

/// A link for a session, as `parselog ui` prints it.
fn link(desk: &Desk, served: &Served, arguments: &[&str]) -> String {
    let address = served.address.to_string();
    let said = desk.ok(&[&["ui", "--no-open", "--listen", &address], arguments].concat());
    said.out.trim().strip_prefix(&format!("http://{address}")).expect("a link to this server").to_owned()
}

fn ask(served: &Served, route: &HttpRoute, headers: &[(&str, &str)]) -> Answer {
    let path = route.path.replace("{service}", "web").replace("{number}", "1").replace("{id}", "1");
    Client::to(served.address).request(route.method, &path, headers, b"").unwrap()
}

/// Opens a session by a new link, and returns its cookie.
fn sign_in(desk: &Desk, served: &Served, arguments: &[&str]) -> String {
    let answer = Client::to(served.address).get(&link(desk, served, arguments), &[]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.text());
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// A server whose stream `web` has one record.
fn serve(desk: &Desk, options: &[&str], headers: &[(&str, &str)]) -> Served {
    let served = Served::start_with(desk, &[&["--listen", "127.0.0.1:0"], options].concat(), &[]);
    let record = json!({"service": "web", "message": LOGGED}).to_string();
    assert_eq!(Client::to(served.address).post("/logs", headers, record.as_bytes()).status, 201);
    served
}

async fn audited(desk: &Desk, pattern: &str) -> Vec<(String, String)> {
    sqlx::query_as("select actor, detail from log_entry where entry like $1 order by id")
        .bind(pattern)
        .fetch_all(&desk.db.pool)
        .await
        .unwrap()
}

/// Expects a refusal with this status that tells nothing, and tells people how to get in.
fn assert_refused(route: &HttpRoute, answer: &Answer, statuses: &[u16], why: &str) {
    let (method, path) = (route.method, route.path);
    assert!(statuses.contains(&answer.status), "{method} {path}, {why}: {answer:?}");
    assert!(!answer.text().contains(LOGGED), "{method} {path}, {why}: {}", answer.text());
    if route.kind == RouteKind::Page {
        assert_kept_to_itself(answer);
        assert!(answer.status != 401 || answer.text().contains("parselog ui"), "{}", answer.text());
    }
}

/// Expects the headers of a page.
fn assert_kept_to_itself(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|known| known == part), "{policy} lacks {part}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn every_route_stands_in_the_table_and_few_ask_for_no_role() {
    let open: Vec<_> = routes().filter(|route| route.role.is_none()).map(|route| route.path).collect();
    let known = ["/health", "/ready", "/enter", "/sign-in", "/sign-in/done", "/assets/{name}"];
    assert!(open.iter().all(|path| known.contains(path)), "{open:?} ask for no role");
    for route in routes().filter(|route| !matches!(route.method, "GET" | "HEAD")) {
        let reads_only = route.kind == RouteKind::Page && route.role == Some(Role::Staff);
        assert!(!reads_only || route.path == "/leave", "staff may not act, but {} is theirs", route.path);
    }
    let mut all: Vec<_> = routes().map(|route| (route.method, route.path)).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a route stands there twice");
    // Nobody else makes a router, so none has another route.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    for file in files(&folder).iter().filter(|file| !file.ends_with("routes.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["Router::new", ".route(", ".nest(", ".route_service("] {
            assert!(!text.contains(word), "{} has {word}: routes stand in routes.rs", file.display());
        }
    }
}

#[tokio::test]
async fn nobody_without_an_identity_of_its_own_gets_a_byte_of_a_log() {
    let desk = Desk::new().await;
    let token = desk.ok(&["token", "create", "sender"]).out.trim().to_owned();
    let bearer = format!("Bearer {token}");
    let options = ["--trust-header", "X-User", "--trust-peers", "10.9.9.9", "--people", "*=admin"];
    let served = serve(&desk, &options, &[("Authorization", &bearer)]);
    let revoked = sign_in(&desk, &served, &[]);
    let id = desk.ok(&["session", "list", "--json"]).json()[0]["id"].to_string();
    desk.ok(&["session", "revoke", &id]);
    assert_eq!(desk.run(&["session", "revoke", &id]).code, 4);
    let expired = sign_in(&desk, &served, &[]);
    sqlx::query("update web_session set expires_at = now() where revoked_at is null")
        .execute(&desk.db.pool)
        .await
        .unwrap();
    let good = sign_in(&desk, &served, &[]);
    let logs = |cookie: &str| Client::to(served.address).get("/logs/web", &[("Cookie", cookie), OWN]).status;
    wait_until("the sessions are known to be over", || {
        [&revoked, &expired].iter().all(|over| logs(over) == 401)
    });
    assert_eq!(logs(&good), 200);
    let before = audited(&desk, "log-%").await.len();
    for route in routes().filter(|route| route.role.is_some()) {
        let refused = |why: &str, headers: &[(&str, &str)], statuses: &[u16]| {
            assert_refused(&route, &ask(&served, &route, headers), statuses, why);
        };
        refused("nothing", &[], &[401]);
        refused("a forged header", &[("X-User", "ann"), OWN], &[401]);
        refused("a cookie that is none", &[("Cookie", "parselog-1=x; a=b"), OWN], &[401]);
        let port = served.address.port();
        let made_up = format!("parselog-{port}={}", "0".repeat(64));
        refused("a made-up session", &[("Cookie", &made_up), OWN], &[401]);
        refused("an expired session", &[("Cookie", &expired), OWN], &[401]);
        refused("a revoked session", &[("Cookie", &revoked), OWN], &[401]);
        let cookie = ("Cookie", good.as_str());
        refused("a foreign origin", &[cookie, FOREIGN[0], FOREIGN[1]], &[403]);
        refused("a foreign page", &[cookie, FOREIGN[0], ("Sec-Fetch-Dest", "iframe")], &[403]);
        refused("another port", &[cookie, ("Sec-Fetch-Site", "same-site")], &[403]);
        refused("another port's origin", &[cookie, ("Origin", "http://localhost:3000")], &[403]);
        if route.kind == RouteKind::Page {
            refused("a token that sends", &[("Authorization", &bearer)], &[403]);
        }
        if route.method == "POST" {
            refused("no word of where it comes from", &[cookie], &[403]);
        }
    }
    assert_eq!(audited(&desk, "log-%").await.len(), before, "a refused reading is no reading");
}

#[tokio::test]
async fn a_link_works_once_and_for_a_while_and_its_session_reads_under_the_persons_name() {
    let desk = Desk::new().await;
    let served = serve(&desk, &[], &[]);
    let first = link(&desk, &served, &["--for", "bob", "--role", "operator"]);
    let open = |path: &str| Client::to(served.address).get(path, &[]);
    let mut looks = Client::to(served.address);
    looks.send(format!("HEAD {first} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(looks.head().unwrap().status, 404, "whoever only looks does not use it up");
    let answer = open(&first);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.contains("Max-Age=43200"), "{cookie}");
    assert_kept_to_itself(&answer);
    for used in [first.as_str(), "/enter?link=x", "/enter?link="] {
        let answer = open(used);
        assert!([404, 410].contains(&answer.status) && answer.header("set-cookie").is_none(), "{answer:?}");
        assert!(answer.text().contains("parselog ui"));
    }
    let late = link(&desk, &served, &[]);
    sqlx::query("update web_session set link_expires_at = now()").execute(&desk.db.pool).await.unwrap();
    assert_eq!(open(&late).status, 410);

    let cookie = ("Cookie", cookie.split(';').next().unwrap());
    let read = Client::to(served.address).get("/logs/web", &[cookie, OWN]);
    assert!(read.status == 200 && read.text().contains(LOGGED));
    let reads = audited(&desk, "log-read").await;
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert_eq!(reads[0].0, "bob");
    assert!(reads[0].1.contains("the stream of web") && reads[0].1.contains("session 1 from 127.0.0.1"));

    wait_until("its use is noted", || {
        !desk.ok(&["session", "list", "--json"]).json().last().unwrap()["last_used_at"].is_null()
    });
    let left = Client::to(served.address).post("/leave", &[cookie, OWN], b"");
    assert!(left.status == 200 && left.header("set-cookie").unwrap().contains("Max-Age=0"), "{left:?}");
    let again = Client::to(served.address).post("/leave", &[cookie, OWN], b"");
    assert_eq!(again.status, 401);
    let entries = audited(&desk, "%-created").await;
    assert_eq!(entries[0], ("ann".to_owned(), "session 1 for bob, role operator".to_owned()));
    assert_eq!(audited(&desk, "session-revoked").await.len(), 1);
    // Neither the link nor the cookie is anywhere.
    let shown = format!("{entries:?}{}", desk.ok(&["session", "list"]).out);
    assert!(!shown.contains(first.rsplit_once('=').unwrap().1), "{shown}");
    assert_eq!(desk.run(&["ui", "--role", "ingest", "--site", "http://localhost:8005"]).code, 2);
    let nobody = desk.run(&["ui", "--listen", "127.0.0.1:1"]);
    assert!(nobody.code == 2 && nobody.err.contains("parselog serve"), "{}", nobody.err);
}

#[tokio::test]
async fn a_proxys_word_counts_from_its_peers_and_programs_need_a_token_then() {
    let desk = Desk::new().await;
    let token = desk.ok(&["token", "create", "sender"]).out.trim().to_owned();
    let bearer = format!("Bearer {token}");
    let people = "ann=admin, bob=staff:tanf+ssp";
    let options = ["--trust-header", "X-User", "--trust-peers", "127.0.0.0/8", "--people", people];
    let served = serve(&desk, &options, &[("Authorization", &bearer)]);
    let get = |headers: &[(&str, &str)]| Client::to(served.address).get("/logs/web", headers);
    let read = get(&[("X-User", "ann"), OWN]);
    assert!(read.status == 200 && read.text().contains(LOGGED), "{read:?}");
    assert_eq!(audited(&desk, "log-read").await[0].0, "ann");
    for (headers, status) in [
        (&[][..], 401),
        (&[("X-User", "eve")], 403),
        (&[("X-User", "bob")], 403),
        (&[("X-User", "")], 400),
        (&[("X-User", "ann"), ("X-User", "eve")], 400),
        (&[("X-User", "ann"), FOREIGN[0]], 403),
    ] {
        let answer = get(headers);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        assert!(!answer.text().contains(LOGGED));
    }
    // A site with https has a proxy too, which only speaks TLS and knows nobody.
    let behind = ["--listen", "127.0.0.1:0", "--site", "https://logs.example.org"];
    let behind = Served::start_with(&desk, &behind, &[]);
    let read = |headers: &[(&str, &str)]| Client::to(behind.address).get("/logs", headers).status;
    assert_eq!((read(&[]), read(&[("Authorization", &bearer)])), (401, 403), "a sender may not read");
    let alone = desk.run(&["serve", "--listen", "127.0.0.1:0", "--trust-header", "X-User"]);
    assert!(alone.code == 2 && alone.err.contains("--trust-peers"), "{}", alone.err);
}

#[tokio::test]
async fn a_token_ends_when_it_says_and_a_higher_role_reads() {
    let desk = Desk::new().await;
    let create =
        |arguments: &[&str]| desk.ok(&[&["token", "create"], arguments].concat()).out.trim().to_owned();
    let short = create(&["short", "--role", "staff", "--expires", "30d"]);
    let high = create(&["high", "--role", "admin"]);
    let bound = create(&["bound", "--role", "staff", "--program", "tanf"]);
    for wrong in [&["x", "--expires", "0s"][..], &["x", "--expires", "11y"]] {
        assert_eq!(desk.run(&[&["token", "create"], wrong].concat()).code, 2);
    }
    assert_eq!(desk.run(&["token", "create", "x", "--role", "operator", "--program", "tanf"]).code, 2);
    let served = Served::start_with(&desk, &["--listen", "0.0.0.0:0"], &[]);
    let get = |token: &str| {
        let bearer = format!("Bearer {token}");
        Client::to(served.address).get("/logs", &[("Authorization", &bearer)]).status
    };
    assert_eq!((get(&short), get(&high), get(&bound)), (200, 200, 403));
    let bearer = format!("Bearer {high}");
    let sent =
        Client::to(served.address).post("/logs", &[("Authorization", &bearer)], b"{\"message\":\"x\"}");
    assert_eq!(sent.status, 403, "only a sender sends");
    sqlx::query("update token set expires_at = now() where expires_at > now() + interval '29 days'")
        .execute(&desk.db.pool)
        .await
        .unwrap();
    wait_until("the token is over", || get(&short) == 401);
    let row = |name: &str| {
        let rows = desk.ok(&["token", "list", "--json"]).json();
        rows.into_iter().find(|row| row["name"] == name).unwrap()
    };
    wait_until("its use is noted", || !row("high")["last_used_at"].is_null());
    assert_eq!((&row("bound")["programs"], row("high")["expires_at"].is_null()), (&json!(["tanf"]), true));
}

#[tokio::test]
async fn a_reading_that_can_not_be_audited_answers_nothing() {
    let desk = Desk::new().await;
    let served = serve(&desk, &[], &[]);
    let cookie = sign_in(&desk, &served, &[]);
    sqlx::raw_sql("alter table log_entry rename to away").execute(&desk.db.pool).await.unwrap();
    for route in routes().filter(|route| route.method == "GET" && route.path.contains("/logs")) {
        for headers in [&[][..], &[("Cookie", cookie.as_str()), OWN]] {
            assert_refused(&route, &ask(&served, &route, headers), &[500, 503], "no audit log");
        }
    }
    sqlx::raw_sql("alter table away rename to log_entry").execute(&desk.db.pool).await.unwrap();
    let read = Client::to(served.address).get("/logs/web", &[]);
    assert!(read.status == 200 && read.text().contains(LOGGED));
    assert_eq!(audited(&desk, "log-read").await.len(), 1, "one entry for one reading");
}
