//! `/audit`: who did what to which run, file or batch, and who read which log.

use axum::Extension;
use axum::extract::{RawQuery, State};
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::error::HttpError;
use super::super::state::Shared;
use super::page::{Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use crate::desk::lookup;
use crate::store::entry::{self, EntryFilter};

/// Entries on a page.
const ON_PAGE: i64 = 100;

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Paged {
    if !asker.programs().is_empty() {
        let why = "the audit log is about every program, and you see some programs alone";
        return Err(HttpError::new(axum::http::StatusCode::FORBIDDEN, why).into());
    }
    let pool = &state.system.pool;
    let query = query.unwrap_or_default();
    let mut filter = EntryFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        match &*name {
            "who" => filter.actor = Some(value.into_owned()),
            "what" => filter.entry = Some(value.into_owned()),
            "run" => filter.run = Some(lookup::find_run(pool, &value).await?.id),
            "before" => {
                let before = value.parse().map_err(|_| HttpError::bad("before: expected a number"))?;
                filter.before = Some(before);
            }
            _ => return Err(HttpError::bad("expected who, what, run or before").into()),
        }
    }
    let entries = entry::list(pool, &filter, ON_PAGE).await?;
    let mut grid = Grid::new("The latest first", &["At", "Who", "What", "About", "Detail"]);
    let link = |name: &str, value: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        format!("/audit?{}", query.append_pair(name, value).finish())
    };
    for one in &entries {
        let about = match (one.run_id, one.data_file_id, one.batch_id) {
            (Some(run), _, _) => PageCell::link(format_args!("run {run}"), format!("/runs/{run}")),
            (None, Some(file), _) => PageCell::link(format_args!("file {file}"), format!("/files/{file}")),
            (None, None, Some(batch)) => PageCell::text(format_args!("batch {batch}")),
            (None, None, None) => PageCell::text("–"),
        };
        grid.row([
            PageCell::time(one.at),
            PageCell::link(&one.actor, link("who", &one.actor)),
            PageCell::link(&one.entry, link("what", &one.entry)),
            about,
            PageCell::text(one.detail.as_deref().unwrap_or("–")).looking("long"),
        ]);
    }
    let mut page = Page::new(&asker, "Audit", "Audit");
    page.say("Nobody can change what stands here, and every reading of a log is among it.");
    let mut section = PageSection::new("entries", "Entries").list(grid, "No entry matches.");
    if let Some(last) = entries.last().filter(|_| entries.len() as i64 == ON_PAGE) {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "before"));
        next.append_pair("before", &last.id.to_string());
        section.links.push(PageCell::link("Older entries", format!("/audit?{}", next.finish())));
    }
    if filter != EntryFilter::default() {
        section.links.push(PageCell::link("All entries", "/audit"));
    }
    page.sections.push(section);
    send(&page)
}
