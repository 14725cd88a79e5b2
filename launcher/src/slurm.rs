//! SLURM's variables: steps, lists of hosts, tasks on each.

use crate::environment::Environment;

/// The numbers of steps that no srun started begin here: the script of sbatch and the shell of salloc are such.
const SPECIAL_STEPS: u64 = 0xffff_fff0;

/// Whether srun started this process.
pub(crate) fn is_step(environment: &Environment) -> bool {
    let step = environment.text("SLURM_STEP_ID").or_else(|| environment.text("SLURM_STEPID"));
    step.and_then(|step| step.parse::<u64>().ok()).is_some_and(|step| step < SPECIAL_STEPS)
}

/// The step's first machine, on which its rank 0 runs.
pub(crate) fn host(environment: &Environment) -> Option<String> {
    let lists = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"];
    first_host(&lists.into_iter().find_map(|name| environment.text(name))?)
}

/// A port by the job's number, so that two jobs on one machine seldom have the same.
pub(crate) fn port(job: &str) -> Option<u16> {
    let job: u64 = job.parse().ok()?;
    u16::try_from(20_000 + job % 10_000).ok()
}

/// The number of the step's processes on this machine.
pub(crate) fn local_world(environment: &Environment) -> Option<usize> {
    let lists = ["SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"];
    let list = lists.into_iter().find_map(|name| environment.text(name))?;
    let node = environment.text("SLURM_NODEID").map_or(Some(0), |node| node.parse().ok())?;
    tasks_on_node(&list, node)
}

/// The first host of a list in SLURM's notation, as `node003` of `node[003-005,9],gpu7`.
pub fn first_host(list: &str) -> Option<String> {
    let (mut host, mut rest) = (String::new(), list.trim());
    while let Some(at) = rest.find(['[', ',']) {
        host.push_str(&rest[..at]);
        if rest[at..].starts_with(',') {
            rest = "";
            break;
        }
        let (numbers, after) = rest[at + 1..].split_once(']')?;
        host.push_str(numbers.split(['-', ',']).next().unwrap_or_default());
        rest = after;
    }
    host.push_str(rest);
    Some(host).filter(|host| !host.is_empty())
}

/// The number of tasks on machine number `node` of a list in SLURM's notation, as 1 on the fourth of `2(x3),1`.
pub fn tasks_on_node(list: &str, node: usize) -> Option<usize> {
    let mut before = 0usize;
    for item in list.split(',') {
        let (tasks, times) = match item.trim().split_once("(x") {
            Some((tasks, times)) => (tasks, times.strip_suffix(')')?.parse().ok()?),
            None => (item.trim(), 1),
        };
        before = before.checked_add(times)?;
        if node < before {
            return tasks.parse().ok();
        }
    }
    None
}
