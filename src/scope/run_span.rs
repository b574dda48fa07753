//! The span of a run, made past every filter.
//!
//! The macros of `tracing` ask whether a span is wanted, and per-layer filters remember their last answer,
//! whoever asked: an answer meant for something else can hide the next span. A scope hangs on this span, so
//! this file asks nobody.

use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Span, dispatcher};

/// Target of the span that carries a scope.
pub(super) const RUN_TARGET: &str = "parselog::run";

static CALLSITE: RunSpan = RunSpan;

static METADATA: Metadata<'static> = Metadata::new(
    "run",
    RUN_TARGET,
    Level::ERROR,
    None,
    None,
    None,
    FieldSet::new(&[], Identifier(&CALLSITE)),
    Kind::SPAN,
);

struct RunSpan;

impl Callsite for RunSpan {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &METADATA
    }
}

/// A run's span, whatever the filters say.
pub(super) fn new() -> Span {
    // Ask the other layers, which filter for themselves, about this span.
    dispatcher::get_default(|dispatch| dispatch.enabled(&METADATA));
    Span::new_root(&METADATA, &METADATA.fields().value_set(&[]))
}
