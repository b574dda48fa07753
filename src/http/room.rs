//! The memory that the bodies of all requests share. A request that finds no room is refused at once, so that
//! what is there is answered, and nobody waits in a queue that grows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all bodies at once, as they came and unpacked.
const ALL_BODIES: usize = 64 << 20;

/// The unit (bytes) in which room is given.
const UNIT: usize = 1 << 10;

/// The memory of all bodies.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
}

/// The part of it that a request has, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    memory: Memory,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { units: Arc::new(Semaphore::new(ALL_BODIES / UNIT)) }
    }
}

impl Memory {
    /// No room yet.
    pub(super) fn room(&self) -> Room {
        Room { memory: self.clone(), taken: None, bytes: 0 }
    }
}

impl Room {
    /// Takes room for so many more bytes; false if there is none now.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.bytes.div_ceil(UNIT);
        let units = (self.bytes + bytes).div_ceil(UNIT) - before;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.memory.units).try_acquire_many_owned(units) else { return false };
        self.bytes += bytes;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_have_a_bound_and_give_their_room_back() {
        let memory = Memory::default();
        let mut rooms: Vec<Room> = (0..4).map(|_| memory.room()).collect();
        assert!(rooms.iter_mut().all(|room| (0..1024).all(|_| room.grow(ALL_BODIES / 4096))));
        assert!(!rooms[0].grow(1) && !memory.room().grow(usize::MAX));
        rooms.pop();
        assert!(memory.room().grow(ALL_BODIES / 4) && !memory.room().grow(ALL_BODIES / 4 + 1));
    }
}
