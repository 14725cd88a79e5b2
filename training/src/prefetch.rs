//! Prefetching: a few threads make items before they are asked for, in order.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// The most threads that read and draw images.
const MAX_WORKERS: usize = 8;

/// An ordered stream of items, item `n` made from the number `n` by one of a few threads.
///
/// The threads are half as many as there are cores, for the others compute. Each has one item ready and one under way, and
/// ends when this is dropped.
pub(crate) struct Prefetch<T> {
    workers: Vec<Receiver<T>>,
    next: Cell<usize>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts the threads.
    pub(crate) fn new(
        numbers: Range<u64>,
        make: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Self {
        let count = worker_count();
        let make = Arc::new(make);
        let worker = |first: usize| {
            let (sender, receiver) = sync_channel(1);
            let (make, numbers) = (make.clone(), numbers.clone());
            thread::spawn(move || {
                for number in numbers.skip(first).step_by(count) {
                    if sender.send(make(number)).is_err() {
                        return; // the receiver was dropped
                    }
                }
            });
            receiver
        };
        Self { workers: (0..count).map(worker).collect(), next: Cell::new(0) }
    }

    /// The next item; `None` after the last.
    pub(crate) fn next(&self) -> Option<T> {
        let worker = self.next.get();
        self.next.set((worker + 1) % self.workers.len());
        self.workers[worker].recv().ok()
    }
}

/// Half of the cores that the process may use: at least one, at most [`MAX_WORKERS`].
fn worker_count() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MAX_WORKERS)
}
