//! The origins of call sites, kept so that each is escaped once and not at each event.

use tracing::Metadata;

use crate::record::{Level, Origin};

/// Places in the table; call sites that share one replace each other.
const PLACES: usize = 128;

/// The latest call sites of a thread.
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
