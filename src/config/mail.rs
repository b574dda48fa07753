//! What an operator may set about mails.

use std::time::Duration;

use clap::Args;

use super::duration;

/// Mails about results and errors.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Mail")]
pub struct MailConfig {
    /// Mail server: `smtps://user:password@host:port`, or `smtp://…` for one that is encrypted by
    /// STARTTLS, with `?tls=none` behind it for none at all. Without one, no mail is queued or sent.
    #[arg(
        long,
        env = "PARSELOG_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub smtp_url: Option<String>,

    /// Address that the mails are from.
    #[arg(long, env = "PARSELOG_MAIL_FROM", value_name = "ADDRESS", global = true, hide_short_help = true)]
    pub mail_from: Option<String>,

    /// Addresses that are told of errors, separated by commas.
    #[arg(
        long,
        env = "PARSELOG_MAIL_ADMINS",
        value_delimiter = ',',
        value_name = "ADDRESS",
        global = true,
        hide_short_help = true
    )]
    pub mail_admins: Vec<String>,

    /// Put a link to the log into the mail to a submitter, which works for this long, a week at most;
    /// needs S3. Without it the mail names the run.
    #[arg(long, env = "PARSELOG_MAIL_LINKS", value_parser = duration, value_name = "TIME", global = true, hide_short_help = true)]
    pub mail_links: Option<Duration>,
}
