//! The `tracing` layer that sorts events: inside a scope to its log, outside to the given function.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Span, Subscriber, dispatcher};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::encode::{EventVisitor, Origins, origin};
use super::entered::EnteredSpans;
use super::mark::{InScope, ScopeSpan, scope_of};
use crate::config::Levels;
use crate::ids::LogId;
use crate::record::{Encoder, Level, Origin, event};

/// Sends every event inside a run's span to that run's log, and every other event outside.
///
/// One layer does both, so that an event is in exactly one place. It keeps no filter state: it decides on
/// each event by the event alone. If neither list keeps an event, the layer switches it off at its call
/// site, for the layers beside this one too.
pub struct ScopeLayer<O> {
    run: Levels,
    global: Levels,
    entered: EnteredSpans,
    outside: O,
}

/// The events that report, diff and row need: a run's log keeps them whatever its levels.
const OF_RECORD: [&str; 3] = [event::PROBLEM, event::SUBMISSION, event::OUTCOME];

/// The finest level of such an event.
const FINEST_OF_RECORD: LevelFilter = LevelFilter::INFO;

/// An event that does not go to a run's log.
#[derive(Debug)]
pub enum Outside<'a> {
    /// An event outside of every scope.
    Event {
        /// The event.
        event: &'a Event<'a>,
        /// Its origin, also if it came through the `log` crate.
        metadata: &'a Metadata<'a>,
    },
    /// An event of a run that its log could not take: the disk is full, or the scope is closed.
    Overflow {
        /// The log.
        log: LogId,
        /// The part of the event's line behind time and number.
        body: &'a [u8],
    },
}

/// The buffers in which a thread encodes its events.
#[derive(Debug, Default)]
struct EventBuffers {
    encoder: Encoder,
    origins: Origins,
}

thread_local! {
    static BUFFERS: RefCell<EventBuffers> = RefCell::default();
}

impl<O> ScopeLayer<O>
where
    O: Fn(Outside<'_>),
{
    /// A layer with the levels `run` for runs' logs. `outside` receives the events outside of every run that
    /// `global` keeps, and all events that a log could not take.
    pub fn new(run: Levels, global: Levels, outside: O) -> Self {
        Self { run, global, entered: EnteredSpans::new(), outside }
    }
}

impl<S, O> Layer<S> for ScopeLayer<O>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    O: Fn(Outside<'_>) + 'static,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.run.finest().max(self.global.finest()).max(FINEST_OF_RECORD))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(scope) = span.parent().and_then(|parent| scope_of(&parent)) else { return };
        let mut path = scope.0.path.below(attributes.metadata().name());
        path.add(|visit| attributes.record(visit));
        span.extensions_mut().insert(InScope::at(Arc::clone(&scope.0.sink), path));
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(scope) = span.extensions().get::<InScope>().cloned() else { return };
        let mut path = scope.0.path.clone();
        path.add(|visit| values.record(visit));
        span.extensions_mut().replace(InScope::at(Arc::clone(&scope.0.sink), path));
        self.entered.record();
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.entered.enter(id, |id| scope_of(&context.span(id)?));
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        self.entered.exit(id);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let of_log_crate = event.normalized_metadata();
        let metadata = of_log_crate.as_ref().unwrap_or_else(|| event.metadata());
        let scope = if event.is_contextual() {
            self.entered.scope(|id| scope_of(&context.span(id)?))
        } else {
            context.event_span(event).and_then(|span| scope_of(&span)).map(Rc::new)
        };
        match scope {
            Some(scope) if self.keeps(metadata) => self.store(&scope.0, event, of_log_crate.as_ref()),
            None if self.global.keep(metadata) => (self.outside)(Outside::Event { event, metadata }),
            _ => {}
        }
    }
}

impl<O> ScopeLayer<O>
where
    O: Fn(Outside<'_>),
{
    /// Whether the layer handles such spans and events at all.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == RUN_TARGET || self.keeps(metadata) || self.global.keep(metadata)
    }

    /// Whether a run's log keeps such events.
    fn keeps(&self, metadata: &Metadata<'_>) -> bool {
        self.run.keep(metadata) || OF_RECORD.contains(&metadata.target())
    }

    fn store(&self, place: &ScopeSpan, event: &Event<'_>, of_log_crate: Option<&Metadata<'_>>) {
        let level = Level::from(*event.metadata().level());
        let encode = |encoder: &mut Encoder, origin: &Origin| {
            encoder.start(origin);
            event.record(&mut EventVisitor(encoder));
            place.sink.lose(encoder.events_lost());
            let body = encoder.finish(origin, place.path.text());
            if !place.sink.store(level, body) {
                (self.outside)(Outside::Overflow { log: place.sink.log, body });
            }
        };
        BUFFERS.with(|bench| match (bench.try_borrow_mut(), of_log_crate) {
            (Ok(mut bench), None) => {
                let EventBuffers { encoder, origins } = &mut *bench;
                encode(encoder, origins.of(event.metadata()));
            }
            (Ok(mut bench), Some(metadata)) => encode(&mut bench.encoder, &origin(metadata)),
            // A value's Debug code may itself log: that event finds the bench in use.
            (Err(_), _) => {
                encode(&mut Encoder::default(), &origin(of_log_crate.unwrap_or_else(|| event.metadata())));
            }
        });
    }
}

/// Target of the span that carries a scope.
const RUN_TARGET: &str = "parselog::run";

static CALLSITE: RunSpan = RunSpan;

static METADATA: Metadata<'static> = Metadata::new(
    "run",
    RUN_TARGET,
    tracing::Level::ERROR,
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
///
/// The macros of `tracing` ask whether a span is wanted, and per-layer filters remember their last answer, whoever
/// asked: an answer meant for something else can hide the next span. A scope hangs on this span, so this function asks
/// nobody.
pub(super) fn run_span() -> Span {
    // Ask the other layers, which filter for themselves, about this span.
    dispatcher::get_default(|dispatch| dispatch.enabled(&METADATA));
    Span::new_root(&METADATA, &METADATA.fields().value_set(&[]))
}
