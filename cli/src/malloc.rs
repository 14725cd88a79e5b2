//! Thresholds of the C library's allocator (`mallopt`), for libtorch's tensors.

/// Keeps freed memory for the next tensors instead of giving it back to the system. Each step of a diffusion or of training
/// frees and asks for the same hundreds of megabytes again, and each page that comes back from the system is cleared first.
pub(crate) fn keep_freed_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt only sets thresholds of the allocator, at any time; a value that it refuses changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
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
