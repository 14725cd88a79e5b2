//! Threads that spin for a moment before they sleep.
//!
//! libgomp's threads spin long while they wait for each other, which on a machine that is busy takes the very processors that
//! they wait for: a picture beside a build takes ten times as long. Threads that sleep at once are woken some 7,000 times in
//! a small model's picture, which costs what a second processor gains. `GOMP_SPINCOUNT` is between the two, but libgomp reads it
//! in its constructor, before `main`, and glibc restores the environment after `.preinit_array`, so that nothing set in this
//! process reaches it. The program therefore starts itself anew, once, with the variable added to the environment that it
//! was started with. It does so from `.preinit_array`: libraries are mapped, and none of their constructors has run.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

/// The variable that is added: turns of a waiting loop, 0.1 to 0.2 ms of them.
const SPIN_COUNT: &CStr = c"GOMP_SPINCOUNT=5000";

/// Those that say how threads wait: where one of them is set, by a user or by this, nothing is done.
const SAID: [&[u8]; 2] = [b"OMP_WAIT_POLICY=", b"GOMP_SPINCOUNT="];

const ITSELF: &CStr = c"/proc/self/exe";

#[used]
#[unsafe(link_section = ".preinit_array")]
static START: unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char) = start;

/// Starts the program anew with [`SPIN_COUNT`], unless the environment says how threads wait, or the kernel did not start this
/// program itself. Returns, and the program goes on as it is, where that fails.
///
/// # Safety
/// The dynamic linker calls it with the arguments and the environment, each a list that ends in a null pointer.
unsafe extern "C" fn start(
    _: c_int,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) {
    // SAFETY: nothing here needs a constructor to have run: system calls, and memory from `calloc`, which glibc has ready
    // before any other code runs. Pointers are followed no further than the null that ends their lists.
    unsafe {
        let mut count = 0;
        loop {
            let variable = *environment.add(count);
            if variable.is_null() {
                break;
            }
            if SAID.iter().any(|name| begins(variable, name)) {
                return;
            }
            count += 1;
        }
        // Behind `ld.so unclip ...` the link leads to the linker; with more rights than its caller a program leaves the
        // environment alone.
        let linked = libc::getauxval(libc::AT_BASE) == 0;
        if linked || libc::getauxval(libc::AT_SECURE) != 0 {
            return;
        }
        let size = size_of::<*const c_char>();
        let extended: *mut *const c_char = libc::calloc(count + 2, size).cast();
        if extended.is_null() {
            return;
        }
        ptr::copy_nonoverlapping(environment, extended, count);
        *extended.add(count) = SPIN_COUNT.as_ptr();
        // By the name that it was started by, which tools show, where that still is this program.
        let name = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        if !name.is_null() && is_same(name, ITSELF.as_ptr()) {
            libc::execve(name, arguments, extended);
        }
        libc::execve(ITSELF.as_ptr(), arguments, extended);
        libc::free(extended.cast());
    }
}

/// # Safety
/// `text` ends in a NUL.
unsafe fn begins(text: *const c_char, beginning: &[u8]) -> bool {
    // SAFETY: a NUL is no part of a beginning, so nothing behind it is read.
    (0..beginning.len()).all(|i| unsafe { *text.add(i) } as u8 == beginning[i])
}

/// Whether two names are of one file.
///
/// # Safety
/// Both end in a NUL.
unsafe fn is_same(one: *const c_char, other: *const c_char) -> bool {
    // SAFETY: zeros are a `stat`, and the system writes no more than one.
    unsafe {
        let (mut a, mut b): (libc::stat, libc::stat) = (std::mem::zeroed(), std::mem::zeroed());
        libc::stat(one, &mut a) == 0
            && libc::stat(other, &mut b) == 0
            && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
    }
}
