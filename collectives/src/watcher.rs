//! The thread that answers for a process while it computes, and asks who else still runs when an operation fails.
//!
//! A rank whose operation fails sets `failed` and `failed/<rank>` in the store. Each rank's watcher looks for `failed` a few
//! times a second, over a connection of its own, answers with `alive/<rank>`, and hears the others' answers. So all ranks know
//! within two seconds who is gone, who runs and is only late, and who failed; and those that wait learn that it is in vain. A
//! rank that computes meanwhile finds the verdict when it comes to its next operation, though rank 0 and the store be gone then.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::shim::Store;

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(300);

/// The time that others have to answer. Rank 0 takes all of it: it may host the store that the others ask.
const ANSWER: Duration = Duration::from_secs(2);
const ANSWER_TO_OTHERS: Duration = Duration::from_millis(1500);

/// The answers after a failure.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The store did not answer.
    StoreGone,
    Answers {
        /// The ranks that did not answer.
        silent: Vec<usize>,
        /// The ranks that answered, but whose operations have not failed.
        late: Vec<usize>,
    },
}

#[derive(Default)]
struct State {
    stop: bool,
    ended: bool,
    /// Whether some rank's operation failed.
    alarm: bool,
    /// When the store was found to be gone.
    gone: Option<Instant>,
    /// The operation of this rank that failed.
    failed: Option<&'static str>,
    verdict: Option<Verdict>,
}

#[derive(Default)]
struct Signals {
    state: Mutex<State>,
    changed: Condvar,
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `is_so`, for at most `timeout`.
    fn wait_for(&self, timeout: Duration, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |state| !is_so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A thread with a connection to the store.
pub(crate) struct Watcher(Arc<Signals>);

impl Watcher {
    /// Starts the thread of one rank. It ends with the value, and whenever the store does.
    pub(crate) fn start(store: Store, rank: usize, world: usize) -> Result<Self, String> {
        let signals = Arc::new(Signals::default());
        let announced = Cell::new(false);
        let watch = Watch { signals: Arc::clone(&signals), store, rank, world, announced };
        let thread = thread::Builder::new().name("collectives".to_owned());
        thread.spawn(move || watch.run()).map_err(|error| error.to_string())?;
        Ok(Self(signals))
    }

    /// Whether some rank's operation failed, or the store has been gone for longer than an ordinary end takes.
    pub(crate) fn alarm(&self) -> bool {
        let state = self.0.lock();
        state.alarm || state.gone.is_some_and(|since| since.elapsed() > ANSWER)
    }

    /// Says that an operation of this rank failed, and hears who still runs.
    pub(crate) fn report(&self, operation: &'static str) -> Verdict {
        self.0.update(|state| state.failed = Some(operation));
        let is_over = |state: &State| state.verdict.is_some() || state.gone.is_some();
        // A store whose machine is off answers neither yes nor no.
        let state = self.0.wait_for(ANSWER + PERIOD * 4, is_over);
        state.verdict.clone().unwrap_or(Verdict::StoreGone)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.update(|state| state.stop = true);
        // One that waits for a store that never answers is left behind.
        drop(self.0.wait_for(PERIOD, |state| state.ended));
    }
}

/// The thread's side.
struct Watch {
    signals: Arc<Signals>,
    store: Store,
    rank: usize,
    world: usize,
    /// Whether the others were told that an operation of this rank failed.
    announced: Cell<bool>,
}

impl Watch {
    fn run(self) {
        let looked = self.look();
        let (signals, store) = (self.signals, self.store);
        if let Err(reason) = looked {
            tracing::debug!("the store is gone: {reason}");
            signals.update(|state| state.gone = Some(Instant::now()));
        }
        drop(store);
        signals.update(|state| state.ended = true);
    }

    /// Looks until it is stopped. An error is the store's.
    fn look(&self) -> Result<(), String> {
        let mut answered = false;
        loop {
            let has_news = |state: &State| state.failed.is_some() && !self.announced.get();
            if self.signals.wait_for(PERIOD, |state| state.stop || has_news(state)).stop {
                return Ok(());
            }
            self.announce()?;
            if !answered && self.store.get("failed")?.is_some() {
                self.store.set(&format!("alive/{}", self.rank), "yes")?;
                self.signals.update(|state| state.alarm = true);
                answered = true;
                let verdict = self.ask()?;
                self.signals.update(|state| state.verdict = Some(verdict));
            }
        }
    }

    /// Tells the others that an operation of this rank failed, if one did.
    fn announce(&self) -> Result<(), String> {
        let failed = self.signals.lock().failed.filter(|_| !self.announced.get());
        if let Some(operation) = failed {
            self.store.set(&format!("failed/{}", self.rank), operation)?;
            self.store.set("failed", "yes")?;
            self.announced.set(true);
        }
        Ok(())
    }

    /// Hears the others' answers.
    fn ask(&self) -> Result<Verdict, String> {
        let begun = Instant::now();
        let is_first = self.rank == 0;
        let time = if is_first { ANSWER } else { ANSWER_TO_OTHERS };
        let mut silent: Vec<usize> = (0..self.world).collect();
        let mut late = silent.clone();
        while begun.elapsed() < time && (is_first || !(silent.is_empty() && late.is_empty())) {
            self.announce()?;
            for (waited, key) in [(&mut silent, "alive"), (&mut late, "failed")] {
                let mut missing = Vec::new();
                for rank in waited.drain(..) {
                    if self.store.get(&format!("{key}/{rank}"))?.is_none() {
                        missing.push(rank);
                    }
                }
                *waited = missing;
            }
            thread::sleep(Duration::from_millis(50));
        }
        late.retain(|rank| !silent.contains(rank));
        Ok(Verdict::Answers { silent, late })
    }
}
