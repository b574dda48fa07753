//! The mark that a span of a scope bears.

use std::sync::Arc;

use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::Sink;
use super::path::SpanPath;

/// The mark on the run's span and on every span below it.
#[derive(Debug, Clone)]
pub(super) struct InScope(pub Arc<ScopeSpan>);

/// The position of a span in a scope.
#[derive(Debug)]
pub(super) struct ScopeSpan {
    pub sink: Arc<Sink>,
    pub path: SpanPath,
}

impl InScope {
    pub(super) fn root(sink: Arc<Sink>) -> Self {
        Self::at(sink, SpanPath::root())
    }

    pub(super) fn at(sink: Arc<Sink>, path: SpanPath) -> Self {
        Self(Arc::new(ScopeSpan { sink, path }))
    }
}

/// The scope of a span. A span below a scope carries its mark; the walk upwards finds the scope of spans
/// that a filter hid at first.
pub(super) fn scope_of<'a, S>(span: &SpanRef<'a, S>) -> Option<InScope>
where
    S: LookupSpan<'a>,
{
    if let Some(scope) = span.extensions().get::<InScope>() {
        return Some(scope.clone());
    }
    span.scope().skip(1).find_map(|span| span.extensions().get::<InScope>().cloned())
}
