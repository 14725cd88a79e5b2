//! Thresholds of the C library's allocator (`mallopt`), for libtorch's tensors.

/// The bytes of memory that lie in huge pages. Addresses are reserved for them, and memory is taken page by page as it is used.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HUGE_PAGES: usize = 2 << 30;

/// A threshold beyond all sizes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const NEVER: libc::c_int = -1;

/// Keeps freed memory for the next tensors instead of giving it back to the system. Each step of a diffusion or of training
/// frees and asks for the same hundreds of megabytes again, and each page that comes back from the system is cleared first.
/// The first gigabytes come in pages of 2 MiB where the system has them, of which a process needs few.
pub(crate) fn keep_freed_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt only sets thresholds of the allocator, at any time; a value that it refuses changes nothing. Where so much
        // cannot be reserved, malloc gives null; the advice is on memory of this process's own, and what is refused changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, NEVER);
            let reserved =
                if has_all_addresses() { libc::malloc(HUGE_PAGES) } else { std::ptr::null_mut() };
            if !reserved.is_null() {
                const PAGE: usize = 2 << 20;
                let start = (reserved as usize).next_multiple_of(PAGE);
                let length = HUGE_PAGES - PAGE;
                libc::madvise(start as *mut libc::c_void, length, libc::MADV_HUGEPAGE);
            }
            libc::free(reserved);
        }
    }
}

/// Whether the process may reserve as many addresses as it likes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn has_all_addresses() -> bool {
    [libc::RLIMIT_AS, libc::RLIMIT_DATA].into_iter().all(|resource| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: it writes the limit alone.
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        limit.rlim_cur == libc::RLIM_INFINITY
    })
}

/// Gives freed memory back to the system again, as the C library does by default: what one stage has freed is
/// not there beside the next one's network.
pub(crate) fn release_freed_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: as above. The values are the C library's own, the threshold the one that it comes to by itself.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 1 << 16);
            libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
        }
    }
}
