//! Ranks in environment variables, launcher by launcher.

use crate::{DEFAULT_PORT, Error, Launch, Launcher, slurm};

/// The variables of one kind of launcher.
struct Source {
    launcher: Launcher,
    rank: &'static str,
    world: &'static [&'static str],
    local_rank: &'static str,
    local_world: &'static str,
}

/// Launchers in the order in which they are asked: the innermost first, for each leaves the variables of the one that started
/// it in place. open_clip asks SLURM before Open MPI; but mpirun in a SLURM job starts one process a machine by srun, and those
/// give their own `SLURM_PROCID` on to all of their ranks.
const SOURCES: [Source; 5] = [
    Source {
        launcher: Launcher::Variables,
        rank: "RANK",
        world: &["WORLD_SIZE"],
        local_rank: "LOCAL_RANK",
        local_world: "LOCAL_WORLD_SIZE",
    },
    Source {
        launcher: Launcher::Mpi,
        rank: "PMI_RANK",
        world: &["PMI_SIZE"],
        local_rank: "MPI_LOCALRANKID",
        local_world: "MPI_LOCALNRANKS",
    },
    Source {
        launcher: Launcher::Mpi,
        rank: "OMPI_COMM_WORLD_RANK",
        world: &["OMPI_COMM_WORLD_SIZE"],
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        local_world: "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    Source {
        launcher: Launcher::Slurm,
        rank: "SLURM_PROCID",
        world: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
        local_rank: "SLURM_LOCALID",
        local_world: "",
    },
    Source {
        launcher: Launcher::Kubernetes,
        rank: "JOB_COMPLETION_INDEX",
        world: &[],
        local_rank: "",
        local_world: "",
    },
];

/// The environment's variables.
pub(crate) struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// A variable that is set to more than blanks.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = (self.0)(name)?.trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// A variable's number.
    fn number(&self, name: &'static str) -> Result<Option<usize>, Error> {
        let Some(value) = self.text(name) else { return Ok(None) };
        // More than any cluster has, and few enough for every interface that takes them.
        match value.parse().ok().filter(|number| *number <= i32::MAX as usize) {
            Some(number) => Ok(Some(number)),
            None => {
                Err(Error::Number { variable: name, value, wanted: "a whole number from 0 on" })
            }
        }
    }

    /// The first of the variables that is set, with its number.
    fn first(&self, names: &[&'static str]) -> Result<Option<(&'static str, usize)>, Error> {
        for name in names {
            if let Some(number) = self.number(name)? {
                return Ok(Some((name, number)));
            }
        }
        Ok(None)
    }
}

/// The place that the variables say.
pub(crate) fn launch(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Launch>, Error> {
    let environment = Environment(get);
    let Some((source, rank, world)) = place(&environment)? else { return Ok(None) };
    if world == 1 {
        return Ok(None);
    }
    let is_torchrun = environment.text("TORCHELASTIC_RUN_ID").is_some();
    let launcher = match source.launcher {
        Launcher::Variables if is_torchrun => Launcher::Torchrun,
        launcher => launcher,
    };
    let local = |own: &'static str, other| environment.first(&[own, other]);
    let local_rank = local(source.local_rank, "LOCAL_RANK")?.map_or(0, |(_, number)| number);
    let local_world = match launcher {
        Launcher::Slurm => slurm::local_world(&environment),
        _ => local(source.local_world, "LOCAL_WORLD_SIZE")?.map(|(_, number)| number),
    };
    let of_slurm = launcher == Launcher::Slurm;
    let host = environment
        .text("MASTER_ADDR")
        .or_else(|| slurm::host(&environment).filter(|_| of_slurm))
        .or_else(|| (local_world == Some(world)).then(|| "127.0.0.1".to_owned()));
    let job = environment.text("SLURM_JOB_ID").filter(|_| of_slurm);
    let port = match port(&environment)? {
        Some(port) => port,
        None => job.as_deref().and_then(slurm::port).unwrap_or(DEFAULT_PORT),
    };
    let restart = match environment.text("TORCHELASTIC_RESTART_COUNT") {
        Some(value) => value.parse().map_err(|_| Error::Number {
            variable: "TORCHELASTIC_RESTART_COUNT",
            value,
            wanted: "a number of restarts",
        })?,
        None => 0,
    };
    let agent = environment.text("TORCHELASTIC_USE_AGENT_STORE");
    Ok(Some(Launch {
        rank,
        world,
        local_rank,
        local_world,
        host,
        port,
        launcher,
        store_at_agent: agent.is_some_and(|value| value.eq_ignore_ascii_case("true")),
        restart,
        run_id: environment.text("TORCHELASTIC_RUN_ID").or(job),
    }))
}

/// The innermost launcher with the rank and the number of processes that it says.
fn place(environment: &Environment) -> Result<Option<(&'static Source, usize, usize)>, Error> {
    let by_hand = environment.first(&["WORLD_SIZE"])?;
    for source in &SOURCES {
        let applies = match source.launcher {
            // A job that is not srun's has the variables too, as the shell of salloc and the script of sbatch do.
            Launcher::Slurm => slurm::is_step(environment),
            // Most Indexed Jobs are no group of processes.
            Launcher::Kubernetes => by_hand.is_some(),
            _ => true,
        };
        if !applies {
            continue;
        }
        let world = environment.first(source.world)?;
        let Some(rank) = environment.number(source.rank)? else {
            let of_launcher = world.filter(|_| source.launcher == Launcher::Mpi);
            if let Some((variable, world)) = of_launcher.filter(|(_, world)| *world > 1) {
                return Err(Error::NoRank { variable, world, missing: source.rank });
            }
            continue;
        };
        let variable = source.rank;
        let Some((world_variable, world)) = world.or(by_hand) else {
            let missing = source.world.first().unwrap_or(&"WORLD_SIZE");
            return Err(Error::NoWorld { variable, rank, missing });
        };
        if let Some((other_variable, other)) = by_hand.filter(|(_, other)| *other != world) {
            return Err(Error::Worlds { variable: world_variable, world, other_variable, other });
        }
        if rank >= world {
            return Err(Error::Rank { variable, rank, world_variable, world });
        }
        return Ok(Some((source, rank, world)));
    }
    match by_hand {
        Some((variable, world)) if world > 1 => {
            Err(Error::NoRank { variable, world, missing: "RANK" })
        }
        _ => Ok(None),
    }
}

/// The store's port where `MASTER_PORT` says it.
fn port(environment: &Environment) -> Result<Option<u16>, Error> {
    let Some(value) = environment.text("MASTER_PORT") else { return Ok(None) };
    match value.parse().ok().filter(|port| *port != 0) {
        Some(port) => Ok(Some(port)),
        None => Err(Error::Number { variable: "MASTER_PORT", value, wanted: "1 to 65535" }),
    }
}
