//! Work that a few threads do before it is asked for, in its order.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// The most threads that read and draw pictures.
const MOST_WORKERS: usize = 8;

/// What `make` makes of the numbers of a range, in their order, each made by one of a few threads ahead of its time.
///
/// The threads are half as many as there are cores, for the others compute. Each has one thing ready and one under way,
/// and ends with this.
pub(crate) struct Ahead<T> {
    workers: Vec<Receiver<T>>,
    next: Cell<usize>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins at once.
    pub(crate) fn new(
        numbers: Range<u64>,
        make: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Self {
        let count = workers();
        let make = Arc::new(make);
        let worker = |first: usize| {
            let (sender, made) = sync_channel(1);
            let (make, numbers) = (make.clone(), numbers.clone());
            thread::spawn(move || {
                for number in numbers.skip(first).step_by(count) {
                    if sender.send(make(number)).is_err() {
                        return; // nobody wants it any more
                    }
                }
            });
            made
        };
        Self { workers: (0..count).map(worker).collect(), next: Cell::new(0) }
    }

    /// The next of them; `None` after the last.
    pub(crate) fn next(&self) -> Option<T> {
        let worker = self.next.get();
        self.next.set((worker + 1) % self.workers.len());
        self.workers[worker].recv().ok()
    }
}

/// Half of the cores that the process may use: at least one, at most [`MOST_WORKERS`].
fn workers() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_WORKERS)
}
