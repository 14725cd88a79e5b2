//! Damaged files of every format that is read, by the thousands. Each is read as an independent reader reads it, or refused
//! in one sentence that names it; in no more than 20 s and 700 MB, and nothing dies.
//!
//! Cases are numbered, and a number makes the same file everywhere. Processes of this binary read them, so that one that
//! dies is no more than a case. `tests/hostile/recorded.json` has what safetensors, torch and Pillow make of the first ones
//! (`tests/hostile/record.py`).

mod commands;
mod formats;
mod mutator;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use formats::{FORMATS, Format};

/// Cases of every run of the tests.
const CASES: u64 = 2_000;

/// The most that a file may take.
const SECONDS: u64 = 20;
const MOST_KIB: u64 = 700_000;

/// The outcome of a case.
#[derive(Serialize, Deserialize)]
struct Outcome {
    case: u64,
    format: String,
    /// The contents.
    read: Option<String>,
    /// Or why nothing was.
    refused: Option<String>,
    /// Or how the reader fell over.
    panicked: Option<String>,
    /// The file's name in sentences.
    file: String,
    seconds: f64,
    /// The peak over the memory before.
    kib: u64,
    /// Names in the folder afterwards, beside the file.
    left: Vec<String>,
}

impl Outcome {
    /// The fault, whatever an independent reader says.
    fn fault(&self) -> Option<String> {
        let sentence = self.refused.as_deref().unwrap_or_default();
        let length = sentence.chars().count();
        let fault = match () {
            () if self.panicked.is_some() => format!("panics: {:?}", self.panicked),
            () if self.seconds > SECONDS as f64 => format!("takes {:.1} s", self.seconds),
            () if self.kib > MOST_KIB => format!("takes {} KiB", self.kib),
            () if !self.left.is_empty() => format!("leaves {:?}", self.left),
            () if self.read.is_some() => return None,
            () if !sentence.contains(&self.file) => format!("does not name the file: {sentence}"),
            () if sentence.chars().any(char::is_control) => format!("no sentence: {sentence:?}"),
            () if length > 2000 => format!("a sentence of {length} characters: {sentence}"),
            () => return None,
        };
        Some(fault)
    }
}

/// The folder that the environment names for the files, so that other readers can read them.
fn kept_folder() -> Option<PathBuf> {
    std::env::var_os("UNCLIP_HOSTILE_FILES").map(PathBuf::from)
}

/// Reads cases and prints what became of them: what [`outcomes`] starts.
#[test]
#[ignore = "a part of the others"]
fn worker() {
    let Ok(cases) = std::env::var("UNCLIP_HOSTILE_CASES") else {
        return;
    };
    let numbers: Vec<u64> = cases.split(' ').map(|n| n.parse().unwrap()).collect();
    let [first, end, step] = numbers[..] else {
        panic!("three numbers, not {cases}");
    };
    let folder = tempfile::tempdir().unwrap();
    for case in (first..end).step_by(step as usize) {
        println!("begin {case}");
        let outcome = outcome(case, folder.path());
        println!("end {}", serde_json::to_string(&outcome).unwrap());
    }
}

fn outcome(case: u64, folder: &Path) -> Outcome {
    let (format, bytes) = Format::of_case(case);
    let file = format!("case-{case}.{}", format.ending);
    let path = folder.join(&file);
    fs::write(&path, &bytes).unwrap();
    if let Some(kept) = kept_folder() {
        fs::write(kept.join(&file), &bytes).unwrap();
    }
    let before = memory("VmRSS");
    // Linux forgets the peak so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let begin = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| (format.read)(&path)));
    let seconds = begin.elapsed().as_secs_f64();
    let kib = memory("VmHWM").saturating_sub(before);
    fs::remove_file(&path).unwrap();
    let left = fs::read_dir(folder).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().display().to_string()).collect();
    let (read, refused, panicked) = match read {
        Ok(Ok(read)) => (Some(read), None, None),
        Ok(Err(refused)) => (None, Some(refused), None),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|&m| m.to_owned()));
            (None, None, Some(message.unwrap_or_default()))
        }
    };
    let format = format.name.to_owned();
    Outcome { case, format, read, refused, panicked, file, seconds, kib, left }
}

/// A figure of this process in KiB.
fn memory(name: &str) -> u64 {
    figure(&fs::read_to_string("/proc/self/status").unwrap_or_default(), name)
}

/// A figure of what Linux says of a process.
fn figure(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Outcomes of the cases from `first` to `end`, one for each and in their order; or the faults of those that brought a
/// process down.
fn outcomes(first: u64, end: u64) -> Result<Vec<Outcome>, Vec<String>> {
    let processes = std::thread::available_parallelism().map_or(1, |count| count.get()) as u64;
    let parts: Vec<(Vec<Outcome>, Vec<String>)> = std::thread::scope(|scope| {
        let part = |number| scope.spawn(move || run_worker(first + number, end, processes));
        let parts: Vec<_> = (0..processes).map(part).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let (outcomes, deaths): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let deaths = deaths.concat();
    let mut outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by_key(|outcome| outcome.case);
    match deaths.is_empty() {
        true => Ok(outcomes),
        false => Err(deaths),
    }
}

/// One process after another reads every `step`th case; the next goes on behind the case that its forerunner died of.
fn run_worker(mut first: u64, end: u64, step: u64) -> (Vec<Outcome>, Vec<String>) {
    let mut outcomes = Vec::new();
    let mut deaths = Vec::new();
    while first < end {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::worker", "--ignored", "--nocapture"])
            .env("UNCLIP_HOSTILE_CASES", format!("{first} {end} {step}"))
            .env("OMP_NUM_THREADS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut current: Option<u64> = None;
        // As long as a process on a busy machine takes to start, and a case more than it may.
        let patience = Duration::from_secs(60 + SECONDS);
        while let Ok(line) = lines.recv_timeout(patience) {
            if let Some(case) = line.rsplit("begin ").next().and_then(|n| n.parse().ok()) {
                current = Some(case);
            } else if let Some(outcome) = line.strip_prefix("end ") {
                outcomes.push(serde_json::from_str(outcome).unwrap());
                current = None;
            }
        }
        let _ = child.kill();
        let status = child.wait().unwrap();
        reader.join().unwrap();
        match current {
            Some(case) => {
                deaths.push(format!("case {case} brings its process down: {status}"));
                first = case + step;
            }
            None if status.success() => break,
            None => {
                deaths.push(format!("a process ends between cases: {status}"));
                break;
            }
        }
    }
    (outcomes, deaths)
}

/// The recorded contents of cases by their numbers, as independent readers read them; one that they refuse is not there.
fn recorded() -> HashMap<u64, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/recorded.json");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// Formats that an independent reader reads too, and by how much the means of a picture may differ between two decoders.
const COMPARED: [(&str, i32); 9] = [
    ("safetensors", 0),
    ("torch", 0),
    ("torch before 1.6", 0),
    ("npy", 0),
    ("png", 1),
    ("jpeg", 4),
    ("webp", 1),
    ("gif", 1),
    ("png texts", 0),
];

/// Whether two readers read the same; of a JPEG with damaged codes, which every decoder guesses otherwise, the same size.
fn agree(one: &str, other: &str, tolerance: i32) -> bool {
    if let Some(size) = other.strip_suffix(" damaged") {
        return size_of(one) == Some(size);
    }
    let (Some((size, means)), Some((other_size, other_means))) =
        (one.split_once(' '), other.split_once(' '))
    else {
        return one == other;
    };
    if tolerance == 0 || size != other_size || means.len() != other_means.len() {
        return one == other;
    }
    let values = |means: &str| -> Vec<i32> {
        let pair = |at| i32::from_str_radix(&means[at..at + 2], 16).unwrap();
        (0..means.len()).step_by(2).map(pair).collect()
    };
    let mut pairs = std::iter::zip(values(means), values(other_means));
    pairs.all(|(one, other)| (one - other).abs() <= tolerance)
}

/// How a format fared.
#[derive(Default, Debug)]
struct Count {
    cases: u64,
    read: u64,
    read_by_both: u64,
    read_by_the_other: u64,
    decoded_otherwise: u64,
}

/// The size of a picture that was read.
fn size_of(read: &str) -> Option<&str> {
    read.split(' ').next()
}

#[test]
fn damaged_files_are_read_as_others_read_them_or_refused_by_name() {
    let outcomes = outcomes(0, CASES).unwrap_or_else(|deaths| panic!("{}", deaths.join("\n")));
    assert_eq!(outcomes.len() as u64, CASES);
    let recorded = recorded();
    let mut faults = Vec::new();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for outcome in &outcomes {
        let mut fault = outcome.fault();
        let count = counts.entry(&outcome.format).or_default();
        let other = recorded.get(&outcome.case);
        count.cases += 1;
        count.read += u64::from(outcome.read.is_some());
        count.read_by_the_other += u64::from(other.is_some());
        let compared = COMPARED.iter().find(|(name, _)| *name == outcome.format);
        if let (Some(&(_, tolerance)), Some(read)) = (compared, &outcome.read) {
            match other {
                Some(other) if agree(read, other, tolerance) => count.read_by_both += 1,
                // Coefficients beyond all levels, of damaged tables, overflow in every decoder otherwise.
                Some(other) if outcome.format == "jpeg" && size_of(read) == size_of(other) => {
                    count.decoded_otherwise += 1;
                }
                // A PNG tells what it says even where its pixels are damaged.
                None if outcome.format == "png texts" => (),
                other => fault = Some(format!("is read as {read}, by the other as {other:?}")),
            }
        }
        faults.extend(fault.map(|fault| format!("{} {}: {fault}", outcome.format, outcome.file)));
    }
    println!("{counts:#?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    // Whoever refuses everything has no faults.
    for (format, _) in COMPARED {
        let count = &counts[format];
        assert!(count.read_by_both > 1, "{format}: {count:?}");
        assert!(50 * count.decoded_otherwise <= count.read, "{format}: {count:?}");
    }
}

#[test]
fn sound_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for format in &FORMATS {
        for (number, bytes) in format.sound().into_iter().enumerate() {
            let path = folder.path().join(format!("sound-{number}.{}", format.ending));
            fs::write(&path, bytes).unwrap();
            if let Err(sentence) = (format.read)(&path) {
                panic!("{} {number}: {sentence}", format.name);
            }
        }
    }
}
