//! How many threads compute: affinity, cgroups' quotas, flags and variables.

use std::fs;
use std::path::Path;
use std::process::Command;

use pipeline::threads::{available, quota};
use tempfile::TempDir;

use crate::command::{CAPTION, Workplace, binary};

/// A root with these files.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const STATUS: (&str, &str) =
    ("proc/self/status", "Name:\tunclip\nCpus_allowed:\tff\nCpus_allowed_list:\t0-5,8,10-11\n");

#[test]
fn affinity_is_a_list_of_ranges() {
    assert_eq!(available(root(&[STATUS]).path()), 9);
    let one = ("proc/self/status", "Cpus_allowed_list:\t3\n");
    assert_eq!(available(root(&[one]).path()), 1);
}

#[test]
fn a_quota_of_the_second_version_is_rounded_up() {
    let cgroup = ("proc/self/cgroup", "0::/user.slice/task\n");
    let max = "sys/fs/cgroup/user.slice/task/cpu.max";
    let with = |text: &'static str| root(&[STATUS, cgroup, (max, text)]);
    let half = with("150000 100000\n");
    assert_eq!(quota(half.path()), Some(1.5));
    assert_eq!(available(half.path()), 2);
    assert_eq!(available(with("100000 100000\n").path()), 1);
    assert_eq!(available(with("10000 100000\n").path()), 1);
    assert_eq!(available(with("6400000 100000\n").path()), 9);
    assert_eq!(quota(with("max 100000\n").path()), None);
    assert_eq!(available(with("max 100000\n").path()), 9);
    assert_eq!(available(with("damaged\n").path()), 9);
}

#[test]
fn an_ancestors_quota_counts_where_it_is_less() {
    let root = root(&[
        STATUS,
        ("proc/self/cgroup", "0::/pod/container\n"),
        ("sys/fs/cgroup/pod/cpu.max", "250000 100000\n"),
        ("sys/fs/cgroup/pod/container/cpu.max", "400000 100000\n"),
    ]);
    assert_eq!(quota(root.path()), Some(2.5));
    assert_eq!(available(root.path()), 3);
}

#[test]
fn a_quota_of_the_first_version_is_read_where_its_controller_is_mounted() {
    let root = root(&[
        STATUS,
        ("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"),
        // A container sees its own cgroup as the mount's root.
        (
            "proc/self/mountinfo",
            "30 20 0:26 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             31 20 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_eq!(quota(root.path()), Some(1.5));
    assert_eq!(available(root.path()), 2);
    fs::write(root.path().join("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"), "-1\n").unwrap();
    assert_eq!(quota(root.path()), None);
}

#[test]
fn a_cgroup_without_a_mount_table_is_read_at_the_usual_place() {
    let root = root(&[
        STATUS,
        ("proc/self/cgroup", "4:cpuset,cpu:/job\n"),
        ("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "300000\n"),
        ("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_eq!(available(root.path()), 3);
}

/// The number of threads that `unclip info` says, without the variables of whoever runs this, but with these.
fn threads_of_info(arguments: &[&str], variables: &[(&str, &str)], taskset: Option<&str>) -> usize {
    let mut command = match taskset {
        Some(processors) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", processors]).arg(binary());
            command
        }
        None => Command::new(binary()),
    };
    let output = command
        .arg("info")
        .args(arguments)
        .env_remove("OMP_NUM_THREADS")
        .env_remove("UNCLIP_THREADS")
        .envs(variables.iter().copied())
        .output()
        .expect("the command starts");
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap_or_default();
    let threads = first.strip_suffix(" threads").and_then(|line| line.rsplit(' ').next());
    threads.and_then(|count| count.parse().ok()).expect(first)
}

#[test]
fn flags_win_over_variables_and_these_over_the_machine() {
    assert_eq!(threads_of_info(&["--threads", "3"], &[], None), 3);
    assert_eq!(threads_of_info(&[], &[("UNCLIP_THREADS", "5")], None), 5);
    let both = [("UNCLIP_THREADS", "5"), ("OMP_NUM_THREADS", "1")];
    assert_eq!(threads_of_info(&[], &both, None), 5);
    assert_eq!(threads_of_info(&["--threads=2"], &both, None), 2);
    assert_eq!(threads_of_info(&[], &[("OMP_NUM_THREADS", "1")], None), 1);
    let usual = threads_of_info(&[], &[], None);
    assert!((1..=available(Path::new("/"))).contains(&usual), "{usual}");
    assert_eq!(threads_of_info(&[], &[], Some("0")), 1);
}

#[test]
fn numbers_of_threads_that_make_no_sense_are_refused() {
    let place = Workplace::new();
    for threads in ["0", "-1", "1025", "two", ""] {
        place.generate(&["--threads", threads, CAPTION]).refuses(&["--threads", "1 to 1024"]);
    }
}

#[test]
fn a_variable_that_is_no_number_is_named_and_an_empty_one_is_none() {
    let place = Workplace::new();
    let draw = |threads: &str| {
        let mut command = place.command(&["info", "gone.png"]);
        let output = command.env("UNCLIP_THREADS", threads).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(draw("many").contains("UNCLIP_THREADS is many"), "{}", draw("many"));
    assert!(draw("").contains("gone.png"), "{}", draw(""));
}

/// The most threads that the process had while it drew.
fn most_threads(place: &Workplace, threads: &str, name: &str) -> usize {
    let mut arguments = vec!["generate", "--model", "model", "--out", name];
    arguments.extend(["--decoder-steps=20", "--threads", threads, CAPTION]);
    let mut child = place
        .command(&arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let tasks = format!("/proc/{}/task", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(fs::read_dir(&tasks).map_or(0, Iterator::count));
    }
    most
}

#[test]
fn libtorchs_threads_and_ours_are_as_many_as_were_asked_for() {
    let place = Workplace::new();
    let one = most_threads(&place, "1", "one.png");
    // The main thread, and the one that waits for signals: whoever asks for one thread gets no team.
    assert_eq!(one, 2);
    // A team of another size is made anew while the old one's threads end, so there may be more of them for a moment.
    let five = most_threads(&place, "5", "five.png");
    assert!(five >= one + 4, "{five} beside {one}");
}

#[test]
fn a_variable_that_leaves_processors_idle_is_said_before_drawing() {
    if available(Path::new("/")) < 2 {
        println!("skipped: there is one processor");
        return;
    }
    let place = Workplace::new();
    let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    let run = |more: &[&str], variable: &str| {
        let arguments = [&["generate", "--model", "model", "--force", "--seed=1"], &few[..], more];
        let mut command = place.command(&[arguments.concat(), vec![CAPTION]].concat());
        command.env_remove("UNCLIP_THREADS").env("OMP_NUM_THREADS", variable);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let said = run(&[], "1");
    assert!(said.contains("OMP_NUM_THREADS is 1") && said.contains("--threads"), "{said}");
    assert_eq!(run(&["--threads=1"], "1"), "");
    assert_eq!(run(&[], "2"), "");
}
