//! `parselog notices`: who was told what, and what could not be told.

use anyhow::Result;
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::value::{TARGET_HELP, limit};
use super::{Common, Exit, show};
use crate::clock;
use crate::desk::lookup::find_run;
use crate::desk::words::counted;
use crate::notify::IN_DOUBT;
use crate::store::Notice;
use crate::store::notice::{self, NoticeFilter};

/// Show who was told what by mail or webhook, the latest first.
///
/// If a mail stays `sending` for long, the mail server may or may not have taken it: parselog does not
/// send it again by itself. A call of a webhook is made again.
#[derive(Debug, Args)]
pub(super) struct NoticesArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: Option<String>,
    /// Only notices that were not delivered.
    #[arg(long)]
    unsent: bool,
    /// Deliver these again: those that were given up, and those that may or may not have been taken.
    #[arg(long, requires = "unsent")]
    retry: bool,
    /// Never deliver these.
    #[arg(long, requires = "unsent", conflicts_with = "retry")]
    dismiss: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Most notices to show.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl NoticesArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let run = match &self.target {
            Some(text) => Some(find_run(&pool, text).await?.id),
            None => None,
        };
        let filter = NoticeFilter { run, unsent: self.unsent, limit: Some(self.limit) };
        let notices = notice::list(&pool, &filter).await?;
        if self.retry || self.dismiss {
            let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
            let by = self.by.unwrap_or_else(user);
            let settled = notice::settle(&pool, &ids, self.retry, IN_DOUBT, &by).await?;
            let done = if self.retry { "to be delivered again" } else { "dismissed" };
            show::line(format_args!("{} {done}", counted(settled, "notice")))?;
        } else if self.json {
            notices.iter().try_for_each(show::json)?;
        } else if notices.is_empty() {
            show::note("no notices match");
        } else {
            show::line(table(&notices))?;
        }
        Ok(Exit::Ok)
    }
}

fn table(notices: &[Notice]) -> Table<8> {
    let mut table =
        Table::new([">ID", "@QUEUED", "STATE", "?@SENT", "KIND", "#ABOUT", "~ADDRESS", "~?ERROR"]);
    for notice in notices {
        let about = match (notice.run_id, notice.batch_id, &notice.service) {
            (Some(run), ..) => run.to_string(),
            (None, Some(batch), _) => batch.to_string(),
            (None, None, service) => format!("service:{}", service.as_deref().unwrap_or_default()),
        };
        table.row([
            &notice.id,
            &clock::minute(notice.created_at),
            &notice.state,
            &notice.sent_at.map(clock::minute).unwrap_or_default(),
            &notice.kind,
            &about,
            &notice.address,
            &notice.last_error.as_deref().unwrap_or_default(),
        ]);
    }
    table
}
