//! What a user's data is made of: sources of samples, and an order of them that a seed fixes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use files::digest::hex;
use noise::Generator;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::data::{View, stream};
use crate::rejects::Rejects;

/// A place that holds samples, whose bytes are read when they are asked for.
pub(crate) trait Source: Send + Sync {
    /// How many samples.
    fn len(&self) -> usize;

    /// Sample `n`'s name: what it is called in its place, wherever that lies.
    fn name(&self, n: usize) -> String;

    /// The same with the place, for people.
    fn path(&self, n: usize) -> String;

    /// The lengths in bytes of what a sample has: its picture or embedding, and its caption.
    fn lengths(&self, n: usize) -> [u64; 2];

    /// A sample's caption, or what is wrong with it.
    fn caption(&self, n: usize) -> Result<String, String>;

    /// The file that a sample's picture or embedding is, or why it cannot be read.
    fn content(&self, n: usize) -> Result<Vec<u8>, String>;
}

/// The samples of some sources, one source after the other.
pub struct Samples {
    sources: Vec<Box<dyn Source>>,
    /// The number of the first sample after each source.
    ends: Vec<usize>,
    given: String,
    found: usize,
    fingerprint: String,
    broken: Mutex<State>,
    orders: Mutex<Vec<(Epoch, Arc<[u32]>)>>,
}

/// What is known to be broken so far.
struct State {
    /// The samples among it, by number.
    samples: BTreeSet<usize>,
    named: Rejects,
}

/// An order of all samples is fixed by a seed, a leg and a number.
type Epoch = (u64, u64, u64);

/// Epochs whose order is kept: threads that work ahead are in the next one first.
const ORDERS: usize = 2;

impl Samples {
    /// The samples of `sources`, beside which `rejects` was found; `given` says what the user named, in errors.
    pub(crate) fn new(
        sources: Vec<Box<dyn Source>>,
        broken: Rejects,
        given: String,
    ) -> Result<Self, Error> {
        let ends: Vec<usize> = sources
            .iter()
            .scan(0, |end, source| {
                *end += source.len();
                Some(*end)
            })
            .collect();
        let count = ends.last().copied().unwrap_or(0);
        if count == 0 {
            return Err(Error::Data(format!(
                "{given} has no picture with a caption, of {} that were found{}",
                broken.len(),
                broken.first()
            )));
        }
        if u32::try_from(count).is_err() {
            return Err(Error::Data(format!(
                "{given} has {count} pictures, and at most {} are learned from",
                u32::MAX
            )));
        }
        Ok(Self {
            fingerprint: fingerprint(&sources),
            sources,
            ends,
            given,
            found: count + broken.len(),
            broken: Mutex::new(State { samples: BTreeSet::new(), named: broken }),
            orders: Mutex::default(),
        })
    }

    /// How many samples there are, those included that turn out to be broken.
    pub fn count(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many pictures and captions were found, broken ones included.
    pub fn found(&self) -> usize {
        self.found
    }

    /// What could not be read so far, and why.
    pub fn broken(&self) -> Vec<(String, String)> {
        self.state().named.list()
    }

    /// What was named to find them.
    pub(crate) fn given(&self) -> &str {
        &self.given
    }

    /// Tells these samples from others by their number, names and lengths: "40 samples, 5e884898da28...".
    pub(crate) fn describe(&self) -> String {
        format!("{} samples, {}", self.count(), self.fingerprint)
    }

    /// The first captions that can be read.
    pub(crate) fn captions(&self, count: usize) -> Vec<String> {
        let captions = (0..self.count()).filter_map(|n| self.read(n, |_, _, caption| Ok(caption)));
        captions.take(count).collect()
    }

    /// What `read` makes of the samples in a range, with their numbers; broken ones are left out.
    pub(crate) fn in_order<T>(
        &self,
        range: Range<usize>,
        read: impl Fn(&[u8], &str) -> Result<T, String>,
    ) -> Vec<(usize, T, String)> {
        let sample = |n| {
            let (made, caption) = self.read(n, |source, n, caption| {
                Ok((read(&source.content(n)?, &source.path(n))?, caption))
            })?;
            Some((n, made, caption))
        };
        range.filter_map(sample).collect()
    }

    /// What `read` makes of the sample at a position of a leg's endless order, and its caption. Every epoch has an order
    /// of its own. In the place of a broken sample comes the next one of the epoch, so that what lies at a position
    /// depends on nothing but the data and the seed, which the generator that `read` gets does too.
    pub(crate) fn at<T>(
        &self,
        view: View,
        position: u64,
        read: impl Fn(&[u8], &str, &mut Generator) -> Result<T, String>,
    ) -> Result<(T, String), Error> {
        let count = self.count() as u64;
        let (epoch, start) = (position / count, position % count);
        let order = self.order((view.seed, view.leg, epoch));
        for place in (start..count).chain(0..start) {
            let n = order[place as usize] as usize;
            let made = self.read(n, |source, n, caption| {
                let mut generator = stream("sample", [view.seed, view.leg, position]);
                let content = source.content(n)?;
                Ok((read(&content, &source.path(n), &mut generator)?, caption))
            });
            if let Some(made) = made {
                return Ok(made);
            }
        }
        Err(self.none_can_be_read())
    }

    /// An error where `read` makes nothing of any sample. Samples are read in their order until it makes something of one.
    pub(crate) fn check<T>(
        &self,
        read: impl Fn(&[u8], &str) -> Result<T, String>,
    ) -> Result<(), Error> {
        let mut samples = (0..self.count()).flat_map(|n| self.in_order(n..n + 1, &read));
        match samples.next() {
            Some(_) => Ok(()),
            None => Err(self.none_can_be_read()),
        }
    }

    fn none_can_be_read(&self) -> Error {
        Error::Data(format!(
            "none of the {} pictures in {} can be read{}",
            self.found(),
            self.given,
            self.state().named.first()
        ))
    }

    /// What `read` makes of a sample and its caption. Where it cannot, the sample is noted as broken: from then on there
    /// is nothing to read.
    fn read<T>(
        &self,
        n: usize,
        read: impl FnOnce(&dyn Source, usize, String) -> Result<T, String>,
    ) -> Option<T> {
        if self.state().samples.contains(&n) {
            return None;
        }
        let source = self.ends.partition_point(|&end| end <= n);
        let first = self.ends[source] - self.sources[source].len();
        let (source, inner) = (&*self.sources[source], n - first);
        let caption = source.caption(inner).and_then(|caption| {
            let caption = caption.trim();
            match caption.is_empty() {
                true => Err("its caption is empty".to_owned()),
                false => Ok(caption.to_owned()),
            }
        });
        match caption.and_then(|caption| read(source, inner, caption)) {
            Ok(made) => Some(made),
            Err(why) => {
                let path = source.path(inner);
                let mut state = self.state();
                if state.samples.insert(n) {
                    state.named.note(path, why);
                }
                None
            }
        }
    }

    /// The order of the samples in an epoch.
    fn order(&self, epoch: Epoch) -> Arc<[u32]> {
        let mut orders = self.orders.lock().expect("nobody panics with it");
        if let Some((_, order)) = orders.iter().find(|(known, _)| *known == epoch) {
            return order.clone();
        }
        let mut order: Vec<u32> = (0..self.count() as u32).collect();
        stream("order", [epoch.0, epoch.1, epoch.2]).shuffle(&mut order);
        let order: Arc<[u32]> = order.into();
        if orders.len() == ORDERS {
            orders.remove(0);
        }
        orders.push((epoch, order.clone()));
        order
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.broken.lock().expect("nobody panics with it")
    }
}

/// A hash of every sample's name and lengths.
fn fingerprint(sources: &[Box<dyn Source>]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        for n in 0..source.len() {
            hash.update(source.name(n));
            hash.update([0]); // which no name has
            source.lengths(n).iter().for_each(|length| hash.update(length.to_le_bytes()));
        }
    }
    hex(&hash.finalize()[..16])
}
