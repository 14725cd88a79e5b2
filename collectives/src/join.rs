//! Joining a group: the store, the round, the watcher, the backend.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use launcher::Launch;
use tch::Device;

use crate::group::Members;
use crate::round::{self, NoRound};
use crate::shim::{self, Address, Backend, Store};
use crate::watcher::{Verdict, Watcher};
use crate::{Error, Ranks};

/// Settings of [`Group::join`](crate::Group::join).
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The longest time that joining takes.
    pub join_timeout: Duration,
    /// The longest time that an operation takes: a rank that stops answering without its process ending is noticed then.
    pub timeout: Duration,
    /// The device whose tensors are reduced. The CPU's go by Gloo; a GPU's by NCCL where this build has it, and by Gloo and the
    /// host's memory otherwise.
    pub device: Device,
    /// Whether all ranks agree on keys that no earlier group of the same store had, as they must where a launcher's agent hosts
    /// the store and starts ranks again. Python's `init_process_group` does not take part in it: false to join one of those.
    /// Ranks in Python do not answer who still runs either, so an error names them with those that are gone.
    pub fresh_round: bool,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            join_timeout: Duration::from_secs(300),
            timeout: Duration::from_secs(1800),
            device: Device::Cpu,
            fresh_round: true,
        }
    }
}

/// The prefixes of Python's `init_process_group` before that of the device.
const PREFIXES: [&str; 2] = ["default_pg", "0/"];

/// Joins a group of more than one.
pub(crate) fn join(launch: &Launch, options: &JoinOptions) -> Result<Members, Error> {
    if let Some(reason) = shim::MISSING {
        return Err(Error::Build { reason: reason.to_owned() });
    }
    shim::quiet();
    let (rank, world) = (launch.rank, launch.world);
    let meeting = Meeting {
        host: launch.host.as_deref().ok_or(Error::NoHost)?,
        launch,
        deadline: Instant::now() + options.join_timeout,
        seconds: options.join_timeout.as_secs(),
    };
    let is_server = rank == 0 && !launch.store_at_agent;
    // A host that waits for its clients here would not know who is missing: it waits for the round or for the backend.
    let store = meeting.connect(is_server, if is_server { 0 } else { world })?;
    let mut base = "unclip/".to_owned();
    if options.fresh_round {
        let ours = store.prefixed("unclip").map_err(|reason| meeting.failed(reason))?;
        let round = round::agree(&ours, rank, world, meeting.deadline);
        let round = round.map_err(|no_round| match no_round {
            NoRound::Absent(ranks) => meeting.absent(ranks),
            NoRound::Store(reason) => {
                tracing::debug!("the store is gone: {reason}");
                meeting.gone()
            }
        })?;
        base.push_str(&round);
    }
    // Another connection: one that waits for the store keeps others of its kind waiting.
    let watched = meeting.connect(false, 0)?;
    let watched = watched.prefixed(&base).map_err(|reason| meeting.failed(reason))?;
    let watcher = Watcher::start(watched, rank, world).map_err(|reason| meeting.failed(reason))?;
    let (backend, device) = meeting.backend(&store, &watcher, options, &base)?;
    backend.set_timeout(options.timeout).map_err(|reason| meeting.failed(reason))?;
    tracing::debug!("rank {rank} of {world} joined {}", meeting.address());
    Ok(Members {
        rank,
        world,
        timeout: options.timeout,
        host: meeting.host_in_words(),
        device,
        backend: Mutex::new(Some(backend)),
        watcher,
        _store: Mutex::new(store),
        failure: Mutex::default(),
        pending: AtomicUsize::new(0),
    })
}

/// The place and time at which all ranks meet.
struct Meeting<'a> {
    host: &'a str,
    launch: &'a Launch,
    deadline: Instant,
    seconds: u64,
}

impl Meeting<'_> {
    fn remaining(&self) -> Duration {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        remaining.max(Duration::from_millis(1))
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.launch.port)
    }

    fn host_in_words(&self) -> &'static str {
        match self.launch.store_at_agent {
            true => "the launcher's agent",
            false => "rank 0",
        }
    }

    fn connect(&self, is_server: bool, workers: usize) -> Result<Store, Error> {
        let address = Address { host: self.host, port: self.launch.port, is_server, workers };
        Store::connect(&address, self.remaining()).map_err(|reason| match is_server {
            true => Error::Host { address: self.address(), reason },
            false => Error::NoStore {
                host: self.host_in_words().to_owned(),
                address: self.address(),
                seconds: self.seconds,
                reason,
            },
        })
    }

    /// The backend, and the device whose tensors it moves.
    fn backend(
        &self,
        store: &Store,
        watcher: &Watcher,
        options: &JoinOptions,
        base: &str,
    ) -> Result<(Backend, Device), Error> {
        let place = (self.launch.rank, self.launch.world);
        let mut group = match options.fresh_round {
            true => Some(store.prefixed(base).map_err(|reason| self.failed(reason))?),
            false => None,
        };
        for prefix in PREFIXES {
            let outer = group.as_ref().unwrap_or(store);
            group = Some(outer.prefixed(prefix).map_err(|reason| self.failed(reason))?);
        }
        let group = group.as_ref().unwrap_or(store);
        let keys = |device: &str| group.prefixed(device).map_err(|reason| self.failed(reason));
        if options.device != Device::Cpu && cfg!(nccl) {
            let backend = Backend::new(&keys("cuda/")?, true, place, options.timeout);
            return Ok((backend.map_err(|reason| self.failed(reason))?, options.device));
        }
        if options.device != Device::Cpu {
            tracing::warn!(
                "this build has no NCCL: what GPUs reduce goes through the host's memory"
            );
        }
        let keys = keys("cpu/")?;
        match Backend::new(&keys, false, place, self.remaining()) {
            Ok(backend) => Ok((backend, Device::Cpu)),
            Err(reason) => Err(match watcher.report("join") {
                Verdict::StoreGone => self.gone(),
                Verdict::Answers { silent, .. } => {
                    // A rank in Python answers no watcher, but leaves its address where all do.
                    let came = |rank: &usize| {
                        keys.get(&format!("0/{rank}")).is_ok_and(|key| key.is_some())
                    };
                    let absent: Vec<usize> = match options.fresh_round {
                        true => silent,
                        false => silent.into_iter().filter(|rank| !came(rank)).collect(),
                    };
                    if absent.is_empty() { self.failed(reason) } else { self.absent(absent) }
                }
            }),
        }
    }

    fn absent(&self, ranks: Vec<usize>) -> Error {
        Error::Absent { ranks: Ranks { ranks, world: self.launch.world }, seconds: self.seconds }
    }

    fn gone(&self) -> Error {
        Error::StoreGone { host: self.host_in_words().to_owned(), operation: "join" }
    }

    fn failed(&self, reason: String) -> Error {
        Error::Operation { operation: "join", reason }
    }
}
