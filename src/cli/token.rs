//! `parselog token`: who may send and read over HTTP from other machines.

use anyhow::Result;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::{Common, Exit, clock, show};
use crate::config::name;
use crate::desk::token::{self as desk, TokenRequest};
use crate::ids::ServiceName;
use crate::store::{PgPool, Token, TokenRole, token};

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
    /// What it allows: ingest (to send records) or staff (to read what was logged).
    #[arg(long, default_value = "ingest", value_name = "ROLE")]
    role: TokenRole,
    /// The only stream that it may send to; repeatable. What it sends without a service goes to the first.
    #[arg(long, value_name = "SERVICE")]
    stream: Vec<String>,
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
            TokenCommand::Create(CreateArgs { name, role, stream }) => {
                let streams = stream.iter().map(|text| ServiceName::of(text)).collect();
                let created = desk::create(&pool, &TokenRequest { name, role, streams, by }).await?;
                show::line(created.expose_secret())?;
            }
            TokenCommand::List(ListArgs { json }) => list(&pool, json).await?,
            TokenCommand::Revoke(RevokeArgs { name }) => desk::revoke(&pool, &name, &by).await?,
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

fn table(tokens: &[Token]) -> Table<6> {
    let mut table = Table::new(["NAME", "ROLE", "~STREAMS", "@CREATED", "?BY", "?@REVOKED"]);
    for token in tokens {
        let streams = if token.streams.is_empty() && token.role == TokenRole::Ingest {
            "all".to_owned()
        } else {
            token.streams.join(", ")
        };
        table.row([
            &token.name,
            &token.role,
            &streams,
            &clock::minute(token.created_at),
            &token.created_by,
            &token.revoked_at.map(clock::minute).unwrap_or_default(),
        ]);
    }
    table
}
