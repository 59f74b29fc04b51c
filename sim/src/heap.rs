//! What is to happen, by time. What happens at the same time happens in the order in which it was
//! arranged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::At;

/// Events by time.
#[derive(Debug)]
pub struct Heap<E> {
    order: BinaryHeap<Reverse<(At, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    arranged: u64,
}

impl<E> Heap<E> {
    /// Nothing is to happen.
    pub const fn new() -> Self {
        Self {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            arranged: 0,
        }
    }

    /// Arranges an event.
    pub fn push(&mut self, at: At, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.events.push(None);
                u32::try_from(self.events.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.events.get_mut(slot as usize) {
            *place = Some(event);
        }
        self.order.push(Reverse((at, self.arranged, slot)));
        self.arranged += 1;
    }

    /// The next event, its time and its number.
    pub fn pop(&mut self) -> Option<(At, u64, E)> {
        let Reverse((at, number, slot)) = self.order.pop()?;
        let event = self.events.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((at, number, event))
    }

    /// How many events are arranged.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is to happen.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<E> Default for Heap<E> {
    fn default() -> Self {
        Self::new()
    }
}
