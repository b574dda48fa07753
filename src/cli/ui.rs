//! `parselog ui`: a link to the pages that works once, printed and, at a desk, opened.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;

use super::database::open_database;
use super::submit::user;
use super::{CliError, Common, Exit, open, show};
use crate::config::{SiteConfig, name};
use crate::desk::session::{Invitation, LINK_LIFE, invite};
use crate::http::ENTRY;
use crate::store::Role;

/// How long the server may take to be there.
const SERVER_TIME: Duration = Duration::from_secs(2);

/// Print a link to the pages of `parselog serve`, and open it in a browser if there is one.
///
/// The link works once and within ten minutes; it opens a session of twelve hours, which `parselog session` lists and
/// revokes. Pass it on to somebody else with --for.
#[derive(Debug, Args)]
pub(super) struct UiArgs {
    /// Whom the link is for; by default the user.
    #[arg(long = "for", value_name = "WHO", value_parser = name)]
    whom: Option<String>,
    /// What it allows: staff (to read), operator (also to act) or admin (also to see who did what).
    #[arg(long, default_value = "admin", value_name = "ROLE")]
    role: Role,
    /// The only program whose runs it shows; repeatable, for the role staff.
    #[arg(long, value_name = "PROGRAM", value_parser = name)]
    program: Vec<String>,
    /// Only print the link.
    #[arg(long)]
    no_open: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    site: SiteConfig,
}

impl UiArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let Some(origin) = self.site.origin(self.site.listen) else {
            return Err(CliError::usage(
                "nothing says where people open the pages: expected --site, such as https://logs.example.org",
            ));
        };
        let is_here = self.site.listen.ip().is_loopback() && !self.site.is_set();
        if is_here && !answers(&self.site).await {
            let listen = self.site.listen;
            return Err(CliError::usage(format!(
                "nothing listens at {listen}: start `parselog serve` first"
            )));
        }
        let by = self.by.unwrap_or_else(user);
        let is_own = self.whom.is_none();
        let request =
            Invitation { name: self.whom.unwrap_or_else(user), role: self.role, programs: self.program, by };
        let secret = invite(&open_database(common).await?, &request).await?;
        let link = format!("{}{ENTRY}?link={}", origin.as_str(), secret.expose_secret());
        show::line(&link)?;
        show::note(&format!("it works once, within {}", humantime::format_duration(LINK_LIFE)));
        if is_own && !self.no_open && show::is_terminal() {
            browse(common, &link)?;
        }
        Ok(Exit::Ok)
    }
}

async fn answers(site: &SiteConfig) -> bool {
    let reached = tokio::time::timeout(SERVER_TIME, TcpStream::connect(site.listen)).await;
    matches!(reached, Ok(Ok(_)))
}

/// Opens the link in a browser, if this is a desk with one. A command line is everybody's to read, so the browser
/// gets a file of this user's alone, which leads on to the link.
fn browse(common: &Common, link: &str) -> Result<()> {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some());
    let opener = match env::consts::OS {
        "macos" => "open",
        _ if has_display => "xdg-open",
        _ => return Ok(()),
    };
    let path = open::scratch_folder(common).join("ui.html");
    write_page(&path, link).context("failed to write the page that opens the link")?;
    // No browser is no failure: the link is printed.
    show::start_beside(opener, &path);
    Ok(())
}

fn write_page(path: &Path, link: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // An earlier one may have other permissions.
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A link has letters, digits and the signs of an address alone.
    write!(
        file,
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url={link}\">"
    )
}
