//! Launchers' variables, and rounds over one store that outlives them.

use std::time::Duration;

use collectives::{JoinOptions, Reduction, StoreHost};
use launcher::Launch;
use tch::Tensor;

use super::ranks::{Setting, free_port, join, say};

/// All ranks' numbers.
pub(crate) fn sum(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let number = Tensor::from(1i64 << launch.rank);
    group.all_reduce(&number, Reduction::Sum).unwrap();
    group.barrier().unwrap();
    say(&format!("{:?} {}", launch.launcher, number.int64_value(&[])));
}

/// The same, and then nothing until it is killed.
pub(crate) fn wait(launch: &Launch, options: &JoinOptions) {
    say("starts");
    sum(launch, options);
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn ranks_meet_by_the_variables_of_slurm_and_of_mpi() {
    let name = |name: &'static str, value: &str| (name, value.to_owned());
    let slurm = |rank: &str, port: u16| {
        vec![
            name("SLURM_STEP_ID", "0"),
            name("SLURM_PROCID", rank),
            name("SLURM_LOCALID", rank),
            name("SLURM_NTASKS", "2"),
            name("SLURM_STEP_NODELIST", "localhost"),
            name("SLURM_STEP_TASKS_PER_NODE", "2"),
            ("MASTER_PORT", port.to_string()),
        ]
    };
    let mpi = |rank: &str, port: u16| {
        vec![
            name("OMPI_COMM_WORLD_RANK", rank),
            name("OMPI_COMM_WORLD_SIZE", "2"),
            name("OMPI_COMM_WORLD_LOCAL_RANK", rank),
            name("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("MASTER_PORT", port.to_string()),
        ]
    };
    for (launcher, variables) in [("Slurm", &slurm as &dyn Fn(_, _) -> Vec<_>), ("Mpi", &mpi)] {
        let setting = Setting::new("sum", 2);
        let ranks = ["0", "1"].map(|rank| setting.start_with(&variables(rank, setting.port)));
        for rank in ranks {
            assert_eq!(rank.finish(), [format!("{launcher} 3")]);
        }
    }
}

#[test]
fn rounds_of_one_store_do_not_meet_the_dead_of_earlier_ones() {
    let port = free_port();
    let _store = StoreHost::start(port).unwrap();
    let round =
        |scenario, world| Setting { port, store_at_agent: true, ..Setting::new(scenario, world) };
    for _ in 0..3 {
        // A round that is killed once all have met.
        let setting = round("wait", 3);
        let mut ranks = setting.start_all();
        for rank in &mut ranks {
            assert_eq!(rank.hear(), "starts");
            assert_eq!(rank.hear(), "Variables 7");
        }
        ranks.iter().for_each(|rank| rank.signal("-KILL"));
        drop(ranks);
        // One that is killed while it waits for a rank.
        let mut ranks = [0, 2].map(|rank| setting.start(rank));
        ranks.iter_mut().for_each(|rank| assert_eq!(rank.hear(), "starts"));
        std::thread::sleep(Duration::from_millis(300));
        ranks.iter().for_each(|rank| rank.signal("-KILL"));
        drop(ranks);
        // Fewer ranks, of which rank 0 comes last: the others meet the numbers of the round before.
        let setting = round("sum", 2);
        let last = setting.start(1);
        std::thread::sleep(Duration::from_millis(300));
        let ranks = [setting.start(0), last];
        for rank in ranks {
            assert_eq!(rank.finish(), ["Variables 3"]);
        }
    }
}
