//! `parselog session`: who looks at the pages.

use anyhow::Result;
use chrono::Utc;
use clap::{Args, Subcommand};

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::{Common, Exit, show};
use crate::clock;
use crate::desk::session as desk;
use crate::store::{PgPool, WebSession, session};

/// List and revoke the sessions of people who look at the pages.
///
/// `parselog ui` makes a link that opens one. People who come through a proxy have none: the proxy speaks for them.
#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    what: SessionCommand,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO", global = true)]
    by: Option<String>,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List all sessions, and the links that nobody used yet.
    List(SessionListArgs),
    /// Revoke sessions or links: within seconds no server takes them any more.
    Revoke(SessionRevokeArgs),
}

#[derive(Debug, Args)]
struct SessionListArgs {
    /// Print one JSON object per session.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SessionRevokeArgs {
    /// Their numbers, as the list says
    #[arg(value_name = "ID", required = true)]
    ids: Vec<i64>,
}

impl SessionArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let by = self.by.unwrap_or_else(user);
        match self.what {
            SessionCommand::List(SessionListArgs { json }) => list(&pool, json).await?,
            SessionCommand::Revoke(SessionRevokeArgs { ids }) => {
                for id in ids {
                    desk::revoke(&pool, id, &by).await?;
                    show::line(format_args!("session {id} is revoked"))?;
                }
            }
        }
        Ok(Exit::Ok)
    }
}

async fn list(pool: &PgPool, json: bool) -> Result<()> {
    let sessions = session::list(pool).await?;
    if json {
        return sessions.iter().try_for_each(show::json);
    }
    if sessions.is_empty() {
        show::note("no sessions yet: `parselog ui` makes a link that opens one");
        return Ok(());
    }
    show::line(table(&sessions))
}

fn table(sessions: &[WebSession]) -> Table<8> {
    let mut table = Table::new(["ID", "WHO", "ROLE", "?PROGRAMS", "STATE", "@CREATED", "?@USED", "?BY"]);
    for session in sessions {
        table.row([
            &session.id,
            &session.name,
            &session.role,
            &session.programs.join(", "),
            &state(session),
            &clock::minute(session.created_at),
            &session.last_used_at.map(clock::minute).unwrap_or_default(),
            &session.created_by,
        ]);
    }
    table
}

fn state(session: &WebSession) -> &'static str {
    let is_over = session.expires_at.unwrap_or(session.link_expires_at) <= Utc::now();
    match (session.revoked_at, is_over, session.opened_at) {
        (Some(_), ..) => "revoked",
        (None, true, Some(_)) => "over",
        (None, true, None) => "never used",
        (None, false, Some(_)) => "open",
        (None, false, None) => "link",
    }
}
