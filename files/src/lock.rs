//! Locks on folders, so that no two processes write to one.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A folder that this process alone writes to. The lock lies on the folder itself: it leaves no file behind, and ends with
/// its process, however that ends.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

/// Why a folder is not this process's alone.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process writes to it.
    #[error("{} writes to this folder: wait for its end, or name another folder", holder(*.process))]
    Held {
        /// The process, where the system names it.
        process: Option<u32>,
    },
    /// The folder cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn holder(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}

impl FolderLock {
    /// Locks a folder that is there.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                process: file.metadata().ok().as_ref().and_then(process_with),
            }),
            // Where the file system has no locks, nobody else is looked for.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _folder: file }),
        }
    }
}

/// The process that holds a lock on the folder of these metadata. The system lists locks by the numbers of their files, which
/// are unique on one device only, so the process must have the folder open.
fn process_with(folder: &Metadata) -> Option<u32> {
    let inode = folder.ino().to_string();
    let has_open = |process: &u32| {
        let files = fs::read_dir(format!("/proc/{process}/fd"));
        let mut opened = files.into_iter().flatten().flatten();
        opened.any(|file| {
            let found = fs::metadata(file.path());
            found.is_ok_and(|found| (found.dev(), found.ino()) == (folder.dev(), folder.ino()))
        })
    };
    // 1: FLOCK  ADVISORY  WRITE 4321 08:02:131073 0 EOF
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let processes = locks.lines().filter_map(|line| {
        let [_, kind, _, _, process, file, ..] = *line.split_whitespace().collect::<Vec<_>>()
        else {
            return None;
        };
        let is_folder = kind == "FLOCK" && file.rsplit(':').next() == Some(&*inode);
        process.parse().ok().filter(|_| is_folder)
    });
    processes.into_iter().find(has_open)
}
