//! What a provider, a browser or somebody between them brings that opens no session.

use serde_json::json;

use super::{IdServer, begin, come_back, serve, session, sessions, sign_in};
use crate::http::{Client, wait_until};
use crate::support::{Desk, KeptPort};

#[tokio::test]
async fn an_id_token_that_is_wrong_in_anything_opens_no_session() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let mut served = serve(&desk, &provider);
    for (fault, why) in [
        ("nonce", "another nonce"),
        ("no-nonce", "another nonce"),
        ("aud", "InvalidAudience"),
        ("no-aud", "aud"),
        ("auds", "for others too"),
        ("azp", "for others too"),
        ("iss", "InvalidIssuer"),
        ("isss", "another issuer"),
        ("no-iss", "iss"),
        ("expired", "ExpiredSignature"),
        ("no-exp", "exp"),
        ("early", "clocks"),
        ("no-iat", "when it was issued"),
        ("nbf", "ImmatureSignature"),
        ("sub", "names nobody"),
        ("no-sub", "sub"),
        ("none", "the ID token"),
        ("hs256", "signed by HS256"),
        ("oct", "signed by HS256"),
        ("crit", "InvalidToken"),
        ("key", "InvalidSignature"),
        ("changed", "InvalidSignature"),
        ("kid", "no key of the provider"),
        ("jwk", "no key of the provider"),
        ("answer-iss", "another issuer answers"),
        ("answer-no-iss", "another issuer answers"),
        ("denied", "'access_denied'"),
    ] {
        provider.is_wrong(fault, &["admins"]);
        let answer = sign_in(&served, &provider);
        assert_eq!((answer.status, session(&answer)), (403, None), "{fault}: {}", answer.text());
        assert!(answer.text().contains("did not prove who you are"), "{fault}: {}", answer.text());
        let line = served.wait_for("a sign-in proved nothing");
        assert!(line.contains(why), "{fault}: {line}");
    }
    for fault in ["token", "failing"] {
        provider.is_wrong(fault, &["admins"]);
        let answer = sign_in(&served, &provider);
        assert_eq!((answer.status, session(&answer)), (503, None), "{fault}: {}", answer.text());
    }
    assert_eq!(sessions(&desk).await, 0);
    provider.is_wrong("", &["admins"]);
    assert!(session(&sign_in(&served, &provider)).is_some(), "the same without a fault does");
}

#[tokio::test]
async fn a_sign_in_ends_once_and_in_the_browser_that_began_it() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let served = serve(&desk, &provider);
    provider.is_wrong("careless", &["admins"]);
    let (mine, other) = (begin(&served, "%2F"), begin(&served, "%2F"));
    let back = provider.sign_in(&mine);
    let (_, query) = back.split_once('?').unwrap();
    let code = query.split('&').find(|pair| pair.starts_with("code=")).unwrap();
    let state = query.split('&').find(|pair| pair.starts_with("state=")).unwrap();
    // The state of another browser, none, twice, and a cookie that is none.
    for (path, cookie) in [
        (back.clone(), other.cookie.as_str()),
        (back.clone(), ""),
        (back.clone(), "parselog-1-sign-in=x"),
        (format!("/sign-in/done?{code}"), &mine.cookie),
        (format!("/sign-in/done?{code}&state="), &mine.cookie),
        (format!("/sign-in/done?{code}&{state}&{state}"), &mine.cookie),
    ] {
        let answer = come_back(&served, &path, cookie);
        assert_eq!((answer.status, session(&answer)), (400, None), "{path}: {}", answer.text());
    }
    // A code of somebody else's sign-in, which the provider gave for another verifier.
    let others = provider.sign_in(&other);
    let their_code = others.split(['?', '&']).find(|pair| pair.starts_with("code=")).unwrap();
    let answer = come_back(
        &served,
        &format!("/sign-in/done?{their_code}&{state}&iss={}", provider.issuer()),
        &mine.cookie,
    );
    assert_eq!((answer.status, session(&answer)), (403, None), "{}", answer.text());
    let answer = come_back(&served, &format!("/sign-in/done?{code}&{code}&{state}"), &mine.cookie);
    assert_eq!((answer.status, session(&answer)), (403, None), "{}", answer.text());
    assert_eq!(sessions(&desk).await, 0);

    let mut looks = Client::to(served.address);
    let cookie = &mine.cookie;
    looks
        .send(format!("HEAD {back} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(looks.head().unwrap().status, 404, "whoever only looks does not use it up");
    assert!(session(&come_back(&served, &back, &mine.cookie)).is_some());
    // This provider takes a code again and again, and we do not.
    let again = come_back(&served, &back, &mine.cookie);
    assert_eq!((again.status, session(&again), sessions(&desk).await), (410, None, 1), "{}", again.text());
    provider.is_wrong("", &["admins"]);
    let again = come_back(&served, &back, &mine.cookie);
    assert_eq!((again.status, session(&again), sessions(&desk).await), (403, None, 1), "{}", again.text());
}

#[tokio::test]
async fn a_sign_in_leads_to_no_other_site() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    let served = serve(&desk, &provider);
    provider.is_wrong("", &["admins"]);
    for to in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F.%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "",
    ] {
        let sent = begin(&served, to);
        let back = come_back(&served, &provider.sign_in(&sent), &sent.cookie);
        assert_eq!((back.status, back.header("location")), (303, Some("/")), "{to}");
    }
    // Nor by a cookie that somebody made up.
    let sent = begin(&served, "%2F");
    let forged = format!("{}.Ly9ldmlsLmV4YW1wbGU", sent.cookie.rsplit_once('.').unwrap().0);
    let back = come_back(&served, &provider.sign_in(&sent), &forged);
    assert_eq!((back.status, back.header("location")), (303, Some("/")));
}

#[tokio::test]
async fn a_provider_that_is_away_lets_nobody_in_and_stops_nothing_else() {
    let desk = Desk::new().await;
    let port = KeptPort::new();
    let away = format!("http://{}/realm", port.address());
    let options = ["--listen", "127.0.0.1:0", "--oidc-issuer", &away, "--oidc-client", "parselog"];
    let options = [&options[..], &["--oidc-roles", super::ROLES]].concat();
    let mut served =
        crate::http::Served::start_with(&desk, &options, &[("PARSELOG_OIDC_SECRET", super::SECRET)]);
    served.wait_for("the provider of sign-ins can't be used now");
    let begun = || Client::to(served.address).get("/sign-in", &[]);
    let refused = begun();
    assert_eq!((refused.status, refused.header("set-cookie")), (503, None));
    assert!(refused.text().contains("Nobody can sign in now"), "{}", refused.text());
    assert_eq!(Client::to(served.address).get("/health", &[]).status, 200);
    let provider = IdServer::start_at(port.number());
    provider.behave(&json!({"claims": {"preferred_username": "ann", "roles": ["ops"]}}));
    wait_until("it is asked again", || begun().status == 303);
    assert!(session(&sign_in(&served, &provider)).is_some());
    drop(provider);
    let sent = begin(&served, "%2F");
    let state = sent.to.split(['?', '&']).find(|pair| pair.starts_with("state=")).unwrap();
    let back = format!("/sign-in/done?code=x&{state}&iss={away}");
    let answer = come_back(&served, &back, &sent.cookie);
    assert_eq!((answer.status, session(&answer)), (503, None), "{}", answer.text());
}

#[tokio::test]
async fn a_provider_whose_document_is_not_its_own_is_not_asked_for_anybody() {
    let (desk, provider) = (Desk::new().await, IdServer::start());
    for (fault, why) in [
        ("document", "says that its issuer is https://id.example.org"),
        ("endpoint", "without https"),
        ("large", "more than"),
        ("html", "another document"),
        ("redirect", "302"),
    ] {
        provider.is_wrong(fault, &["admins"]);
        let mut served = serve(&desk, &provider);
        let line = served.wait_for("the provider of sign-ins can't be used now");
        assert!(line.contains(why), "{fault}: {line}");
        let refused = Client::to(served.address).get("/sign-in", &[]);
        assert_eq!((refused.status, refused.header("set-cookie")), (503, None), "{fault}");
    }
}
