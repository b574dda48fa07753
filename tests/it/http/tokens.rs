//! Who may send and read from other machines.

use parselog::http::{RouteKind, routes};
use parselog::store::Role;
use rustix::process::Signal;
use serde_json::json;

use super::{Answer, Client, Served, spooled, wait_until};
use crate::support::Desk;

/// A server that every machine can reach, so that every request needs a token.
fn open_to_all(desk: &Desk) -> Served {
    Served::start_with(desk, &["--listen", "0.0.0.0:0"], &[])
}

fn create(desk: &Desk, arguments: &[&str]) -> String {
    desk.ok(&[&["token", "create"], arguments].concat()).out.trim().to_owned()
}

fn ask(served: &Served, method: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
    let headers = [("Authorization", bearer.as_str())];
    let headers = if token.is_some() { &headers[..] } else { &[] };
    Client::to(served.address).request(method, path, headers, body.as_bytes()).unwrap()
}

#[tokio::test]
async fn no_route_answers_without_the_role_that_it_needs() {
    let desk = Desk::new().await;
    let (ingest, staff) = (create(&desk, &["sender"]), create(&desk, &["reader", "--role", "staff"]));
    let served = open_to_all(&desk);
    let mut checked = 0;
    for route in routes().filter(|route| route.kind == RouteKind::Api) {
        let path = route.path.replace("{service}", "web");
        let status = |token: Option<&str>| ask(&served, route.method, &path, token, "").status;
        let (needed, other) = match route.role {
            None => {
                assert_eq!(status(None), 200, "{path}");
                continue;
            }
            Some(Role::Ingest) => (&ingest, &staff),
            Some(_) => (&staff, &ingest),
        };
        let other_end = if needed.ends_with('0') { '1' } else { '0' };
        let altered = format!("{}{other_end}", &needed[..needed.len() - 1]);
        for wrong in [None, Some(""), Some("parselog_1_"), Some("parselog_999_x"), Some(altered.as_str())] {
            let answer = ask(&served, route.method, &path, wrong, "");
            assert_eq!(answer.status, 401, "{} {path} {wrong:?}", route.method);
            assert!(answer.header("www-authenticate").is_some());
        }
        assert_eq!(status(Some(other)), 403, "{} {path}", route.method);
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} routes need a role");
}

#[tokio::test]
async fn a_token_for_some_streams_sends_to_no_other_one() {
    let desk = Desk::new().await;
    let token = create(&desk, &["web", "--stream", "web", "--stream", "worker"]);
    let served = open_to_all(&desk);
    let body =
        json!([{"service": "worker", "message": "a"}, {"message": "b"}, {"service": "bank", "message": "c"}]);
    let answer = ask(&served, "POST", "/logs", Some(&token), &body.to_string());
    assert_eq!(
        (answer.status, &answer.json()["stored"], &answer.json()["rejected"]),
        (201, &json!(2), &json!(1))
    );
    let said = |service| spooled(&desk, service).into_iter().map(|record| record.message).collect::<Vec<_>>();
    assert_eq!(
        (said("worker"), said("web"), said("bank").len()),
        (vec!["a".to_owned()], vec!["b".to_owned()], 0)
    );
    assert!(spooled(&desk, "_rejected")[0].message.contains("'bank'"));
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_seconds_and_no_secret_is_ever_shown() {
    let desk = Desk::new().await;
    let token = create(&desk, &["web"]);
    let again = desk.run(&["token", "create", "web"]);
    assert!(again.code == 1 && again.err.contains("'web' is in use"), "{}", again.err);
    let mut served = open_to_all(&desk);
    let send = || ask(&served, "POST", "/logs", Some(&token), r#"{"message":"x"}"#).status;
    assert_eq!(send(), 201);
    desk.ok(&["token", "revoke", "web"]);
    wait_until("the token is refused", || send() == 401);
    assert_eq!(desk.run(&["token", "revoke", "web"]).code, 4);
    create(&desk, &["web", "--role", "staff"]);
    let rows = desk.ok(&["token", "list", "--json"]).json();
    assert_eq!((rows.len(), &rows[0]["role"], &rows[1]["revoked_by"]), (2, &json!("staff"), &json!("ann")));
    let entries: Vec<(String, String)> =
        sqlx::query_as("select entry, detail from log_entry where entry like 'token-%' order by id")
            .fetch_all(&desk.db.pool)
            .await
            .unwrap();
    let codes: Vec<&str> = entries.iter().map(|(entry, _)| entry.as_str()).collect();
    assert_eq!(codes, ["token-created", "token-revoked", "token-created"]);

    served.signal(Signal::TERM);
    served.child.wait().unwrap();
    let secret = token.rsplit_once('_').unwrap().1;
    let shown = [desk.ok(&["token", "list"]).out, format!("{rows:?}{entries:?}"), served.said().join("\n")];
    assert!(shown.iter().all(|text| !text.contains(secret)));
}
