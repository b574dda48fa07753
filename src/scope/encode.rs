//! Feeds `tracing`'s events to the record's encoder: their fields, and where they come from.

use std::error::Error;
use std::fmt;

use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::record::{CONTEXT, Encoder, Level, Origin};

/// Encodes the fields of an event.
pub(crate) struct EventVisitor<'a>(pub(crate) &'a mut Encoder);

impl Visit for EventVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.formatted(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.message(format_args!("{value}")),
            "parselog_context" => self.0.object(CONTEXT, value),
            name if is_of_log_crate(name) => {}
            name => self.0.text(name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.formatted(field, format_args!("{}", Chain(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "record" => self.0.record(value),
            "parselog_stdout" => self.0.output(0, value),
            "parselog_stderr" => self.0.output(1, value),
            "parselog_lost" => self.0.lost(value),
            name if is_of_log_crate(name) => {}
            name => self.0.number(name, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.0.literal(field.name(), value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.literal(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.float(field.name(), value);
    }
}

impl EventVisitor<'_> {
    fn formatted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.0.message(value),
            name if is_of_log_crate(name) => {}
            name => self.0.formatted(name, value),
        }
    }
}

/// The `log` crate's bridge puts its metadata into fields; the record has them in its own keys.
fn is_of_log_crate(name: &str) -> bool {
    name.starts_with("log.")
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Places in the table; call sites that share one replace each other.
const PLACES: usize = 128;

/// The latest call sites of a thread, so that each origin is escaped once and not at each event.
#[derive(Debug)]
pub(super) struct Origins(Box<[Option<Known>; PLACES]>);

#[derive(Debug)]
struct Known {
    /// Lives as long as the program, so its address is its name.
    metadata: &'static Metadata<'static>,
    origin: Origin,
}

impl Origins {
    /// The origin of a call site.
    pub(super) fn of(&mut self, metadata: &'static Metadata<'static>) -> &Origin {
        let address = std::ptr::from_ref(metadata).addr();
        let place = &mut self.0[address / size_of::<Metadata<'_>>() % PLACES];
        if place.as_ref().is_some_and(|known| !std::ptr::eq(known.metadata, metadata)) {
            *place = None;
        }
        &place.get_or_insert_with(|| Known { metadata, origin: origin(metadata) }).origin
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self(Box::new([const { None }; PLACES]))
    }
}

/// The parts that the records of a call site share.
pub(crate) fn origin(metadata: &Metadata<'_>) -> Origin {
    Origin::new(Level::from(*metadata.level()), metadata.target(), metadata.file().zip(metadata.line()))
}
