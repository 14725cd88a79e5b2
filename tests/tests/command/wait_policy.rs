//! The binary has its threads spin for a moment and then sleep, and is otherwise the process that was started.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::binary;
use super::checkpoints::wait_for;

/// A command that waits for captions on its standard input, with these variables.
struct Waiting(Child);

impl Waiting {
    fn new(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command
            .arg0("a name of its own")
            .args(["generate", "--prompts", "-"])
            .env_remove("OMP_WAIT_POLICY")
            .env_remove("GOMP_SPINCOUNT")
            .envs(variables.iter().copied());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let waiting = Self(child);
        // It reads, so all of it has started.
        wait_for("read of standard input", || {
            waiting.proc("wchan").contains("pipe") || waiting.proc("syscall").starts_with("0 0x0 ")
        });
        waiting
    }

    fn proc(&self, file: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The variables that say how threads wait.
    fn policy(&self) -> Vec<String> {
        let environment = self.proc("environ");
        let variables = environment.split('\0');
        let named = |text: &&str| text.starts_with("OMP_WAIT") || text.starts_with("GOMP_SPIN");
        variables.filter(named).map(str::to_owned).collect()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn threads_spin_for_a_moment_unless_the_user_says_otherwise() {
    assert_eq!(Waiting::new(&[]).policy(), ["GOMP_SPINCOUNT=5000"]);
    for said in
        [("OMP_WAIT_POLICY", "ACTIVE"), ("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "1000")]
    {
        let policy = Waiting::new(&[said]).policy();
        assert_eq!(policy, [format!("{}={}", said.0, said.1)]);
    }
}

#[test]
fn the_process_is_the_one_that_was_started() {
    let waiting = Waiting::new(&[("KEPT", "as it was")]);
    let arguments = waiting.proc("cmdline");
    assert_eq!(arguments, "a name of its own\0generate\0--prompts\0-\0");
    assert_eq!(waiting.proc("comm"), "unclip\n");
    assert!(waiting.proc("environ").contains("KEPT=as it was\0"));
}

#[test]
fn descriptors_and_ignored_signals_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    let line = "trap '' HUP; exec 7>seven; exec \"$unclip\" generate --prompts -";
    command
        .args(["-c", line])
        .env("unclip", binary())
        .env_remove("OMP_WAIT_POLICY")
        .env_remove("GOMP_SPINCOUNT")
        .current_dir(folder.path());
    let waiting = Waiting::start(command);
    assert_eq!(waiting.policy(), ["GOMP_SPINCOUNT=5000"]);
    let seven = fs::read_link(format!("/proc/{}/fd/7", waiting.0.id())).unwrap();
    assert_eq!(seven, folder.path().canonicalize().unwrap().join("seven"));
    let status = waiting.proc("status");
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:\t"));
    let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
    assert_eq!(ignored & 1, 1, "{ignored:x}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn behind_the_dynamic_linker_it_starts_too() {
    let linker = "/lib64/ld-linux-x86-64.so.2";
    let output = Command::new(linker)
        .arg(binary())
        .arg("--version")
        .env_remove("OMP_WAIT_POLICY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("unclip "), "{output:?}");
}
