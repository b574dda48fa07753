//! `parselog token`: who may send and read over HTTP from other machines.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::{Common, Exit, show};
use crate::clock;
use crate::config::{name, period};
use crate::desk::token::{self as desk, TokenRequest};
use crate::ids::ServiceName;
use crate::record::Safe;
use crate::store::{PgPool, Role, Token, token};

/// Create, list and revoke tokens for HTTP.
///
/// Whoever asks from another machine needs one: `Authorization: Bearer TOKEN`, or as the password of any user.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    what: TokenCommand,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO", global = true)]
    by: Option<String>,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a token and print it, this once.
    Create(CreateArgs),
    /// List all tokens, without their secrets.
    List(ListArgs),
    /// Revoke a token: within seconds no server takes it any more.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// A name for it
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it allows: ingest (to send records), staff (to read what was logged), operator (also to act) or admin
    /// (also to see who did what).
    #[arg(long, default_value = "ingest", value_name = "ROLE")]
    role: Role,
    /// The only stream that it may send to; repeatable. What it sends without a service goes to the first.
    #[arg(long, value_name = "SERVICE")]
    stream: Vec<String>,
    /// The only program whose runs it shows; repeatable, for the role staff.
    #[arg(long, value_name = "PROGRAM", value_parser = name)]
    program: Vec<String>,
    /// How long it works, such as 30d; without this, until it is revoked.
    #[arg(long, value_name = "TIME", value_parser = period)]
    expires: Option<Duration>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object per token.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

impl TokenArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let by = self.by.unwrap_or_else(user);
        match self.what {
            TokenCommand::Create(CreateArgs { name, role, stream, program, expires }) => {
                let streams = stream.iter().map(|text| ServiceName::of(text)).collect();
                let request = TokenRequest { name, role, streams, programs: program, life: expires, by };
                let created = desk::create(&pool, &request).await?;
                show::line(created.expose_secret())?;
            }
            TokenCommand::List(ListArgs { json }) => list(&pool, json).await?,
            TokenCommand::Revoke(RevokeArgs { name }) => {
                desk::revoke(&pool, &name, &by).await?;
                show::line(format_args!("token '{}' is revoked", Safe(&name)))?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn list(pool: &PgPool, json: bool) -> Result<()> {
    let tokens = token::list(pool).await?;
    if json {
        return tokens.iter().try_for_each(show::json);
    }
    if tokens.is_empty() {
        show::note("no tokens yet");
        return Ok(());
    }
    show::line(table(&tokens))
}

fn table(tokens: &[Token]) -> Table<9> {
    let mut table = Table::new([
        "NAME",
        "ROLE",
        "~STREAMS",
        "?PROGRAMS",
        "@CREATED",
        "?BY",
        "?@USED",
        "?@EXPIRES",
        "?@REVOKED",
    ]);
    for token in tokens {
        let streams = if token.streams.is_empty() && token.role == Role::Ingest {
            "all".to_owned()
        } else {
            token.streams.join(", ")
        };
        table.row([
            &token.name,
            &token.role,
            &streams,
            &token.programs.join(", "),
            &clock::minute(token.created_at),
            &token.created_by,
            &token.last_used_at.map(clock::minute).unwrap_or_default(),
            &token.expires_at.map(clock::minute).unwrap_or_default(),
            &token.revoked_at.map(clock::minute).unwrap_or_default(),
        ]);
    }
    table
}
