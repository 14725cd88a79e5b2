//! A dataset of files: sources of samples, and an order of them that a seed fixes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use files::digest::hex;
use noise::Generator;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::data::{SampleRequest, seeded};
use crate::rejects::Rejects;

/// A folder or shard of samples, whose bytes are read when they are asked for.
pub(crate) trait SampleSource: Send + Sync {
    /// How many samples.
    fn len(&self) -> usize;

    /// Sample `n`'s name within the source, wherever that lies.
    fn name(&self, n: usize) -> String;

    /// The same with the source's path, for people.
    fn path(&self, n: usize) -> String;

    /// The lengths in bytes of a sample's image or embedding, and of its caption.
    fn lengths(&self, n: usize) -> [u64; 2];

    /// A sample's caption, or what is wrong with it.
    fn caption(&self, n: usize) -> Result<String, String>;

    /// The bytes of a sample's image or embedding, or why they cannot be read.
    fn content(&self, n: usize) -> Result<Vec<u8>, String>;
}

/// The samples of some sources, one source after the other.
pub struct Dataset {
    sources: Vec<Box<dyn SampleSource>>,
    /// The number of the first sample after each source.
    ends: Vec<usize>,
    arguments: String,
    found: usize,
    fingerprint: String,
    broken: Mutex<BrokenSamples>,
    orders: Mutex<Vec<(Epoch, Arc<[u32]>)>>,
}

/// The samples that are known to be broken so far, and other rejects.
struct BrokenSamples {
    numbers: BTreeSet<usize>,
    rejects: Rejects,
}

/// A pass over all samples, whose order these numbers fix.
#[derive(Clone, Copy, PartialEq)]
struct Epoch {
    seed: u64,
    subset: u64,
    number: u64,
}

/// Epochs whose order is cached: threads that prefetch are in the next one first.
const ORDERS: usize = 2;

impl Dataset {
    /// The samples of `sources`, beside which `broken` was found; `arguments` are the paths that the user named, for errors.
    pub(crate) fn new(
        sources: Vec<Box<dyn SampleSource>>,
        broken: Rejects,
        arguments: String,
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
                "{arguments} has no picture with a caption, of {} that were found{}",
                broken.len(),
                broken.first()
            )));
        }
        if u32::try_from(count).is_err() {
            return Err(Error::Data(format!(
                "{arguments} has {count} pictures, and at most {} are learned from",
                u32::MAX
            )));
        }
        Ok(Self {
            fingerprint: fingerprint(&sources),
            sources,
            ends,
            arguments,
            found: count + broken.len(),
            broken: Mutex::new(BrokenSamples { numbers: BTreeSet::new(), rejects: broken }),
            orders: Mutex::default(),
        })
    }

    /// How many samples there are, those included that turn out to be broken.
    pub fn count(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many images and captions were found, broken ones included.
    pub fn found(&self) -> usize {
        self.found
    }

    /// The names of files that could not be read so far, and why.
    pub fn broken(&self) -> Vec<(String, String)> {
        self.broken_samples().rejects.list()
    }

    /// The paths that the user named.
    pub(crate) fn arguments(&self) -> &str {
        &self.arguments
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

    /// Reads the samples in a range by `read`, with their numbers and captions; broken ones are left out.
    pub(crate) fn in_order<T>(
        &self,
        range: Range<usize>,
        read: impl Fn(&[u8], &str) -> Result<T, String>,
    ) -> Vec<(usize, T, String)> {
        let sample = |n| {
            let (item, caption) = self.read(n, |source, n, caption| {
                Ok((read(&source.content(n)?, &source.path(n))?, caption))
            })?;
            Some((n, item, caption))
        };
        range.filter_map(sample).collect()
    }

    /// Reads the sample at a position of a request's endless order by `read`, and its caption. Every epoch has an order of
    /// its own. In the place of a broken sample comes the next one of the epoch, so that the sample at a position, and the
    /// generator that `read` gets, depend on nothing but the data and the seed.
    pub(crate) fn at<T>(
        &self,
        request: SampleRequest,
        position: u64,
        read: impl Fn(&[u8], &str, &mut Generator) -> Result<T, String>,
    ) -> Result<(T, String), Error> {
        let count = self.count() as u64;
        let (epoch, start) = (position / count, position % count);
        let SampleRequest { seed, subset, .. } = request;
        let order = self.order(Epoch { seed, subset, number: epoch });
        for place in (start..count).chain(0..start) {
            let n = order[place as usize] as usize;
            let sample = self.read(n, |source, n, caption| {
                let mut generator = seeded("sample", [seed, subset, position]);
                let content = source.content(n)?;
                Ok((read(&content, &source.path(n), &mut generator)?, caption))
            });
            if let Some(sample) = sample {
                return Ok(sample);
            }
        }
        Err(self.none_can_be_read())
    }

    /// An error where `read` fails on every sample. Samples are read in their order until it succeeds.
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
            self.arguments,
            self.broken_samples().rejects.first()
        ))
    }

    /// Reads a sample by `read`, and its caption. Where it fails, the sample is noted as broken and not read again.
    fn read<T>(
        &self,
        n: usize,
        read: impl FnOnce(&dyn SampleSource, usize, String) -> Result<T, String>,
    ) -> Option<T> {
        if self.broken_samples().numbers.contains(&n) {
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
            Ok(item) => Some(item),
            Err(why) => {
                let path = source.path(inner);
                let mut broken = self.broken_samples();
                if broken.numbers.insert(n) {
                    broken.rejects.note(path, why);
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
        seeded("order", [epoch.seed, epoch.subset, epoch.number]).shuffle(&mut order);
        let order: Arc<[u32]> = order.into();
        if orders.len() == ORDERS {
            orders.remove(0);
        }
        orders.push((epoch, order.clone()));
        order
    }

    fn broken_samples(&self) -> MutexGuard<'_, BrokenSamples> {
        self.broken.lock().expect("nobody panics with it")
    }
}

/// A hash of every sample's name and lengths.
fn fingerprint(sources: &[Box<dyn SampleSource>]) -> String {
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
