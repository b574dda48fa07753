//! No piece of a password is in anything that is said.

use clap::Parser;
use parselog::config::{DatabaseConfig, MailConfig};
use parselog::store;
use secrecy::ExposeSecret as _;

use crate::support::{Desk, KeptPort, Said, TestDb};

/// The pieces of every password here.
const PIECES: [&str; 2] = ["sw0rd", "fish3"];

fn assert_hidden(text: &str, of: &str) {
    for piece in PIECES {
        assert!(!text.contains(piece), "{of} gave a piece of the password away: {text}");
    }
}

#[tokio::test]
async fn no_message_holds_a_piece_of_a_password_however_the_url_is_wrong() {
    let desk = Desk::new().await;
    let port = KeptPort::new();
    let closed = port.number();
    let mut urls = Vec::new();
    for between in ["@", "%", "/", " ", "?", "#", ":", "\\", "[", "%40", "%2F", "%ff", "&", "=", "/12?"] {
        urls.push(format!("postgres://u:sw0rd{between}fish3@127.0.0.1:{closed}/db"));
        urls.push(format!("postgres://u:12{between}fish3@127.0.0.1:{closed}/db"));
        urls.push(format!("postgres:///db?host=127.0.0.1&port={closed}&user=u&password=sw0rd{between}fish3"));
    }
    for wrong in [
        "mysql://u:sw0rd@host/db",
        "postgres://u:sw0rd@host:fish3/db",
        "postgres:/u:sw0rd@host/db",
        "sw0rd",
        "postgres://u@127.0.0.1/db?sslmode=sw0rd",
        "postgres://u@127.0.0.1/db?sw0rd=fish3",
        "postgres://u@127.0.0.1/db?passwort=sw0rd",
        "postgres://u@127.0.0.1/db?port=sw0rd",
    ] {
        urls.push(wrong.to_owned());
    }
    for url in urls {
        let error = store::connect(&url, "parselog-test").await.expect_err("there is no such database");
        assert_hidden(&format!("{error:#} {error:?}"), &url);
        assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}");
    }
    // The program with every line that any crate has to say.
    for url in [
        format!("postgres://u:sw0rd/fish3@127.0.0.1:{closed}/db"),
        format!("postgres://u:sw0rd%40fish3@127.0.0.1:{closed}/db?sw0rd=fish3"),
        format!("postgres://u:sw0rd%40fish3@127.0.0.1:{closed}/db"),
    ] {
        let by_flag = ["runs", "--global-level", "trace", "--database-url", &url];
        let in_environment = ["runs", "--global-level", "trace"];
        for mut command in [desk.command(&by_flag), desk.command(&in_environment)] {
            let said = Said::of(command.env("DATABASE_URL", &url).output().unwrap());
            assert_ne!(said.code, 0);
            assert_hidden(&format!("{}{}", said.out, said.err), &url);
        }
    }
}

#[tokio::test]
async fn a_password_that_postgres_refuses_is_in_no_message() {
    let db = TestDb::empty().await;
    // Trusted whatever the password, so refuse by the name of the database.
    for password in ["sw0rd%40fish3", "sw0rd%2Ffish3", "sw0rd%20fish3", "sw0rd%25fish3"] {
        let url = format!("{}&password={password}", db.url().replace("parselog_test_", "parselog_missing_"));
        let error = format!("{:#}", store::connect(&url, "parselog-test").await.unwrap_err());
        assert!(error.contains("does not exist"), "{error}");
        assert_hidden(&error, &url);
    }
}

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    mail: MailConfig,
}

#[test]
fn settings_that_are_printed_for_debugging_hide_their_secrets() {
    let settings = Settings::parse_from([
        "parselog",
        "--database-url=postgres://u:sw0rd@host/db",
        "--smtp-url=smtps://u:fish3@host",
    ]);
    assert_hidden(&format!("{settings:?}"), "Debug");
    assert_eq!(settings.database.database_url.unwrap().expose_secret(), "postgres://u:sw0rd@host/db");
    assert!(settings.mail.smtp_url.is_some());
}
