//! What runs parselog in production is true: the container, the units, the alerts, the dashboard, and their page.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::CommandFactory;
use parselog::cli::Cli;

use crate::architecture::files;
use crate::http::{Client, Served};
use crate::support::Desk;
use crate::support::skip::skip;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files that say how parselog is run.
fn pages() -> Vec<(String, String)> {
    let units = files(&root().join("ops/systemd")).into_iter();
    let units = units.map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
    let names = ["Dockerfile", "compose.yaml", "docs/OPERATIONS.md"].map(str::to_owned);
    names.into_iter().chain(units).map(|name| (name.clone(), read(&name))).collect()
}

/// The words of a text that begin like this.
fn words<'t>(text: &'t str, beginning: &'t str) -> impl Iterator<Item = &'t str> {
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(is_end).filter(move |word| word.starts_with(beginning))
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    words(text, "parselog_").collect()
}

#[test]
fn variables_that_operations_name_are_settings() {
    let cli = Cli::command();
    let commands = std::iter::once(&cli).chain(cli.get_subcommands());
    let known: BTreeSet<&str> = commands
        .flat_map(clap::Command::get_arguments)
        .filter_map(|option| option.get_env()?.to_str())
        .collect();
    let mut seen = 0;
    for (name, text) in pages() {
        for word in words(&text, "PARSELOG_").chain(words(&text, "DATABASE_URL")) {
            assert!(known.contains(word), "{name} names {word}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn the_container_has_the_toolchain_the_ports_the_folders_and_the_services_of_the_project() {
    let (dockerfile, compose) = (read("Dockerfile"), read("compose.yaml"));
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "{version}");
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={version}")), "{version}");
    // The port that the program listens at by default.
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let listen = serve.get_arguments().find(|option| option.get_long() == Some("listen")).unwrap();
    let port = listen.get_default_values()[0].to_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    assert!(dockerfile.contains(&format!("EXPOSE {port}\n")));
    for line in [
        "127.0.0.1:{port}:{port}",
        "PARSELOG_HTTP_LISTEN: 0.0.0.0:{port}",
        "PARSELOG_SITE: http://localhost:{port}",
    ] {
        let line = line.replace("{port}", &port);
        assert!(compose.contains(&line), "compose.yaml has no {line}");
    }
    // The spool is on a volume, whose folder the program takes for its home.
    let home = dockerfile.split("PARSELOG_HOME=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(dockerfile.contains(&format!("VOLUME {home}\n")) && compose.contains(&format!("home:{home}\n")));
    // One release of LocalStack and Postgres for tests and for this.
    let tests = read("localstack/compose.yaml");
    for image in ["localstack/localstack:", "postgres:"] {
        let named = |text: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("image: {image}")));
            line.unwrap_or_else(|| panic!("no image {image}")).to_owned()
        };
        assert_eq!(named(&compose), named(&tests), "{image}");
    }
    for path in compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")) {
        let path = path.split(':').next().unwrap();
        assert!(root().join(path).exists(), "compose.yaml mounts {path}");
    }
    let ignored = read(".dockerignore");
    for needed in ["src", "migrations", "examples", "benches", "build.rs", "Cargo.lock"] {
        assert!(!ignored.lines().any(|line| line == needed), ".dockerignore leaves out {needed}");
    }
}

#[test]
fn linters_find_nothing_in_the_files_of_the_containers() {
    let Some(clients) = std::env::var_os("PARSELOG_TEST_CLIENTS").map(PathBuf::from) else {
        return skip("the linters are not installed: see scripts/test-clients");
    };
    // The order of services and their keys is that of a story, not that of the alphabet.
    let orders = [
        "--disable-rule=service-dependencies-alphabetical-order",
        "--disable-rule=service-keys-order",
        "--disable-rule=services-alphabetical-order",
        "--disable-rule=top-level-properties-order",
        // It knows single quotes alone.
        "--disable-rule=require-quotes-in-ports",
        "--max-warnings=0",
    ];
    let hadolint = (clients.join("python/bin/hadolint"), vec!["Dockerfile"]);
    let compose = ["compose.yaml", "localstack/compose.yaml"];
    let dclint = (clients.join("node/node_modules/.bin/dclint"), [&orders[..], &compose].concat());
    for (linter, arguments) in [hadolint, dclint] {
        let said = Command::new(&linter).args(arguments).current_dir(root()).output();
        let said = said.unwrap_or_else(|error| panic!("{}: {error}", linter.display()));
        let [out, err] = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(said.status.success(), "{} says: {out}{err}", linter.display());
    }
}

#[test]
fn commands_that_containers_and_units_run_are_there() {
    let compose = read("compose.yaml");
    let commands =
        compose.lines().filter_map(|line| line.trim().strip_prefix("command: [\"")?.split('"').next());
    let mut seen: BTreeSet<String> = commands.map(str::to_owned).collect();
    for (_, text) in pages() {
        let started = text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/parselog "));
        seen.extend(started.map(str::to_owned));
    }
    assert_eq!(seen, ["migrate", "serve", "worker"].map(str::to_owned).into());
    for command in seen {
        let read = Cli::command().try_get_matches_from(["parselog", &command]);
        assert!(read.is_ok(), "{command}");
    }
}

#[test]
fn each_alert_is_explained_and_nothing_else() {
    let (alerts, page) = (read("ops/prometheus/alerts.yml"), read("docs/OPERATIONS.md"));
    let named: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `Parselog")?.split('`').next()).collect();
    let named: BTreeSet<&str> = named.iter().map(|name| name.strip_prefix("Parselog").unwrap()).collect();
    assert!(named.len() > 5);
    assert_eq!(named, explained);
}

#[tokio::test]
async fn metrics_have_bounded_labels_and_are_those_of_the_page_the_alerts_and_the_dashboard() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let mut client = Client::to(served.address);
    assert_eq!(client.post("/logs", &[], b"[{\"message\":\"a\"},7]").status, 201);
    for name in ["no-such-service", "and/no/such/route", "x?y=z"] {
        client.get(&format!("/logs/{name}"), &[]);
    }
    let answer = client.get("/metrics", &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        "parselog_database_up 1",
        "parselog_workers_alive 0",
        "parselog_queue_due_runs 0",
        "parselog_runs{status=\"crash\"} 0",
        "parselog_logs_kept_back{state=\"fallback\"} 0",
        "parselog_http_records_total{door=\"logs\",result=\"taken\"} 1",
        "parselog_http_records_total{door=\"logs\",result=\"refused\"} 1",
        "parselog_http_requests_total{method=\"POST\",route=\"/logs\",status=\"2xx\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "no {line} in\n{text}");
    }
    assert!(!text.contains("no-such"), "what is asked for makes a series:\n{text}");

    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = read("docs/OPERATIONS.md");
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `parselog_")?.split(['`', '{']).next()).collect();
    let listed: BTreeSet<String> = listed.iter().map(|name| format!("parselog_{name}")).collect();
    assert_eq!(listed, told.iter().map(|name| (*name).to_owned()).collect());
    for file in ["ops/prometheus/alerts.yml", "ops/grafana/parselog.json"] {
        let text = read(file);
        let strange: Vec<_> = metrics(&text).into_iter().filter(|name| !told.contains(name)).collect();
        assert!(strange.is_empty(), "{file} names {strange:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("ops/grafana/parselog.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 8);

    let Some(promtool) = promtool() else {
        skip("promtool is missing: scripts/setup test unpacks it");
        return;
    };
    let mut check = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let check = check.wait_with_output().unwrap();
    assert!(check.status.success() && check.stderr.is_empty(), "{check:?}");
    let alerts = ["check", "rules", "ops/prometheus/alerts.yml"];
    let rules = Command::new(&promtool).args(alerts).current_dir(root()).output().unwrap();
    assert!(rules.status.success(), "{rules:?}");
}

/// Prometheus's tool, installed or as scripts/setup unpacked it.
fn promtool() -> Option<PathBuf> {
    let unpacked = root().join("target/prometheus/usr/bin/promtool");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).map(|folder| folder.join("promtool"));
    folders.find(|tool| tool.is_file()).or_else(|| unpacked.is_file().then_some(unpacked))
}

#[tokio::test]
async fn a_scrape_without_the_database_says_so_and_still_counts() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    sqlx::raw_sql("alter table parse_file_meta rename to away").execute(&desk.db.pool).await.unwrap();
    let answer = Client::to(served.address).get("/metrics", &[]);
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\nparselog_database_up 0\n"), "{}", answer.text());
    assert!(answer.text().contains("\nparselog_spool_free_bytes "), "{}", answer.text());
    assert!(!answer.text().contains("parselog_workers_alive"), "a number that nobody knows is not told");
    sqlx::raw_sql("alter table away rename to parse_file_meta").execute(&desk.db.pool).await.unwrap();
}
