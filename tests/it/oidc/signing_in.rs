//! What a sign-in gives, where it ends, and who has no access.

use serde_json::json;

use super::{IdServer, SECRET, begin, come_back, serve, session, sessions, sign_in};
use crate::http::{Client, wait_until};
use crate::support::Desk;

/// Headers of a browser that asks from a page of this site.
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

#[tokio::test]
async fn a_person_signs_in_at_the_provider_and_has_the_role_of_its_groups_until_it_leaves() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let served = serve(&desk, &provider);
    let get = |path: &str, cookie: &str| Client::to(served.address).get(path, &[("Cookie", cookie), OWN]);
    let stranger = get("/runs?q=a%26b", "");
    assert_eq!(stranger.status, 401);
    assert!(
        stranger.text().contains("<a href=\"/sign-in?to=%2Fruns%3Fq%3Da%2526b\">Sign in</a>"),
        "{}",
        stranger.text()
    );
    assert_eq!(Client::to(served.address).get("/logs", &[]).status, 401, "a proxy may be on this machine");

    provider.behave(
        &json!({"claims": {"preferred_username": "ann@example.org", "sub": "a-7", "roles": ["x", "admins"]}}),
    );
    let sent = begin(&served, "%2Fruns%3Fq%3Da%2526b");
    let back = come_back(&served, &provider.sign_in(&sent), &sent.cookie);
    assert_eq!((back.status, back.header("location")), (303, Some("/runs?q=a%26b")), "{}", back.text());
    let ann = session(&back).expect("a session");
    let taken = |name: &str, value: &str| {
        name == "set-cookie" && value.contains("-sign-in=; ") && value.contains("Max-Age=0")
    };
    assert!(back.headers.iter().any(|(name, value)| taken(&name.to_lowercase(), value)), "{back:?}");
    assert_eq!((get("/runs", &ann).status, get("/audit", &ann).status), (200, 200));
    let (actor, detail): (String, String) =
        sqlx::query_as("select actor, detail from log_entry where entry = 'session-opened'")
            .fetch_one(&desk.db.pool)
            .await
            .unwrap();
    let issuer = provider.issuer();
    assert_eq!(actor, "ann@example.org");
    assert_eq!(detail, format!("session 1, role admin, signed in at {issuer} as a-7 from 127.0.0.1"));

    provider.behave(&json!({"claims": {"preferred_username": "bob", "roles": "/tanf"}}));
    let bob = session(&sign_in(&served, &provider)).expect("a session");
    assert_eq!((get("/runs", &bob).status, get("/audit", &bob).status), (200, 403));
    assert_eq!(get("/logs", &bob).status, 403, "streams have records of all programs");
    let listed = desk.ok(&["session", "list", "--json"]).json();
    let row = listed.iter().find(|row| row["name"] == "bob").unwrap();
    assert_eq!(
        (&row["role"], &row["programs"], &row["created_by"]),
        (&json!("staff"), &json!(["tanf"]), &json!(issuer))
    );

    let left = Client::to(served.address).post("/leave", &[("Cookie", &ann), OWN], b"");
    assert!(left.status == 200 && left.text().contains("The provider may know you still"), "{}", left.text());
    assert_eq!((get("/runs", &ann).status, get("/runs", &bob).status), (401, 200));
    desk.ok(&["session", "revoke", &row["id"].to_string()]);
    wait_until("it is known to be over", || get("/runs", &bob).status == 401);
}

#[tokio::test]
async fn a_provider_may_sign_with_other_keys_and_want_the_secret_elsewhere() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let claims = json!({"preferred_username": "ann", "roles": ["ops"]});
    // What it wants is read from its document, once in a while.
    provider.behave(&json!({"fault": "post"}));
    let served = serve(&desk, &provider);
    provider.behave(&json!({"fault": "post", "claims": claims}));
    assert!(session(&sign_in(&served, &provider)).is_some());
    let served = {
        provider.behave(&json!({}));
        served.stop();
        serve(&desk, &provider)
    };
    for algorithm in ["RS256", "PS256", "ES256"] {
        provider.behave(&json!({"algorithm": algorithm, "claims": claims}));
        let answer = sign_in(&served, &provider);
        assert!(session(&answer).is_some(), "{algorithm}: {} {}", answer.text(), provider.log());
    }
    provider.behave(&json!({"fault": "rotate", "claims": claims}));
    wait_until("its new keys are read", || session(&sign_in(&served, &provider)).is_some());
}

#[tokio::test]
async fn whoever_the_settings_do_not_know_has_no_access_and_the_log_says_why() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let mut served = serve(&desk, &provider);
    for (claims, why) in [
        (
            json!({"preferred_username": "ann", "roles": ["x", "*"]}),
            "no value of its claim roles is in --oidc-roles",
        ),
        (json!({"preferred_username": "ann", "roles": []}), "no value of its claim roles"),
        (json!({"preferred_username": "ann"}), "see --oidc-role-claim"),
        (json!({"preferred_username": "ann", "roles": {"admins": 1}}), "see --oidc-role-claim"),
        (json!({"roles": ["admins"]}), "see --oidc-name-claim"),
        (json!({"preferred_username": "a\nb", "roles": ["admins"]}), "see --oidc-name-claim"),
    ] {
        provider.behave(&json!({"claims": claims}));
        let answer = sign_in(&served, &provider);
        assert_eq!((answer.status, session(&answer)), (403, None), "{claims}");
        assert!(answer.text().contains("You have no access here"), "{}", answer.text());
        let line = served.wait_for("a sign-in has no access");
        assert!(line.contains(why), "{claims}: {line}");
    }
    assert_eq!(sessions(&desk).await, 0);
}

#[tokio::test]
async fn a_provider_needs_all_of_its_settings_and_its_secret_is_shown_nowhere() {
    let desk = Desk::new().await;
    let issuer = ["--oidc-issuer", "https://id.example.org"];
    let client = ["--oidc-client", "parselog", "--oidc-roles", "a=staff"];
    let run = |options: &[&[&str]], secret: &str| {
        let arguments = [&["serve"][..], &options.concat()].concat();
        let mut command = desk.command(&arguments);
        command.env("PARSELOG_OIDC_SECRET", secret).env("PARSELOG_HTTP_LISTEN", "127.0.0.1:0");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.lines().count() == 1, "{said}");
        assert!(!said.contains("w/rd"), "{said}");
        said
    };
    assert!(run(&[&issuer], SECRET).contains("--oidc-issuer needs --oidc-client"));
    assert!(run(&[&issuer, &client], "").contains("--oidc-secret-file"));
    assert!(run(&[&client], SECRET).contains("need --oidc-issuer"));
    assert!(
        run(&[&issuer, &client, &["--oidc-secret-file", "/nowhere"]], "")
            .contains("--oidc-secret-file /nowhere")
    );
    assert!(run(&[&issuer, &client, &["--listen", "0.0.0.0:0"]], SECRET).contains("needs --site"));
    assert!(run(&[&["--oidc-issuer", "http://id.example.org"], &client], SECRET).contains("expected https"));
    assert!(run(&[&issuer, &client, &["--oidc-scopes", "profile"]], SECRET).contains("openid"));
    let shown = desk.command(&["config", "show"]).env("PARSELOG_OIDC_SECRET", SECRET).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown.lines().find(|line| line.starts_with("oidc-secret ")).expect(&shown);
    assert!(line.contains("(set)") && !shown.contains("w/rd"), "{line}");
}
