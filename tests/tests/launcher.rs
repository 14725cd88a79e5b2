//! Launchers' variables: which process of how many this is, and where all of them meet.

use std::collections::HashMap;

use launcher::{Launch, Launcher, first_host, tasks_on_node};

/// The launch that `NAME=value` words say.
fn launch(words: &str) -> Result<Option<Launch>, String> {
    let variables: HashMap<&str, &str> =
        words.split_whitespace().map(|word| word.split_once('=').expect("a variable")).collect();
    let get = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    Launch::from_variables(get).map_err(|error| error.to_string())
}

const SRUN: &str =
    "SLURM_JOB_ID=1234567 SLURM_NTASKS=6 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=6 SLURM_NODEID=1
    SLURM_STEP_NODELIST=gpu[07-08] SLURM_STEP_TASKS_PER_NODE=3(x2) SLURM_LOCALID=1";

#[test]
fn a_process_is_found_in_each_launchers_variables() {
    use Launcher::{Kubernetes, Mpi, Slurm, Torchrun, Variables};
    for (words, wanted, place, local, address) in [
        (
            "RANK=3 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=5 TORCHELASTIC_RUN_ID=x",
            Torchrun,
            (3, 8),
            (1, Some(2)),
            (Some("a"), 5),
        ),
        ("RANK=1 WORLD_SIZE=2 MASTER_ADDR=a", Variables, (1, 2), (0, None), (Some("a"), 29500)),
        (
            "RANK=1 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2",
            Variables,
            (1, 2),
            (0, Some(2)),
            (Some("127.0.0.1"), 29500),
        ),
        (&format!("{SRUN} SLURM_PROCID=4"), Slurm, (4, 6), (1, Some(3)), (Some("gpu07"), 24567)),
        (
            &format!("{SRUN} SLURM_PROCID=0 MASTER_ADDR=b MASTER_PORT=7"),
            Slurm,
            (0, 6),
            (1, Some(3)),
            (Some("b"), 7),
        ),
        // mpirun in a job of SLURM's: srun started the daemon that started this.
        (
            &format!(
                "{SRUN} SLURM_PROCID=1 OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 MASTER_ADDR=c"
            ),
            Mpi,
            (5, 8),
            (0, None),
            (Some("c"), 29500),
        ),
        // torchrun in one, once a machine.
        (
            &format!(
                "{SRUN} SLURM_PROCID=1 RANK=9 WORLD_SIZE=16 LOCAL_RANK=1 MASTER_ADDR=d TORCHELASTIC_RUN_ID=y"
            ),
            Torchrun,
            (9, 16),
            (1, None),
            (Some("d"), 29500),
        ),
        (
            "PMI_RANK=1 PMI_SIZE=2 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2",
            Mpi,
            (1, 2),
            (1, Some(2)),
            (Some("127.0.0.1"), 29500),
        ),
        ("PMI_RANK=1 PMI_SIZE=4 MPI_LOCALNRANKS=2", Mpi, (1, 4), (0, Some(2)), (None, 29500)),
        (
            "JOB_COMPLETION_INDEX=2 WORLD_SIZE=4 MASTER_ADDR=pod-0.svc",
            Kubernetes,
            (2, 4),
            (0, None),
            (Some("pod-0.svc"), 29500),
        ),
        ("RANK=0 WORLD_SIZE=2 LOCAL_RANK=", Variables, (0, 2), (0, None), (None, 29500)),
    ] {
        let found = launch(words).unwrap().unwrap_or_else(|| panic!("{words}"));
        assert_eq!(found.launcher, wanted, "{words}");
        assert_eq!((found.rank, found.world), place, "{words}");
        assert_eq!((found.local_rank, found.local_world), local, "{words}");
        assert_eq!((found.host.as_deref(), found.port), address, "{words}");
        assert!(!found.store_at_agent && found.restart == 0);
    }
}

#[test]
fn torchruns_agent_is_told_by_its_variables() {
    let words = "RANK=0 WORLD_SIZE=2 TORCHELASTIC_RUN_ID=none TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RESTART_COUNT=3";
    let found = launch(words).unwrap().unwrap();
    assert!(found.store_at_agent && found.rank == 0);
    assert_eq!((found.restart, found.run_id.as_deref()), (3, Some("none")));
    let found = launch("RANK=0 WORLD_SIZE=2 TORCHELASTIC_USE_AGENT_STORE=False").unwrap().unwrap();
    assert!(!found.store_at_agent);
    assert_eq!(
        launch(&format!("{SRUN} SLURM_PROCID=0")).unwrap().unwrap().run_id.as_deref(),
        Some("1234567")
    );
}

#[test]
fn a_process_that_is_alone_is_told() {
    for words in [
        "",
        "RANK=0 WORLD_SIZE=1",
        "WORLD_SIZE=1",
        "OMPI_COMM_WORLD_SIZE=1 OMPI_COMM_WORLD_RANK=0",
        // The shell of salloc, the script of sbatch, and the interactive step of newer versions.
        "SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_PROCID=0 SLURM_LOCALID=0",
        "SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_PROCID=0 SLURM_STEP_ID=4294967291",
        "SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_PROCID=0 SLURM_STEPID=4294967290",
        "SLURM_STEP_ID=0 SLURM_NTASKS=1 SLURM_PROCID=0",
        // A job of many that know nothing of each other.
        "JOB_COMPLETION_INDEX=5",
    ] {
        assert_eq!(launch(words), Ok(None), "{words}");
    }
}

#[test]
fn variables_that_contradict_each_other_are_refused_with_their_values() {
    for (words, wanted) in [
        ("RANK=1", "RANK is 1, but WORLD_SIZE is not set: set it to the number of processes"),
        (
            "WORLD_SIZE=4",
            "WORLD_SIZE is 4, but RANK is not set: set it to the number of this process, from 0",
        ),
        ("RANK=4 WORLD_SIZE=4", "RANK is 4, but WORLD_SIZE is 4: ranks are 0 to 3"),
        ("RANK=0 WORLD_SIZE=0", "RANK is 0, but WORLD_SIZE is 0: ranks are 0 to 0"),
        ("RANK=x WORLD_SIZE=4", "RANK is \"x\", and it must be a whole number from 0 on"),
        ("RANK=0 WORLD_SIZE=-1", "WORLD_SIZE is \"-1\", and it must be a whole number from 0 on"),
        (
            "RANK=0 WORLD_SIZE=99999999999",
            "WORLD_SIZE is \"99999999999\", and it must be a whole number from 0 on",
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_PORT=70000",
            "MASTER_PORT is \"70000\", and it must be 1 to 65535",
        ),
        ("RANK=0 WORLD_SIZE=2 MASTER_PORT=0", "MASTER_PORT is \"0\", and it must be 1 to 65535"),
        (
            "RANK=0 WORLD_SIZE=2 TORCHELASTIC_RESTART_COUNT=no",
            "TORCHELASTIC_RESTART_COUNT is \"no\", and it must be a number of restarts",
        ),
        (
            "PMI_SIZE=4",
            "PMI_SIZE is 4, but PMI_RANK is not set: set it to the number of this process, from 0",
        ),
        ("PMI_RANK=0", "PMI_RANK is 0, but PMI_SIZE is not set: set it to the number of processes"),
        (
            "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=4 WORLD_SIZE=8",
            "OMPI_COMM_WORLD_SIZE is 4, but WORLD_SIZE is 8: one of them is of another run",
        ),
        (
            "SLURM_PROCID=7 SLURM_STEP_ID=0 SLURM_NTASKS=4",
            "SLURM_PROCID is 7, but SLURM_NTASKS is 4: ranks are 0 to 3",
        ),
    ] {
        assert_eq!(launch(words), Err(wanted.to_owned()), "{words}");
    }
}

#[test]
fn the_first_host_of_a_list_is_expanded() {
    for (list, wanted) in [
        ("node1", Some("node1")),
        ("node[003-005,9],gpu7", Some("node003")),
        ("node[9,003-005]", Some("node9")),
        ("a1,node[1-2]", Some("a1")),
        ("rack[1-2]node[03-4]-ib,x", Some("rack1node03-ib")),
        ("node[1-2", None),
        ("", None),
    ] {
        assert_eq!(first_host(list).as_deref(), wanted, "{list}");
    }
    for (list, node, wanted) in [
        ("2(x3),1", 0, Some(2)),
        ("2(x3),1", 2, Some(2)),
        ("2(x3),1", 3, Some(1)),
        ("2(x3),1", 4, None),
        ("x", 0, None),
    ] {
        assert_eq!(tasks_on_node(list, node), wanted, "{list} {node}");
    }
}

#[test]
fn each_item_is_of_one_rank() {
    for world in 2..6 {
        let ranks: Vec<Launch> = (0..world)
            .map(|rank| launch(&format!("RANK={rank} WORLD_SIZE={world}")).unwrap().unwrap())
            .collect();
        for item in 0..20 {
            assert_eq!(ranks.iter().filter(|rank| rank.owns(item)).count(), 1);
        }
    }
}
