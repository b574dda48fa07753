//! The scopes that each thread is in, kept from enter to exit.
//!
//! The registry can tell the current span of a thread, and its scope, but each question changes counters that
//! all threads in the span share; threads of one run would wait for each other there. An event finds its
//! scope here without that. The order is the registry's: a span that is entered again while it is entered
//! already does not become the current one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Id;

use super::mark::InScope;

thread_local! {
    /// The spans that this thread is in, of all subscribers.
    static ENTERED: RefCell<Vec<EnteredSpan>> = const { RefCell::new(Vec::new()) };
}

/// How often any span of a scope got new fields; what was found before that may be out of date.
static RECORDED: AtomicU64 = AtomicU64::new(0);

/// The spans that threads are in, as one layer sees them.
#[derive(Debug)]
pub(super) struct EnteredSpans {
    /// Tells the spans of this layer from those of other subscribers.
    layer: u64,
}

#[derive(Debug)]
struct EnteredSpan {
    layer: u64,
    span: Id,
    /// It was entered already.
    again: bool,
    scope: Option<Rc<InScope>>,
    /// What [`RECORDED`] was before the scope was looked up.
    recorded: u64,
}

impl EnteredSpans {
    pub(super) fn new() -> Self {
        static LAYERS: AtomicU64 = AtomicU64::new(0);
        Self { layer: LAYERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// This thread enters a span.
    pub(super) fn enter(&self, span: &Id, look_up: impl Fn(&Id) -> Option<InScope>) {
        let recorded = RECORDED.load(Ordering::Acquire);
        let scope = look_up(span).map(Rc::new);
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let again = entered.iter().any(|other| self.owns(other) && other.span == *span);
            entered.push(EnteredSpan { layer: self.layer, span: span.clone(), again, scope, recorded });
        });
    }

    /// This thread leaves a span.
    pub(super) fn exit(&self, span: &Id) {
        // It is dropped behind the borrow: the last mark on a scope takes more with it.
        let _left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let place = entered.iter().rposition(|other| self.owns(other) && other.span == *span);
            place.map(|place| entered.remove(place))
        });
    }

    /// A span got new fields: threads that are in it look it up anew.
    pub(super) fn record(&self) {
        RECORDED.fetch_add(1, Ordering::Release);
    }

    /// The scope that this thread is in.
    pub(super) fn scope(&self, look_up: impl Fn(&Id) -> Option<InScope>) -> Option<Rc<InScope>> {
        let recorded = RECORDED.load(Ordering::Acquire);
        let current = |entered: &RefCell<Vec<EnteredSpan>>| {
            let mut entered = entered.borrow_mut();
            let current = entered.iter_mut().rfind(|span| self.owns(span) && !span.again)?;
            if current.recorded != recorded {
                (current.scope, current.recorded) = (look_up(&current.span).map(Rc::new), recorded);
            }
            current.scope.clone()
        };
        // Without thread-locals the thread is at its very end.
        ENTERED.try_with(current).ok().flatten()
    }

    fn owns(&self, span: &EnteredSpan) -> bool {
        span.layer == self.layer
    }
}
