//! `/problems`: which problems are the most frequent across runs, and when each was first and last seen.

use askama::Template;
use axum::Extension;
use axum::extract::{RawQuery, State};

use super::super::asker::Asker;
use super::super::error::{Answered, HttpError};
use super::super::state::Shared;
use super::page::{Frame, Paged, send};
use super::pairs;
use super::parts::{Grid, PageCell, PageSection};
use crate::desk::words::{category_name, counted, place_in_record};
use crate::record::Safe;
use crate::store::problem::{self, CountedProblems, ProblemFilter, ProblemKeys};

/// Most rows to show.
const MOST: i64 = 100;

#[derive(Debug, Template)]
#[template(path = "problems.html")]
struct ProblemsPage {
    frame: Frame,
    /// What can be counted by: its word in the address, what people read, and whether it is chosen.
    by: Vec<(&'static str, &'static str, bool)>,
    /// Name, label and value of each field that restricts.
    fields: Vec<(&'static str, &'static str, String)>,
    found: PageSection,
}

/// What can be counted by; the first unless somebody says otherwise.
const BY: [(&str, &str); 8] = [
    ("kind", "kind"),
    ("kind,state", "kind and state"),
    ("kind,period", "kind and period"),
    ("program", "program"),
    ("program,section", "program and section"),
    ("period", "period"),
    ("state", "state or tribe"),
    ("reparse", "reparse"),
];

const FIELDS: [(&str, &str); 5] = [
    ("program", "Program"),
    ("section", "Section"),
    ("year", "Fiscal year"),
    ("quarter", "Quarter"),
    ("state", "State or tribe"),
];

pub(super) async fn list(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Paged {
    let asked = pairs(query.unwrap_or_default().as_bytes());
    let value = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let chosen = value("by");
    let chosen = match &chosen {
        None => BY[0].0,
        Some(word) => {
            let known = BY.iter().find(|(known, _)| known == word);
            known
                .ok_or_else(|| {
                    HttpError::bad(format!("by: expected {}", BY.map(|(word, _)| word).join(" or ")))
                })?
                .0
        }
    };
    let filter = filter(&asker, &asked)?;
    let pool = &state.system.pool;
    let rows = problem::top(pool, keys(chosen), &filter, MOST).await?;
    let mut found =
        PageSection::new("found", "Most frequent").list(table(&rows, chosen), "No problem matches.");
    let uncounted = problem::count_uncounted(pool).await?.unsigned_abs();
    if uncounted > 0 {
        let logs = counted(uncounted, "archived log");
        found = found.say(format_args!("{logs} not counted yet: `parselog problems --backfill` does it."));
    }
    // A reader of some programs sees which of them this is.
    let shown = |name| if name == "program" { filter.program.clone() } else { value(name) };
    send(&ProblemsPage {
        frame: Frame::new(&asker, "Problems", "Problems across runs"),
        by: BY.map(|(word, text)| (word, text, word == chosen)).into(),
        fields: FIELDS.map(|(name, label)| (name, label, shown(name).unwrap_or_default())).into(),
        found,
    })
}

fn keys(by: &str) -> ProblemKeys {
    let has = |key| by.split(',').any(|word| word == key);
    ProblemKeys {
        kind: has("kind"),
        program: has("program"),
        section: has("section"),
        period: has("period"),
        state: has("state"),
        reparse: has("reparse"),
    }
}

/// What is counted. Somebody who reads some programs alone sees one of them at a time.
fn filter(asker: &Asker, asked: &[(String, String)]) -> Answered<ProblemFilter> {
    let mut filter = ProblemFilter { program: asker.programs().first().cloned(), ..ProblemFilter::default() };
    for (name, value) in asked {
        let number = || HttpError::bad(format!("{name}: '{}' is not a number", Safe(value)));
        match name.as_str() {
            "by" => {}
            "program" => filter.program = Some(value.to_lowercase()),
            "section" => filter.section = Some(value.to_lowercase()),
            "state" => filter.state = Some(value.clone()),
            "year" => filter.fiscal_year = Some(value.parse().map_err(|_| number())?),
            "quarter" => filter.fiscal_quarter = Some(value.parse().map_err(|_| number())?),
            _ => return Err(HttpError::bad(format!("unknown filter '{}'", Safe(name)))),
        }
    }
    if filter.program.as_ref().is_some_and(|program| !asker.may_read(program)) {
        return Err(HttpError::bad(format!("program: you may read {}", asker.programs().join(", "))));
    }
    Ok(filter)
}

fn table(rows: &[CountedProblems], by: &str) -> Grid {
    let keys = keys(by);
    let all = rows.first().map_or(0, |row| row.groups.unsigned_abs());
    let many = match rows.len() as u64 {
        shown if shown < all => format!("{shown} of {}", counted(all, "row")),
        _ => counted(all, "row"),
    };
    let mut columns = vec![">Problems", ">Runs", "First seen", "Last seen"];
    let names = [
        (keys.program, "Program"),
        (keys.section, "Section"),
        (keys.period, "Period"),
        (keys.state, "State or tribe"),
        (keys.reparse, "Reparse"),
        (keys.kind, "Kind"),
        (keys.kind, "Where"),
    ];
    columns.extend(names.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name));
    let mut grid = Grid::new(format!("{many}, the most frequent first; days are those of UTC"), &columns);
    for row in rows {
        let or_dash = |text: &Option<String>| {
            PageCell::text(text.as_deref().filter(|text| !text.is_empty()).unwrap_or("–"))
        };
        let period = row.fiscal_year.zip(row.fiscal_quarter);
        let reparse = match row.reparse_id {
            None | Some(0) => PageCell::text("submissions"),
            Some(id) => PageCell::link(id, format!("/reparses/{id}")),
        };
        let category = row.category.and_then(|category| u8::try_from(category).ok());
        let old = if row.deprecated == Some(true) { " (deprecated)" } else { "" };
        let place = [&row.record_type, &row.item, &row.field].map(|name| name.as_deref().unwrap_or_default());
        let cells = [
            (keys.program, or_dash(&row.program)),
            (keys.section, or_dash(&row.section)),
            (
                keys.period,
                PageCell::text(
                    period.map_or_else(String::new, |(year, quarter)| format!("{year} Q{quarter}")),
                ),
            ),
            (keys.state, or_dash(&row.state)),
            (keys.reparse, reparse),
            (keys.kind, PageCell::text(category.map(category_name).unwrap_or_default() + old)),
            (keys.kind, or_dash(&place_in_record(place))),
        ];
        let counts = [row.problems, row.runs].map(|count| PageCell::number(count.unsigned_abs()));
        let days = [row.first_seen, row.last_seen].map(PageCell::text);
        let cells = cells.into_iter().filter(|(is_there, _)| *is_there).map(|(_, cell)| cell);
        grid.row(counts.into_iter().chain(days).chain(cells));
    }
    grid
}
