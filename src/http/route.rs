//! A route: its address, the role that it needs, and whom it is for.
//!
//! A handler takes `Extension<Asker>`: whoever reaches it has the role of its row. It asks `Asker::may_read` before it
//! tells anything of a run, and calls `audit::run_read` before the first byte of a log.

use axum::routing::MethodRouter;

use super::state::Shared;
use crate::store::Role;

/// A route, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRoute {
    pub method: &'static str,
    pub path: &'static str,
    /// The role that it needs; `None` if it tells nobody anything.
    pub role: Option<Role>,
    pub kind: RouteKind,
}

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Programs: JSON, and a token where one is needed. Without one it answers whoever is on this machine, if
    /// it listens there alone.
    Api,
    /// People with a browser: HTML and what belongs to it. It needs an identity everywhere.
    Page,
}

/// A route with what answers it.
pub(super) type Row = (HttpRoute, MethodRouter<Shared>);

impl HttpRoute {
    /// A route for programs.
    pub(super) const fn api(method: &'static str, path: &'static str, role: Option<Role>) -> Self {
        Self { method, path, role, kind: RouteKind::Api }
    }

    /// A route for people.
    pub(super) const fn page(method: &'static str, path: &'static str, role: Option<Role>) -> Self {
        Self { method, path, role, kind: RouteKind::Page }
    }
}
