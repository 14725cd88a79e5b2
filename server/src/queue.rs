//! The queue in front of the worker: bounded, first come first served.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::ApiError;
use crate::job::Job;

/// Jobs that wait.
pub(crate) struct Queue {
    most: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Arc<Job>>,
    /// Jobs that the worker took and has not ended.
    running: usize,
    is_closed: bool,
    /// A mean of the seconds that the last jobs took the worker.
    seconds_a_job: f64,
}

impl Queue {
    /// A queue in which so many jobs wait at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, inner: Mutex::default(), changed: Condvar::new() }
    }

    /// An error where no more may wait.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        self.lock().check_room(self.most)
    }

    /// The refusal of a request for which there is no room.
    pub(crate) fn full(&self) -> ApiError {
        self.lock().full()
    }

    /// Puts a job at the end.
    pub(crate) fn push(&self, job: &Arc<Job>) -> Result<(), ApiError> {
        let mut inner = self.lock();
        inner.check_room(self.most)?;
        inner.waiting.push_back(Arc::clone(job));
        inner.tell_positions();
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// The next job, once there is one; `None` once the queue is closed and empty.
    pub(crate) fn next(&self) -> Option<Arc<Job>> {
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.take_first(|_| true) {
                return Some(job);
            }
            if inner.is_closed {
                return None;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job, if there is one and it is of the kind that is wanted.
    pub(crate) fn next_if(&self, is_wanted: impl Fn(&Job) -> bool) -> Option<Arc<Job>> {
        self.lock().take_first(is_wanted)
    }

    /// The worker is done with a job, which took it so many seconds.
    pub(crate) fn finish(&self, seconds: f64) {
        let mut inner = self.lock();
        inner.running = inner.running.saturating_sub(1);
        let mean = &mut inner.seconds_a_job;
        *mean = if *mean == 0.0 { seconds } else { 0.8 * *mean + 0.2 * seconds };
    }

    /// Takes out a job that waits; its slot is free at once.
    pub(crate) fn remove(&self, job: &Job) {
        let mut inner = self.lock();
        inner.waiting.retain(|other| other.id != job.id);
        inner.tell_positions();
    }

    /// Lets nothing more in.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Jobs that wait, and jobs that are worked on.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.waiting.len(), inner.running)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn check_room(&self, most: usize) -> Result<(), ApiError> {
        if self.is_closed {
            return Err(ApiError::draining());
        }
        match self.waiting.len() < most {
            true => Ok(()),
            false => Err(self.full()),
        }
    }

    /// The refusal of a request that must come again.
    fn full(&self) -> ApiError {
        let seconds = self.seconds_a_job * (self.waiting.len() + 1) as f64;
        ApiError::queue_full(self.waiting.len(), seconds.ceil().clamp(1.0, 600.0) as u64)
    }

    fn take_first(&mut self, is_wanted: impl Fn(&Job) -> bool) -> Option<Arc<Job>> {
        if !is_wanted(self.waiting.front()?) {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.running += 1;
        self.tell_positions();
        Some(job)
    }

    fn tell_positions(&self) {
        self.waiting.iter().enumerate().for_each(|(n, job)| job.set_position(n + 1));
    }
}
