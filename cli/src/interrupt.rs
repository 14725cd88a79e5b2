//! Ctrl-C and SIGTERM: the first lets the picture that is being drawn be finished, the next ends the command at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Whether there is something that is worth finishing.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The first signal that came, 0 before.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// Held while a file is written, so that the command never ends with a part of one.
static FILES: Mutex<()> = Mutex::new(());

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

/// Listens to signals from now on.
fn listen() -> Result<()> {
    let mut listened = vec![SIGINT, SIGTERM];
    // Whoever started the command with nohup wants it to outlive the terminal.
    if !is_ignored(SIGHUP) {
        listened.push(SIGHUP);
    }
    let mut signals = Signals::new(listened)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if ASKED.swap(signal, Ordering::SeqCst) != 0 {
                    let _whole = whole_files();
                    // Without the destructors of libraries whose threads still compute.
                    low_level::exit(exit_code(signal));
                }
            }
        })?;
    Ok(())
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: zeros are a `sigaction`, which is only written, and no action is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a file beyond the user's limit (`ulimit -f`) an error of the write, as a full disk is, where the signal would end
/// the command without a word.
pub fn fail_beyond_file_limit() {
    // Where no handler can be set, the signal ends the command as before.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// From now on a first signal waits for what is being done, where it would else end the command at once.
pub fn drawing() -> Result<()> {
    match LISTENING.swap(true, Ordering::SeqCst) {
        true => Ok(()),
        false => listen(),
    }
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
        signal => Err(Stopped {
            signal,
            done,
            wanted,
            things,
        }
        .into()),
    }
}

/// As long as this is held, no signal ends the command.
pub fn whole_files() -> MutexGuard<'static, ()> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn exit_code(signal: i32) -> i32 {
    128 + signal
}
