//! A page as a whole: its frame, its parts, and the page that says why something can't be shown.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};

use super::super::asker::Asker;
use super::super::error::HttpError;
use super::parts::PageSection;
use crate::clock;
use crate::record::Safe;
use crate::store::Role;

/// What every page has around its content.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) title: String,
    /// The entry of the menu that it belongs to.
    here: &'static str,
    /// The entries of the menu that the reader may follow.
    menu: Vec<MenuEntry>,
    /// Who reads; `None` on a page that says why another can't be shown.
    pub(super) reader: Option<String>,
    /// Whether the reader has a session to end.
    pub(super) may_leave: bool,
}

/// An entry of the menu: its name, where it leads, and who may follow it.
#[derive(Debug, Clone, Copy)]
struct MenuEntry {
    name: &'static str,
    href: &'static str,
    role: Role,
    /// Whether its page is about every program.
    is_of_all: bool,
}

const MENU: [MenuEntry; 6] = [
    MenuEntry { name: "Runs", href: "/runs", role: Role::Staff, is_of_all: false },
    MenuEntry { name: "Problems", href: "/problems", role: Role::Staff, is_of_all: false },
    MenuEntry { name: "Reparses", href: "/reparses", role: Role::Staff, is_of_all: true },
    MenuEntry { name: "Streams", href: "/streams", role: Role::Staff, is_of_all: true },
    MenuEntry { name: "Attention", href: "/attention", role: Role::Staff, is_of_all: true },
    MenuEntry { name: "Audit", href: "/audit", role: Role::Admin, is_of_all: true },
];

/// A page of sections.
#[derive(Debug, Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    /// The heading of the page.
    pub(super) heading: String,
    /// What it is, in sentences; the first is the state.
    pub(super) lead: Vec<String>,
    pub(super) sections: Vec<PageSection>,
    /// Seconds after which it is worth loading again; 0 for never.
    pub(super) again: u32,
}

/// An answer for a person.
pub(super) type Paged = Result<Response, PageError>;

/// Why a page can't be shown, as a page.
#[derive(Debug)]
pub(in super::super) struct PageError(HttpError);

impl Frame {
    /// The frame of a page for this reader.
    pub(super) fn new(asker: &Asker, here: &'static str, title: impl std::fmt::Display) -> Self {
        let sees_all = asker.programs().is_empty();
        let may_follow = |entry: &MenuEntry| asker.may(entry.role) && (sees_all || !entry.is_of_all);
        Self {
            title: Safe(title).to_string(),
            here,
            menu: MENU.into_iter().filter(may_follow).collect(),
            reader: Some(Safe(asker).to_string()),
            may_leave: asker.session().is_some(),
        }
    }

    /// The zone of the times on the page, as it is now.
    pub(super) fn zone(&self) -> String {
        clock::zone()
    }

    /// The menu: name, address, and whether this page belongs to it.
    pub(super) fn menu(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        self.menu.iter().map(|entry| (entry.name, entry.href, entry.name == self.here))
    }
}

impl Page {
    pub(super) fn new(asker: &Asker, here: &'static str, heading: impl std::fmt::Display) -> Self {
        Self::within(Frame::new(asker, here, heading))
    }

    fn within(frame: Frame) -> Self {
        Self { heading: frame.title.clone(), frame, lead: Vec::new(), sections: Vec::new(), again: 0 }
    }

    pub(super) fn say(&mut self, text: impl std::fmt::Display) {
        self.lead.push(Safe(text).to_string());
    }
}

/// Sends a page.
pub(super) fn send(page: &impl Template) -> Paged {
    send_as(StatusCode::OK, page)
}

fn send_as(status: StatusCode, page: &impl Template) -> Paged {
    let html = page.render().map_err(|error| anyhow::anyhow!("failed to write a page: {error}"))?;
    Ok((status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

/// Sends whoever asked to another page, after an act or where a page has its address.
pub(super) fn go_to(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path.to_owned())]).into_response()
}

impl<E: Into<HttpError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let heading = match status {
            StatusCode::NOT_FOUND => "Nothing is here",
            StatusCode::BAD_REQUEST => "This can't be read",
            StatusCode::CONFLICT => "Not now",
            StatusCode::GONE => "It is gone",
            StatusCode::FORBIDDEN => "You may not see this",
            status if status.is_server_error() => "This can't be shown now",
            _ => "This can't be shown",
        };
        let mut page = Page::within(Frame { title: heading.to_owned(), ..Frame::default() });
        page.say(&self.0.message);
        let headers = self.0.headers();
        match send_as(status, &page) {
            Ok(response) => (headers, response).into_response(),
            Err(Self(error)) => error.into_response(),
        }
    }
}
