//! A shelf: things under opaque ids, for a time and within bounds. What was there and is gone is told from what never was.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most ids of things that are gone that are remembered.
const MOST_GONE: usize = 100_000;

/// Things under opaque ids. The oldest go first.
pub(crate) struct Shelf<T> {
    most: usize,
    most_bytes: usize,
    lifetime: Duration,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    /// Each with its bytes, and the time since which it ages; one that is not done yet does not.
    things: BTreeMap<Id, (T, usize, Option<Instant>)>,
    order: VecDeque<Id>,
    bytes: usize,
    gone: VecDeque<Id>,
}

/// 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Id([u8; 16]);

/// The outcome of looking for an id.
pub(crate) enum Lookup<T> {
    Here(T),
    Gone,
    Unknown,
}

impl Id {
    /// A new one, that nobody can guess.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(bytes)
    }

    /// The id that a path says: 32 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return None;
        }
        let mut bytes = [0; 16];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first 128 bits of a digest.
    pub(crate) fn of_digest(hex: &str) -> Option<Self> {
        Self::parse(hex.get(..32)?)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut hex = String::with_capacity(32);
        self.0.iter().for_each(|byte| _ = write!(hex, "{byte:02x}"));
        to.write_str(&hex)
    }
}

impl<T: Clone> Shelf<T> {
    pub(crate) fn new(most: usize, most_bytes: usize, lifetime: Duration) -> Self {
        let inner = Inner {
            things: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            gone: VecDeque::new(),
        };
        Self { most, most_bytes, lifetime, inner: Mutex::new(inner) }
    }

    /// Puts a thing of so many bytes there.
    pub(crate) fn put(&self, id: Id, thing: T, bytes: usize) {
        self.insert(id, thing, bytes, Some(Instant::now()));
    }

    /// Puts a thing there that does not age until it is closed.
    pub(crate) fn put_open(&self, id: Id, thing: T) {
        self.insert(id, thing, 0, None);
    }

    fn insert(&self, id: Id, thing: T, bytes: usize, since: Option<Instant>) {
        let mut inner = self.lock();
        inner.things.insert(id, (thing, bytes, since));
        inner.order.push_back(id);
        inner.bytes += bytes;
        inner.shrink(self.most, self.most_bytes);
    }

    /// Says how many bytes a thing has come to, where it is still there, and lets it age from now on.
    pub(crate) fn close(&self, id: Id, bytes: usize) {
        let mut inner = self.lock();
        let Some((_, before, since)) = inner.things.get_mut(&id) else {
            return;
        };
        *since = Some(Instant::now());
        let before = std::mem::replace(before, bytes);
        inner.bytes = inner.bytes - before + bytes;
        inner.shrink(self.most, self.most_bytes);
    }

    pub(crate) fn get(&self, id: Id) -> Lookup<T> {
        let inner = self.lock();
        match inner.things.get(&id) {
            Some((thing, _, since)) if !self.is_old(*since) => Lookup::Here(thing.clone()),
            Some(_) => Lookup::Gone,
            None if inner.gone.contains(&id) => Lookup::Gone,
            None => Lookup::Unknown,
        }
    }

    /// Waits for nobody: a panic elsewhere leaves the shelf as it was between two of its operations.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(id) = inner.order.front() {
            match inner.things.get(id) {
                Some((.., since)) if !self.is_old(*since) => break,
                _ => inner.drop_oldest(),
            }
        }
        inner
    }

    fn is_old(&self, since: Option<Instant>) -> bool {
        since.is_some_and(|since| since.elapsed() >= self.lifetime)
    }
}

impl<T> Inner<T> {
    fn shrink(&mut self, most: usize, most_bytes: usize) {
        while self.things.len() > most || self.bytes > most_bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(id) = self.order.pop_front() else {
            return;
        };
        if let Some((_, bytes, _)) = self.things.remove(&id) {
            self.bytes -= bytes;
            self.gone.push_back(id);
            if self.gone.len() > MOST_GONE {
                self.gone.pop_front();
            }
        }
    }
}
