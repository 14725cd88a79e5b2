//! Commands that a launcher starts several times: they train together, and share what they draw, embed and evaluate.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::checkpoints::{checkpoint_steps, wait_for, whole_checkpoints};
use super::{Ran, Workplace, binary};
use crate::collectives::ranks::free_port;

/// The variables of a rank, by launcher.
#[derive(Clone, Copy, Debug)]
enum Style {
    Torchrun,
    Slurm,
    Mpi,
}

/// A group of ranks of one command.
struct Ranks<'a> {
    place: &'a Workplace,
    style: Style,
    world: usize,
    port: u16,
}

impl<'a> Ranks<'a> {
    fn new(place: &'a Workplace, style: Style, world: usize) -> Self {
        Self { place, style, world, port: free_port() }
    }

    fn start(&self, rank: usize, arguments: &[&str]) -> Child {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["SLURM", "OMPI_", "PMI_", "MASTER_", "TORCHELASTIC"]
                .iter()
                .any(|beginning| name.starts_with(beginning))
            {
                command.env_remove(&*name);
            }
        }
        let (rank, world) = (rank.to_string(), self.world.to_string());
        match self.style {
            Style::Torchrun => {
                command.envs([
                    ("RANK", &rank),
                    ("LOCAL_RANK", &rank),
                    ("WORLD_SIZE", &world),
                    ("LOCAL_WORLD_SIZE", &world),
                ]);
                command.env("MASTER_ADDR", "127.0.0.1");
            }
            Style::Slurm => {
                command.envs([
                    ("SLURM_PROCID", &rank),
                    ("SLURM_LOCALID", &rank),
                    ("SLURM_NTASKS", &world),
                    ("SLURM_STEP_NUM_TASKS", &world),
                ]);
                command.envs([("SLURM_STEP_ID", "0"), ("SLURM_JOB_ID", "7")]);
                command.env("SLURM_STEP_NODELIST", "localhost");
            }
            Style::Mpi => {
                command.envs([
                    ("OMPI_COMM_WORLD_RANK", &rank),
                    ("OMPI_COMM_WORLD_LOCAL_RANK", &rank),
                    ("OMPI_COMM_WORLD_SIZE", &world),
                    ("OMPI_COMM_WORLD_LOCAL_SIZE", &world),
                ]);
            }
        }
        command
            .args(arguments)
            .current_dir(self.place.folder.path())
            .env("MASTER_PORT", self.port.to_string())
            .env("OMP_NUM_THREADS", "1")
            .env("UNCLIP_THREADS", "1")
            .env("UNCLIP_DETERMINISTIC", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    fn start_all(&self, arguments: &[&str]) -> Vec<Child> {
        (0..self.world).map(|rank| self.start(rank, arguments)).collect()
    }

    fn run(&self, arguments: &[&str]) -> Vec<Ran> {
        let all = self.start_all(arguments).into_iter();
        all.map(|child| Ran::new(child.wait_with_output().unwrap())).collect()
    }
}

/// The losses in a run's metrics.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap())
    };
    text.lines().map(line).collect()
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn end(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

const TRAIN: [&str; 7] = [
    "train",
    "clip",
    "--preset=tiny",
    "--set=clip.run.batch=8",
    "--set=clip.run.steps=20",
    "--dtype=f32",
    "--group-timeout=20",
];

fn train<'a>(further: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN, further].concat()
}

#[test]
fn a_training_is_the_same_by_whichever_launcher_and_however_many() {
    let place = Workplace::new();
    place.run(&["train", "tokenizer", "--preset=tiny", "--out=mine"]).succeeds();
    place.run(&train(&["--out=mine", "--runs=alone"])).succeeds();
    let expected = losses(&place.path("alone/clip"));
    assert!(expected.len() >= 3, "{expected:?}");
    for (style, world) in [(Style::Torchrun, 2), (Style::Slurm, 2), (Style::Mpi, 4)] {
        let runs = format!("--runs={style:?}");
        let ranks = Ranks::new(&place, style, world);
        for (rank, ran) in ranks.run(&train(&["--out=mine", &runs])).into_iter().enumerate() {
            let Ran { stderr, .. } = ran.succeeds();
            assert_eq!(stderr.contains("step 20 of 20"), rank == 0, "{style:?} {rank}: {stderr}");
        }
        let found = losses(&place.path(&format!("{style:?}/clip")));
        assert_eq!(found.len(), expected.len());
        for ((step, ours), (_, theirs)) in found.iter().zip(&expected) {
            assert!(
                (ours / theirs - 1.0).abs() < 1e-4,
                "{style:?}, step {step}: {ours} and {theirs}"
            );
        }
    }
    // Two processes that stop and go on have the bits of two that did not.
    let two = Ranks::new(&place, Style::Torchrun, 2);
    for stop in [&["--stop-at=10"][..], &[]] {
        let halves = [&train(&["--out=mine", "--runs=halves"])[..], stop].concat();
        two.run(&halves).into_iter().for_each(|ran| drop(ran.succeeds()));
    }
    let last = |runs: &str| {
        fs::read(place.path(runs).join("clip/step-000000020/tensors.safetensors")).unwrap()
    };
    assert!(last("halves") == last("Torchrun"), "a resume changes bits");
    // One process goes on where two stopped, and sees the samples that one would have seen.
    let two = Ranks::new(&place, Style::Torchrun, 2);
    let stop = train(&["--out=mine", "--runs=resumed", "--stop-at=10", "--shard-optimizer"]);
    two.run(&stop).into_iter().for_each(|ran| drop(ran.succeeds()));
    place.run(&train(&["--out=mine", "--runs=resumed"])).succeeds();
    let last = losses(&place.path("resumed/clip")).pop().unwrap();
    let (step, loss) = *expected.last().unwrap();
    assert_eq!(last.0, step);
    assert!((last.1 / loss - 1.0).abs() < 1e-4, "{} and {loss}", last.1);
}

#[test]
fn processes_that_do_not_fit_say_what_differs() {
    let place = Workplace::new();
    place.run(&["train", "tokenizer", "--preset=tiny", "--out=mine"]).succeeds();
    let ranks = Ranks::new(&place, Style::Torchrun, 2);
    let first = ranks.start(0, &train(&["--out=mine"]));
    let second = ranks.start(1, &train(&["--out=mine", "--set=clip.text.layers=2"]));
    for child in [first, second] {
        Ran::new(end(child)).refuses(&["rank 1 and rank 0 differ", "parameters", "`clip`"]);
    }
    let ranks = Ranks::new(&place, Style::Torchrun, 2);
    let first = ranks.start(0, &train(&["--out=mine"]));
    let second = ranks.start(1, &train(&["--out=mine", "--set=clip.run.learning_rate=0.1"]));
    for child in [first, second] {
        Ran::new(end(child)).refuses(&["rank 1 and rank 0 differ", "the recipe", "0.1"]);
    }
    for ran in Ranks::new(&place, Style::Torchrun, 3).run(&train(&["--out=mine"])) {
        ran.refuses(&["`clip` has 8 pictures a step", "3 processes", "multiple of 3"]);
    }
    let mut command = place.command(&train(&["--out=mine"]));
    let ran = Ran::new(command.env("RANK", "1").output().unwrap());
    ran.refuses(&["RANK is 1", "WORLD_SIZE"]);
    let mut command = place.command(&train(&["--out=mine"]));
    let started = std::time::Instant::now();
    command.env("RANK", "0").env("WORLD_SIZE", "2").env("MASTER_ADDR", "127.0.0.1");
    let ran = Ran::new(command.env("MASTER_PORT", free_port().to_string()).output().unwrap());
    ran.refuses(&["rank 1 of 2 did not come within 20 s"]);
    assert!(started.elapsed().as_secs() < 40);
}

/// Arguments of a training with more steps than anybody waits for.
fn endless<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let own = ["--set=clip.run.steps=1000000", "--set=clip.run.checkpoint_every=3", "--out=mine"];
    [&TRAIN[..], &own, further].concat()
}

#[test]
fn a_signal_to_any_rank_saves_and_a_killed_one_takes_nothing_with_it() {
    let place = Workplace::new();
    place.run(&["train", "tokenizer", "--preset=tiny", "--out=mine"]).succeeds();
    let run = place.path("runs/clip");
    let reached = || checkpoint_steps(&run).last().copied().unwrap_or(0);
    // A signal to the other rank.
    let mut children = Ranks::new(&place, Style::Torchrun, 2).start_all(&endless(&[]));
    wait_for("checkpoint", || reached() > 3);
    send("-TERM", &children[1]);
    let second = Ran::new(end(children.pop().unwrap())).succeeds();
    let first = Ran::new(end(children.pop().unwrap())).succeeds();
    assert!(first.stderr.contains("the same command goes on"), "{}", first.stderr);
    assert!(!second.stderr.contains("the same command"), "{}", second.stderr);
    // Five kills, of one rank or the other, at any moment.
    let generator = &mut noise::Generator::new(3);
    for n in 0..5 {
        let before = reached();
        let shard = if n % 2 == 0 { &["--shard-optimizer"][..] } else { &[] };
        let mut children = Ranks::new(&place, Style::Torchrun, 2).start_all(&endless(shard));
        wait_for("checkpoint", || reached() > before + 3);
        std::thread::sleep(std::time::Duration::from_millis(generator.below(200)));
        let victim = generator.below(2) as usize;
        send("-KILL", &children[victim]);
        let started = std::time::Instant::now();
        let other = Ran::new(end(children.remove(1 - victim)));
        let _ = end(children.remove(0));
        // The timeout, where the system does not say at once that the other has gone.
        assert!(started.elapsed().as_secs() < 40, "{:?}", started.elapsed());
        let names: &[&str] = if victim == 0 { &["rank 0"] } else { &["rank 1"] };
        other.refuses(names);
        whole_checkpoints(&run);
        assert!(reached() >= before + 3);
    }
}

#[test]
fn processes_share_what_they_draw_embed_and_evaluate() {
    let place = Workplace::new();
    let prompts: String = (0..7).map(|n| format!("a red boat {n}\n")).collect();
    fs::write(place.path("prompts.txt"), prompts).unwrap();
    for folder in ["alone", "shared", "x"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    let fast = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2", "--model=model"];
    let draw = |out: &'static str| {
        [&["generate", "--prompts=prompts.txt", "--seed=3", out][..], &fast].concat()
    };
    place.run(&draw("--out=alone/{index}.png")).succeeds();
    for ran in Ranks::new(&place, Style::Mpi, 3).run(&draw("--out=shared/{index}.png")) {
        ran.succeeds();
    }
    assert_eq!(contents(&place.path("alone")), contents(&place.path("shared")));
    for ran in Ranks::new(&place, Style::Mpi, 3)
        .run(&[&draw("--out=x/{index}.png")[..], &["--grid=x.png"]].concat())
    {
        ran.refuses(&["--grid"]);
    }
    let embed = |shards: &'static str| {
        vec!["embed", "--data=scenes", "--count=50", "--shard-size=8", "--model=model", shards]
    };
    place.run(&embed("--shards=e-alone")).succeeds();
    for ran in Ranks::new(&place, Style::Torchrun, 2).run(&embed("--shards=e-shared")) {
        ran.succeeds();
    }
    assert_eq!(contents(&place.path("e-alone")), contents(&place.path("e-shared")));
    let evaluate = |samples: &'static str| {
        let tables = ["evaluate", "styles", "--captions=230", samples];
        [&tables[..], &fast].concat()
    };
    let alone = place.run(&evaluate("--samples=s-alone")).succeeds().stdout;
    let mut shared = Ranks::new(&place, Style::Slurm, 2).run(&evaluate("--samples=s-shared"));
    assert_eq!(shared.remove(1).succeeds().stdout, "");
    assert_eq!(shared.remove(0).succeeds().stdout, alone);
    assert_eq!(contents(&place.path("s-alone")), contents(&place.path("s-shared")));
    for ran in Ranks::new(&place, Style::Slurm, 2).run(&["evaluate", "styles"]) {
        ran.refuses(&["2 processes", "--samples"]);
    }
}

fn contents(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let found = crate::pipeline::contents(folder);
    assert!(!found.is_empty());
    found
}
