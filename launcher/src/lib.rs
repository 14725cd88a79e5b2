//! The place of this process among those that a launcher started: torchrun, SLURM, an MPI, Kubernetes, or a user's variables.
//!
//! Every launcher says it in environment variables of its own. [`Launch::from_environment`] reads them all, and is `None`
//! where this process is alone.

#![forbid(unsafe_code)]

mod environment;
mod slurm;

pub use slurm::{first_host, tasks_on_node};

/// The port of the store where nothing says another: PyTorch's.
pub const DEFAULT_PORT: u16 = 29500;

/// A process of a group: which one, of how many, and where the others are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The number of this process in the group, from 0.
    pub rank: usize,
    /// The number of processes in the group, at least 2.
    pub world: usize,
    /// The number of this process on its machine, which chooses its GPU: 0 where nothing says it.
    pub local_rank: usize,
    /// The number of processes on this machine, where it is known.
    pub local_world: Option<usize>,
    /// The machine of rank 0 (`MASTER_ADDR`), where the store is reached: none where it must be asked of the user.
    pub host: Option<String>,
    /// The store's port (`MASTER_PORT`).
    pub port: u16,
    /// The launcher.
    pub launcher: Launcher,
    /// Whether the launcher's agent hosts the store (`TORCHELASTIC_USE_AGENT_STORE`), so that every rank is a client of it.
    pub store_at_agent: bool,
    /// How often the agent restarted the group after a failure (`TORCHELASTIC_RESTART_COUNT`).
    pub restart: u64,
    /// The launcher's name of the run: torchrun's or SLURM's job.
    pub run_id: Option<String>,
}

/// Launchers, by the variables that they set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// PyTorch's torchrun: `TORCHELASTIC_RUN_ID`.
    Torchrun,
    /// SLURM's srun: `SLURM_PROCID` in a step.
    Slurm,
    /// Open MPI, Intel MPI or MPICH: `OMPI_COMM_WORLD_RANK` or `PMI_RANK`.
    Mpi,
    /// An Indexed Job of Kubernetes, whose manifest sets `WORLD_SIZE`: `JOB_COMPLETION_INDEX`.
    Kubernetes,
    /// A user's own `RANK` and `WORLD_SIZE`.
    Variables,
}

/// Environments that contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A variable's value is no number that it can be.
    #[error("{variable} is \"{value}\", and it must be {wanted}")]
    Number {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The numbers that it can be.
        wanted: &'static str,
    },
    /// A rank without the number of processes.
    #[error("{variable} is {rank}, but {missing} is not set: set it to the number of processes")]
    NoWorld {
        /// The variable of the rank.
        variable: &'static str,
        /// The rank.
        rank: usize,
        /// The variable that is not set.
        missing: &'static str,
    },
    /// A number of processes without a rank.
    #[error(
        "{variable} is {world}, but {missing} is not set: set it to the number of this process, from 0"
    )]
    NoRank {
        /// The variable of the number of processes.
        variable: &'static str,
        /// The number of processes.
        world: usize,
        /// The variable that is not set.
        missing: &'static str,
    },
    /// A rank that is none of the group's.
    #[error("{variable} is {rank}, but {world_variable} is {world}: ranks are 0 to {}", world.saturating_sub(1))]
    Rank {
        /// The variable of the rank.
        variable: &'static str,
        /// The rank.
        rank: usize,
        /// The variable of the number of processes.
        world_variable: &'static str,
        /// The number of processes.
        world: usize,
    },
    /// Two variables that say the same differ.
    #[error(
        "{variable} is {world}, but {other_variable} is {other}: one of them is of another run"
    )]
    Worlds {
        /// The launcher's variable.
        variable: &'static str,
        /// Its value.
        world: usize,
        /// The other variable.
        other_variable: &'static str,
        /// Its value.
        other: usize,
    },
}

impl Launch {
    /// The place of this process by its environment: none where it is alone, as it also is in a group of one.
    pub fn from_environment() -> Result<Option<Self>, Error> {
        Self::from_variables(|name| std::env::var_os(name)?.into_string().ok())
    }

    /// The same of an environment whose variables `get` gives. An empty variable is one that is not set.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        environment::launch(&get)
    }

    /// Whether this process does number `index` of work that is dealt out in turn.
    pub fn owns(&self, index: usize) -> bool {
        index % self.world == self.rank
    }
}
