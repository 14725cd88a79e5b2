//! Signal handling: the first Ctrl-C or SIGTERM lets the image that is being sampled be finished, the next ends the command
//! at once. A download is stopped by the first, and resumed by the next command.

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

/// Whether a first signal is deferred, because there is something that is worth finishing.
static DEFERS: AtomicBool = AtomicBool::new(false);
/// The first signal that was deferred, 0 before.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The error of a run that a signal ended between two of its steps.
#[derive(Debug)]
pub(crate) struct Interruption {
    signal: i32,
    done: usize,
    total: usize,
    things: &'static str,
}

impl Interruption {
    /// The exit code that shells give a command which a signal ended: 130 after Ctrl-C.
    pub(crate) fn exit_code(&self) -> u8 {
        exit_code(self.signal) as u8
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Self { done, total, things, .. } = self;
        write!(to, "stopped: {done} of {total} {things}")
    }
}

impl std::error::Error for Interruption {}

/// The signals that would end the command in the middle of a file: those that other processes and terminals send.
const ENDING: [i32; 11] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO, SIGXCPU,
];

/// From now on no signal leaves a part of a file behind, but for SIGKILL. A file beyond the user's limit (`ulimit -f`) is an
/// error of the write, as a full disk is.
///
/// Where no handler can be set, signals do what they did before.
pub(crate) fn install() {
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // Whoever started the command with nohup wants it to outlive the terminal, and a profiler has its own handlers.
    let ending = ENDING.into_iter().filter(|signal| is_default(*signal));
    let Ok(mut signals) = Signals::new(ending) else {
        return;
    };
    let listen = move || signals.forever().for_each(handle);
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
}

/// Defers the first signal of a run that called [`defer`]; any other ends the command at once, as does SIGQUIT.
fn handle(signal: i32) {
    let defers = DEFERS.load(Ordering::SeqCst);
    if defers && signal != SIGQUIT && SIGNAL.swap(signal, Ordering::SeqCst) == 0 {
        return;
    }
    let _none = abandon_all();
    if !defers || signal == SIGQUIT {
        // As if nobody had listened.
        let _ = low_level::emulate_default_handler(signal);
    }
    // Without the destructors of libraries whose threads still compute.
    low_level::exit(exit_code(signal));
}

/// Whether a signal has its default action.
fn is_default(signal: i32) -> bool {
    // SAFETY: zeros are a `sigaction`, which is only written, and no action is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_DFL
    }
}

/// Defers a first signal from now on until [`check`] is called, where it would else end the command at once. Whether one was
/// deferred already.
pub(crate) fn defer() -> bool {
    DEFERS.swap(true, Ordering::SeqCst)
}

/// Defers signals no longer. One that was deferred ends the command now.
pub(crate) fn end_deferral() {
    DEFERS.store(false, Ordering::SeqCst);
    match SIGNAL.load(Ordering::SeqCst) {
        0 => {}
        signal => handle(signal),
    }
}

/// The exit code of a command that a signal asked to stop, if one did.
pub(crate) fn requested_exit_code() -> Option<u8> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(exit_code(signal) as u8),
    }
}

/// Whether a signal requested the end of the run.
pub(crate) fn requested() -> bool {
    SIGNAL.load(Ordering::SeqCst) != 0
}

/// Ends a run between two steps where [`requested`]; the error says how many `things`, such as "pictures are drawn", are
/// done.
pub(crate) fn check(done: usize, total: usize, things: &'static str) -> Result<()> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Interruption { signal, done, total, things }.into()),
    }
}

fn exit_code(signal: i32) -> i32 {
    128 + signal
}
