//! The progress of a download, for whoever shows it.

use std::ops::ControlFlow;

/// Sees a download go on, and may stop it.
pub trait Progress {
    /// These files, each with its bytes, are fetched next; those that the cache has are not among them.
    fn begin(&mut self, files: &[(&str, u64)]);

    /// So many bytes of the file are there in all: at first those of an earlier run that is resumed, the same again while the
    /// Hub or another process is waited for, and fewer where it is begun anew. `Break` stops the download, and the next run
    /// resumes it.
    fn advance(&mut self, path: &str, bytes: u64) -> ControlFlow<()>;

    /// The file is whole and in the cache.
    fn finish(&mut self, path: &str);
}

/// Shows nothing and stops nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&mut self, _: &[(&str, u64)]) {}

    fn advance(&mut self, _: &str, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finish(&mut self, _: &str) {}
}
