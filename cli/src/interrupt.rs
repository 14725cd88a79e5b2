//! Ctrl-C, SIGTERM and their like: the first lets the picture that is being drawn be finished, the next ends the command at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::Result;
use files::atomic::abandon_all;
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Whether there is something that is worth finishing.
static FINISHES: AtomicBool = AtomicBool::new(false);
/// The first signal that came, 0 before.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// A run that was stopped between two of its steps.
#[derive(Debug)]
pub struct Stopped {
    signal: i32,
    done: usize,
    wanted: usize,
    things: &'static str,
}

impl Stopped {
    /// The exit code that shells give a command which a signal ended: 130 after Ctrl-C.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.signal) as u8
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let (done, wanted, things) = (self.done, self.wanted, self.things);
        write!(to, "stopped: {done} of {wanted} {things}")
    }
}

impl std::error::Error for Stopped {}

/// The signals that would end the command in the middle of a file: those that other processes and terminals send.
const ENDING: [i32; 11] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO, SIGXCPU,
];

/// From now on no signal leaves a part of a file behind, but for SIGKILL. A file beyond the user's limit (`ulimit -f`) is an
/// error of the write, as a full disk is.
///
/// Where no handler can be set, signals do what they did before.
pub fn install() {
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // Whoever started the command with nohup wants it to outlive the terminal, and a profiler has its own handlers.
    let ending = ENDING.into_iter().filter(|signal| is_default(*signal));
    let Ok(mut signals) = Signals::new(ending) else {
        return;
    };
    let listen = move || signals.forever().for_each(handle);
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
}

/// The first signal of a run that finishes what it does is asked for later; any other ends the command at once, as does
/// SIGQUIT.
fn handle(signal: i32) {
    let finishes = FINISHES.load(Ordering::SeqCst);
    if finishes && signal != SIGQUIT && ASKED.swap(signal, Ordering::SeqCst) == 0 {
        return;
    }
    let _none = abandon_all();
    if !finishes || signal == SIGQUIT {
        // As if nobody had listened.
        let _ = low_level::emulate_default_handler(signal);
    }
    // Without the destructors of libraries whose threads still compute.
    low_level::exit(exit_code(signal));
}

/// Whether a signal does what it does unasked.
fn is_default(signal: i32) -> bool {
    // SAFETY: zeros are a `sigaction`, which is only written, and no action is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_DFL
    }
}

/// From now on a first signal waits for what is being done, where it would else end the command at once.
pub fn drawing() {
    FINISHES.store(true, Ordering::SeqCst);
}

/// Whether the user wants no more pictures.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst) != 0
}

/// Ends a run between two steps when it was asked to, with what is told of it: how many `things`, such as "pictures are
/// drawn".
pub fn check(done: usize, wanted: usize, things: &'static str) -> Result<()> {
    match ASKED.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Stopped { signal, done, wanted, things }.into()),
    }
}

fn exit_code(signal: i32) -> i32 {
    128 + signal
}
