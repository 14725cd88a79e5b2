//! Ranks as processes: how they are started, killed and heard.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use collectives::{Group, JoinOptions};
use launcher::Launch;

/// Does a rank's part.
pub(crate) type Scenario = fn(&Launch, &JoinOptions);

const SCENARIO: &str = "UNCLIP_TEST_SCENARIO";
const SECONDS: &str = "UNCLIP_TEST_SECONDS";
const FRESH: &str = "UNCLIP_TEST_FRESH_ROUND";

/// Does this process' part, where its environment has one.
pub(crate) fn run(scenarios: &[(&str, Scenario)]) {
    let Ok(wanted) = std::env::var(SCENARIO) else { return };
    let (_, scenario) = scenarios.iter().find(|(name, _)| *name == wanted).expect("a scenario");
    let launch = Launch::from_environment().expect("the variables agree").expect("a launch");
    let seconds = Duration::from_secs(std::env::var(SECONDS).unwrap().parse().unwrap());
    let options = JoinOptions {
        join_timeout: seconds,
        timeout: seconds,
        fresh_round: std::env::var(FRESH).is_ok(),
        ..JoinOptions::default()
    };
    scenario(&launch, &options);
}

/// Joins, or says why not and ends.
pub(crate) fn join(launch: &Launch, options: &JoinOptions) -> Group {
    let begun = Instant::now();
    match Group::join(launch, options) {
        Ok(group) => group,
        Err(error) => {
            say(&format!("{error}"));
            assert!(begun.elapsed() < options.join_timeout + Duration::from_secs(20), "{error}");
            std::process::exit(0);
        }
    }
}

/// A line for the test.
pub(crate) fn say(text: &str) {
    println!("\nsays: {text}");
}

/// A port that nothing listens at.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The processes of a group, and what they are told.
pub(crate) struct Setting {
    pub(crate) scenario: &'static str,
    pub(crate) world: usize,
    pub(crate) port: u16,
    /// The timeouts.
    pub(crate) seconds: u64,
    pub(crate) fresh_round: bool,
    pub(crate) store_at_agent: bool,
}

impl Setting {
    pub(crate) fn new(scenario: &'static str, world: usize) -> Self {
        Self {
            scenario,
            world,
            port: free_port(),
            seconds: 60,
            fresh_round: true,
            store_at_agent: false,
        }
    }

    /// A rank whose environment has these variables alone of those that launchers set.
    pub(crate) fn start_with(&self, variables: &[(&str, String)]) -> Rank {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["collectives::rank_main", "--exact", "--nocapture", "--test-threads=1"]);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let of_launchers = ["SLURM", "OMPI_", "PMI_", "MPI_", "MASTER_", "TORCHELASTIC"];
            if of_launchers.iter().any(|beginning| name.starts_with(beginning)) {
                command.env_remove(&*name);
            }
        }
        for name in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", FRESH] {
            command.env_remove(name);
        }
        command.env(SCENARIO, self.scenario).env(SECONDS, self.seconds.to_string());
        command.env("OMP_NUM_THREADS", "1");
        if self.fresh_round {
            command.env(FRESH, "yes");
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Rank { child, stdout }
    }

    /// A rank with torchrun's variables.
    pub(crate) fn start(&self, rank: usize) -> Rank {
        self.start_with(&self.of_torchrun(rank))
    }

    /// The same with further variables.
    pub(crate) fn start_in(&self, rank: usize, further: &[(&'static str, String)]) -> Rank {
        self.start_with(&[&self.of_torchrun(rank), further].concat())
    }

    fn of_torchrun(&self, rank: usize) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", rank.to_string()),
            ("WORLD_SIZE", self.world.to_string()),
            ("MASTER_ADDR", "127.0.0.1".to_owned()),
            ("MASTER_PORT", self.port.to_string()),
        ];
        if self.store_at_agent {
            variables.push(("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()));
        }
        variables
    }

    /// All ranks.
    pub(crate) fn start_all(&self) -> Vec<Rank> {
        (0..self.world).map(|rank| self.start(rank)).collect()
    }

    /// Runs all ranks to their ends, which must be good ones.
    pub(crate) fn run_all(&self) {
        self.start_all().into_iter().for_each(|rank| drop(rank.finish()));
    }
}

/// A process.
pub(crate) struct Rank {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Rank {
    /// The next line that it says.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                let mut stderr = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                panic!("a rank said nothing more: {stderr}");
            }
            if let Some(text) = line.trim_end().strip_prefix("says: ") {
                return text.to_owned();
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for its end, which must be a good one; the lines that it said.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{stdout}\n{stderr}");
        assert!(stdout.contains("1 passed") || stdout.contains("says: "), "it ran: {stdout}");
        assert!(!stderr.contains("[c10d]"), "nothing is printed by libtorch: {stderr}");
        stdout.lines().filter_map(|line| line.strip_prefix("says: ")).map(str::to_owned).collect()
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
