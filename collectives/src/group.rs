//! A group of processes, and its collectives.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use launcher::Launch;
use tch::{Device, Kind, Tensor, no_grad};

use crate::join::{self, JoinOptions};
use crate::shim::{Backend, Handle, Store};
use crate::watcher::{Verdict, Watcher};
use crate::{Error, Ranks};

/// The way in which the values of all ranks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The sum, in the tensor's dtype.
    Sum,
    /// The sum divided by the number of processes: of floating-point numbers alone.
    Mean,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// The processes that work together, each with its rank. A collective is called by all of them, in the same order, with tensors
/// of one shape and dtype, and by one thread of each.
///
/// An error names the ranks that are missing. After one the group is of no more use: every further call answers the same. A
/// clone is the same group. That of [`Group::alone`] has one process, for which every collective is the identity.
#[derive(Clone, Default)]
pub struct Group {
    members: Option<Arc<Members>>,
}

/// A group of more than one.
pub(crate) struct Members {
    pub(crate) rank: usize,
    pub(crate) world: usize,
    pub(crate) timeout: Duration,
    /// Whoever hosts the store, in words.
    pub(crate) host: &'static str,
    /// Where the backend's tensors are.
    pub(crate) device: Device,
    /// The next fields end in this order: the watcher's connection before the store that rank 0 hosts.
    pub(crate) backend: Mutex<Option<Backend>>,
    pub(crate) watcher: Watcher,
    pub(crate) _store: Mutex<Store>,
    pub(crate) failure: Mutex<Option<Error>>,
    /// Operations that were started and not seen to end.
    pub(crate) pending: AtomicUsize,
}

/// The longest time between two looks at whether others failed.
const SLICE: Duration = Duration::from_millis(100);

/// The dtypes that backends reduce and move.
const KINDS: [Kind; 8] = [
    Kind::Float,
    Kind::Double,
    Kind::Half,
    Kind::BFloat16,
    Kind::Int64,
    Kind::Int,
    Kind::Int8,
    Kind::Uint8,
];

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// The group of this process alone.
    pub fn alone() -> Self {
        Self::default()
    }

    /// Joins the group of a launch, with all of its other processes. An error within the join's timeout says who did not come.
    pub fn join(launch: &Launch, options: &JoinOptions) -> Result<Self, Error> {
        if launch.world == 1 {
            return Ok(Self::alone());
        }
        Ok(Self { members: Some(Arc::new(join::join(launch, options)?)) })
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        self.members.as_ref().map_or(0, |members| members.rank)
    }

    /// The number of processes.
    pub fn world(&self) -> usize {
        self.members.as_ref().map_or(1, |members| members.world)
    }

    /// Whether this is rank 0.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there is no other process.
    pub fn is_alone(&self) -> bool {
        self.members.is_none()
    }

    /// The error that ended the group, if one did.
    pub fn failure(&self) -> Option<Error> {
        lock(&self.members.as_ref()?.failure).clone()
    }

    /// Replaces a tensor's values, in place, by those of all ranks reduced. No gradient goes through it.
    pub fn all_reduce(&self, tensor: &Tensor, reduction: Reduction) -> Result<(), Error> {
        self.start_all_reduce(tensor, reduction)?.wait()
    }

    /// The same of several tensors, which are on their way together.
    pub fn all_reduce_many(&self, tensors: &[&Tensor], reduction: Reduction) -> Result<(), Error> {
        let start = |tensor: &&Tensor| self.start_all_reduce(tensor, reduction);
        let works: Vec<Work> = tensors.iter().map(start).collect::<Result<_, _>>()?;
        works.into_iter().try_for_each(Work::wait)
    }

    /// Begins [`Group::all_reduce`]. The tensor must not be read or written until the work was waited for.
    pub fn start_all_reduce(&self, tensor: &Tensor, reduction: Reduction) -> Result<Work, Error> {
        let operation = "all_reduce";
        check(operation, tensor)?;
        let is_float =
            matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16);
        if reduction == Reduction::Mean && !is_float {
            return Err(refused(operation, tensor, "integers have no mean"));
        }
        let Some(members) = self.members.as_ref().filter(|_| tensor.numel() > 0) else {
            return Ok(Work(None));
        };
        let wire = members.wire(tensor);
        let handle =
            members.start(operation, |backend| backend.all_reduce(&wire, reduction as i32))?;
        let target = (!is_same(&wire, tensor)).then(|| tensor.shallow_clone());
        Ok(Work(Some(InFlight { members: Arc::clone(members), handle, operation, wire, target })))
    }

    /// The tensors of all ranks, which have one shape and dtype, by rank.
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, Error> {
        if self.is_alone() {
            check("all_gather", tensor)?;
            return Ok(vec![tensor.detach().copy()]);
        }
        let gathered = self.all_gather_into(&tensor.unsqueeze(0))?;
        Ok(gathered.unbind(0))
    }

    /// The tensors of all ranks, one after the other along the first dimension: [B, ..] to [W*B, ..]. No gradient goes through
    /// it; [`Group::gather_with_gradient`] is the one that has it.
    pub fn all_gather_into(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        let operation = "all_gather";
        check(operation, tensor)?;
        let Some(members) = &self.members else { return Ok(tensor.detach().copy()) };
        let mut size = tensor.size();
        match size.first_mut() {
            Some(first) => *first *= members.world as i64,
            None => return Err(refused(operation, tensor, "it has no dimension to gather along")),
        }
        let wire = members.wire(tensor);
        let output = Tensor::empty(&size, (wire.kind(), wire.device()));
        if output.numel() > 0 {
            members.run(operation, |backend| backend.all_gather(&output, &wire))?;
        }
        Ok(output.to_device(tensor.device()))
    }

    /// This rank's part of the reduced tensor, whose first dimension has a part for each rank: [W*B, ..] to [B, ..].
    pub fn reduce_scatter(&self, tensor: &Tensor, reduction: Reduction) -> Result<Tensor, Error> {
        let operation = "reduce_scatter";
        check(operation, tensor)?;
        let mut size = tensor.size();
        let world = self.world() as i64;
        match size.first_mut() {
            Some(first) if *first % world == 0 => *first /= world,
            _ => {
                return Err(refused(
                    operation,
                    tensor,
                    "it is not as many parts as there are ranks",
                ));
            }
        }
        let Some(members) = &self.members else { return Ok(tensor.detach().copy()) };
        // Gloo has no mean here.
        let (sent, is_mean) = match reduction {
            Reduction::Mean => (Reduction::Sum, true),
            reduction => (reduction, false),
        };
        if is_mean
            && !matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
        {
            return Err(refused(operation, tensor, "integers have no mean"));
        }
        let wire = members.wire(tensor);
        let mut output = Tensor::empty(&size, (wire.kind(), wire.device()));
        if output.numel() > 0 {
            members
                .run(operation, |backend| backend.reduce_scatter(&output, &wire, sent as i32))?;
        }
        if is_mean {
            let _ = no_grad(|| output.divide_scalar_(world));
        }
        Ok(output.to_device(tensor.device()))
    }

    /// Replaces a tensor's values, in place, by those of one rank.
    pub fn broadcast(&self, tensor: &mut Tensor, root: usize) -> Result<(), Error> {
        let operation = "broadcast";
        check(operation, tensor)?;
        if root >= self.world() {
            return Err(refused(operation, tensor, "its rank is none of the group's"));
        }
        let Some(members) = self.members.as_ref().filter(|_| tensor.numel() > 0) else {
            return Ok(());
        };
        let wire = members.wire(tensor);
        members.run(operation, |backend| backend.broadcast(&wire, root))?;
        if !is_same(&wire, tensor) {
            no_grad(|| tensor.detach().copy_(&wire));
        }
        Ok(())
    }

    /// Waits until all ranks have come here.
    pub fn barrier(&self) -> Result<(), Error> {
        match &self.members {
            Some(members) => members.run("barrier", Backend::barrier),
            None => Ok(()),
        }
    }

    /// The bytes of all ranks, of any lengths, by rank.
    pub fn all_gather_bytes(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        if self.is_alone() {
            return Ok(vec![bytes.to_vec()]);
        }
        let device = self.members.as_ref().map_or(Device::Cpu, |members| members.device);
        let length = Tensor::from_slice(&[bytes.len() as i64]).to_device(device);
        let lengths = Vec::<i64>::try_from(self.all_gather_into(&length)?.to_device(Device::Cpu));
        let lengths = lengths.expect("a vector of i64");
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let mut padded = bytes.to_vec();
        padded.resize(longest as usize, 0);
        let padded = Tensor::from_slice(&padded).to_device(device).unsqueeze(0);
        let gathered = self.all_gather_into(&padded)?.to_device(Device::Cpu);
        let rows = lengths.iter().enumerate().map(|(rank, length)| {
            let row = gathered.get(rank as i64).narrow(0, 0, *length);
            Vec::<u8>::try_from(row.contiguous()).expect("a vector of u8")
        });
        Ok(rows.collect())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Group(rank {} of {})", self.rank(), self.world())
    }
}

/// An operation that was begun.
#[must_use = "an operation ends when it is waited for"]
pub struct Work(Option<InFlight>);

struct InFlight {
    members: Arc<Members>,
    handle: Handle,
    operation: &'static str,
    wire: Tensor,
    /// The tensor to copy the result to, where it did not go over the wire itself.
    target: Option<Tensor>,
}

impl Work {
    /// Waits until the operation is done.
    pub fn wait(self) -> Result<(), Error> {
        let Some(InFlight { members, handle, operation, wire, target }) = self.0 else {
            return Ok(());
        };
        members.wait(&handle, operation)?;
        if let Some(target) = target {
            no_grad(|| target.detach().copy_(&wire));
        }
        Ok(())
    }
}

impl Members {
    /// The values as the backend moves them: where it has tensors, one number after the other, without a gradient.
    fn wire(&self, tensor: &Tensor) -> Tensor {
        tensor.detach().to_device(self.device).contiguous()
    }

    /// Begins an operation, unless one failed before.
    fn start(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Backend) -> Result<Handle, String>,
    ) -> Result<Handle, Error> {
        if let Some(error) = lock(&self.failure).clone() {
            return Err(error);
        }
        if self.watcher.alarm() {
            return Err(self.fail(operation, "another rank failed"));
        }
        let answer = lock(&self.backend).as_ref().map(call);
        match answer {
            Some(Ok(handle)) => {
                self.pending.fetch_add(1, Ordering::AcqRel);
                Ok(handle)
            }
            Some(Err(reason)) => Err(self.fail(operation, &reason)),
            None => Err(self.fail(operation, "the group has ended")),
        }
    }

    fn run(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Backend) -> Result<Handle, String>,
    ) -> Result<(), Error> {
        self.wait(&self.start(operation, call)?, operation)
    }

    fn wait(&self, handle: &Handle, operation: &'static str) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            match handle.wait(SLICE.min(self.timeout)) {
                Ok(true) => {
                    self.pending.fetch_sub(1, Ordering::AcqRel);
                    return Ok(());
                }
                Ok(false) if self.watcher.alarm() => {
                    return Err(self.fail(operation, "another rank failed"));
                }
                Ok(false) if begun.elapsed() >= self.timeout => {
                    return Err(self.fail(operation, "it took too long"));
                }
                Ok(false) => {}
                Err(reason) => return Err(self.fail(operation, &reason)),
            }
        }
    }

    /// Ends the group: the error says who is missing.
    fn fail(&self, operation: &'static str, reason: &str) -> Error {
        let mut failure = lock(&self.failure);
        if let Some(error) = failure.clone() {
            return error;
        }
        tracing::debug!("{operation} failed: {reason}");
        let seconds = self.timeout.as_secs();
        let ranks = |ranks| Ranks { ranks, world: self.world };
        let error = match self.watcher.report(operation) {
            Verdict::StoreGone => Error::StoreGone { host: self.host.to_owned(), operation },
            Verdict::Answers { silent, .. } if !silent.is_empty() => {
                Error::Left { ranks: ranks(silent), seconds, operation }
            }
            Verdict::Answers { late, .. } if !late.is_empty() => {
                Error::Late { ranks: ranks(late), operation, seconds }
            }
            Verdict::Answers { .. } => Error::Operation { operation, reason: reason.to_owned() },
        };
        failure.insert(error).clone()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        // A backend waits for what it works on before it ends, and that never ends where a rank is gone: then the system ends
        // its threads with the process.
        let is_busy = *self.pending.get_mut() > 0 || lock(&self.failure).is_some();
        if let Some(backend) = lock(&self.backend).take().filter(|_| is_busy) {
            mem::forget(backend);
        }
    }
}

/// Whether two tensors are the same numbers in memory.
fn is_same(one: &Tensor, other: &Tensor) -> bool {
    one.device() == other.device() && one.data_ptr() == other.data_ptr()
}

fn check(operation: &'static str, tensor: &Tensor) -> Result<(), Error> {
    if KINDS.contains(&tensor.kind()) {
        return Ok(());
    }
    Err(refused(operation, tensor, "no process group moves this dtype"))
}

fn refused(operation: &'static str, tensor: &Tensor, reason: &'static str) -> Error {
    Error::Tensor { operation, of: format!("{:?} {:?}", tensor.kind(), tensor.size()), reason }
}
