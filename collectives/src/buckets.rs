//! Gradients averaged over all ranks, in flat buckets, after the backward pass or while it runs.
//!
//! As DistributedDataParallel does (2006.15704, section 3.2): buckets hold the gradients of parameters in reverse order of
//! registration, which is about that in which they arrive. The first bucket is small, so that it leaves early.

use std::sync::{Arc, Mutex};

use tch::{Device, Kind, Tensor, no_grad};

use crate::gradient::{GradientHooks, set_gradient};
use crate::group::{Work, lock};
use crate::{Error, Group, Reduction};

/// The bytes after which a bucket of a dtype is full: its first, and all others.
const CAPACITIES: [usize; 2] = [1 << 20, 25 << 20];

/// A partition of parameters into flat buckets, the same on all ranks.
///
/// A bucket has the numbers of its parameters' gradients, one parameter after the other, and then one number for each that is 1
/// where this rank has its gradient. The mean of all is the sum in the order of the backend's all-reduce, divided by the number
/// of ranks, in the gradients' dtype: of two ranks it is the same to the bit as parameter by parameter.
pub struct GradientBuckets {
    buckets: Vec<Bucket>,
}

struct Bucket {
    /// The parameters' indices.
    parameters: Vec<usize>,
    shapes: Vec<Vec<i64>>,
    kind: Kind,
    device: Device,
    bytes: usize,
}

impl GradientBuckets {
    /// The buckets of parameters, by their shapes, dtypes and devices.
    pub fn new(parameters: &[Tensor]) -> Self {
        let (mut full, mut open): (Vec<Bucket>, Vec<Bucket>) = Default::default();
        for (index, parameter) in parameters.iter().enumerate().rev() {
            let (kind, device) = (parameter.kind(), parameter.device());
            let is_same = |bucket: &Bucket| bucket.kind == kind && bucket.device == device;
            let at = open.iter().position(is_same).unwrap_or_else(|| {
                open.push(Bucket { parameters: vec![], shapes: vec![], kind, device, bytes: 0 });
                open.len() - 1
            });
            open[at].parameters.push(index);
            open[at].shapes.push(parameter.size());
            open[at].bytes += parameter.numel() * kind.elt_size_in_bytes();
            let is_first = !full.iter().any(is_same);
            if open[at].bytes >= CAPACITIES[usize::from(!is_first)] {
                full.push(open.remove(at));
            }
        }
        full.extend(open);
        Self { buckets: full }
    }

    /// The indices of each bucket's parameters, in the order of its numbers.
    pub fn assignment(&self) -> Vec<&[usize]> {
        self.buckets.iter().map(|bucket| &*bucket.parameters).collect()
    }

    /// Replaces the gradient of each parameter by its mean over all ranks. One that only other ranks have counts as zeros here,
    /// and is given to this rank too; one that no rank has stays away.
    pub fn average(&self, group: &Group, parameters: &[Tensor]) -> Result<(), Error> {
        if group.is_alone() {
            return Ok(());
        }
        let start = |bucket: &Bucket| bucket.start(group, parameters);
        let flights: Vec<_> = self.buckets.iter().map(start).collect::<Result<_, _>>()?;
        for (bucket, flight) in self.buckets.iter().zip(flights) {
            bucket.finish(flight, parameters)?;
        }
        Ok(())
    }
}

/// A bucket's numbers on their way.
type Flight = (Tensor, Work);

impl Bucket {
    /// Begins the all-reduce of the gradients that are there.
    fn start(&self, group: &Group, parameters: &[Tensor]) -> Result<Flight, Error> {
        no_grad(|| {
            let options = (self.kind, self.device);
            let mut pieces = Vec::new();
            let mut has = Vec::new();
            for (index, shape) in self.parameters.iter().zip(&self.shapes) {
                let gradient = parameters[*index].grad();
                has.push(gradient.defined());
                pieces.push(match gradient.defined() {
                    true => gradient.to_kind(self.kind).reshape([-1]),
                    false => Tensor::zeros([shape.iter().product::<i64>()], options),
                });
            }
            let has: Vec<f32> = has.into_iter().map(|has| f32::from(u8::from(has))).collect();
            pieces.push(Tensor::from_slice(&has).to_kind(self.kind).to_device(self.device));
            let flat = Tensor::cat(&pieces, 0);
            let work = group.start_all_reduce(&flat, Reduction::Mean)?;
            Ok((flat, work))
        })
    }

    /// Waits, and copies the means back.
    fn finish(&self, (flat, work): Flight, parameters: &[Tensor]) -> Result<(), Error> {
        work.wait()?;
        no_grad(|| {
            let count = self.parameters.len() as i64;
            let numbers = flat.size()[0] - count;
            let has = flat.narrow(0, numbers, count).to_kind(Kind::Float).to_device(Device::Cpu);
            let has = Vec::<f32>::try_from(has).expect("a vector of f32");
            let mut at = 0;
            for ((index, shape), has) in self.parameters.iter().zip(&self.shapes).zip(has) {
                let length = shape.iter().product::<i64>();
                let mean = flat.narrow(0, at, length).view(&shape[..]);
                at += length;
                let mut gradient = parameters[*index].grad();
                if gradient.defined() {
                    gradient.copy_(&mean);
                } else if has > 0.0 {
                    set_gradient(&parameters[*index], &mean.copy())?;
                }
            }
            Ok(())
        })
    }
}

/// Buckets that leave while the backward pass runs, each when the gradients of all of its parameters have arrived and the
/// buckets before it have left, so that all ranks send them in one order.
///
/// Where gradients are accumulated over several backward passes, all but the last run with [`OverlappedBuckets::accumulate`]
/// set.
pub struct OverlappedBuckets {
    state: Arc<Mutex<State>>,
    /// None in a group of one.
    hooks: Option<GradientHooks>,
}

struct State {
    group: Group,
    buckets: GradientBuckets,
    parameters: Vec<Tensor>,
    /// The bucket of each parameter.
    bucket_of: Vec<usize>,
    accumulates: bool,
    arrived: Vec<bool>,
    /// The number of gradients that each bucket waits for.
    missing: Vec<usize>,
    flights: Vec<Flight>,
    failure: Option<Error>,
}

impl OverlappedBuckets {
    /// Sets hooks on the parameters, which must be the same leaves on all ranks.
    pub fn new(group: &Group, parameters: &[Tensor]) -> Result<Self, Error> {
        let buckets = GradientBuckets::new(parameters);
        let mut bucket_of = vec![0; parameters.len()];
        for (number, bucket) in buckets.buckets.iter().enumerate() {
            bucket.parameters.iter().for_each(|index| bucket_of[*index] = number);
        }
        let mut state = State {
            group: group.clone(),
            buckets,
            parameters: parameters.iter().map(Tensor::shallow_clone).collect(),
            bucket_of,
            accumulates: false,
            arrived: Vec::new(),
            missing: Vec::new(),
            flights: Vec::new(),
            failure: None,
        };
        state.reset();
        let state = Arc::new(Mutex::new(state));
        let hooks = match group.is_alone() {
            true => None,
            false => {
                let state = Arc::clone(&state);
                Some(GradientHooks::register(parameters, move |index| lock(&state).arrive(index))?)
            }
        };
        Ok(Self { state, hooks })
    }

    /// Whether the next backward passes only accumulate: nothing leaves.
    pub fn accumulate(&self, accumulates: bool) {
        lock(&self.state).accumulates = accumulates;
    }

    /// The number of buckets that have left since the last [`OverlappedBuckets::finish`].
    pub fn left(&self) -> usize {
        lock(&self.state).flights.len()
    }

    /// Sends the buckets that wait for gradients that this rank does not have, waits for all, and puts the means in the
    /// gradients' places, as [`GradientBuckets::average`] does.
    pub fn finish(&self) -> Result<(), Error> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let mut state = lock(&self.state);
        if let Some(reason) = hooks.take_panic() {
            state.failure.get_or_insert(Error::Hook { reason });
        }
        state.finish()
    }
}

impl State {
    fn reset(&mut self) {
        self.arrived = vec![false; self.parameters.len()];
        self.missing = self.buckets.buckets.iter().map(|bucket| bucket.parameters.len()).collect();
        self.flights.clear();
    }

    fn arrive(&mut self, index: usize) {
        if self.accumulates || self.failure.is_some() {
            return;
        }
        if self.arrived[index] {
            let reason =
                format!("parameter {index} got a gradient twice, and the first may be on its way");
            self.failure = Some(Error::Hook { reason });
            return;
        }
        self.arrived[index] = true;
        self.missing[self.bucket_of[index]] -= 1;
        while self.missing.get(self.flights.len()) == Some(&0) {
            self.leave();
        }
    }

    /// Sends the next bucket.
    fn leave(&mut self) {
        let bucket = &self.buckets.buckets[self.flights.len()];
        match bucket.start(&self.group, &self.parameters) {
            Ok(flight) => self.flights.push(flight),
            // No more leave: what a hook returns nobody sees.
            Err(error) => {
                self.failure = Some(error);
                self.missing.fill(usize::MAX);
            }
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        while self.failure.is_none() && self.flights.len() < self.buckets.buckets.len() {
            self.leave();
        }
        if let Some(error) = self.failure.clone() {
            return Err(error);
        }
        let flights = std::mem::take(&mut self.flights);
        for (bucket, flight) in self.buckets.buckets.iter().zip(flights) {
            if let Err(error) = bucket.finish(flight, &self.parameters) {
                self.failure = Some(error.clone());
                return Err(error);
            }
        }
        self.reset();
        Ok(())
    }
}
