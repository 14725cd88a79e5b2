//! Files that a command is going to write, checked before it begins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use files::atomic::{behind_links, folder_of, without_path};
use images::EncoderFormat;

use crate::output::format_of;

/// How many bytes a folder must take before anything is computed for it: those of a small picture.
const PROBE: usize = 1 << 16;

/// The files of a run: none is written twice, and none is one that the command reads, or that its lines go to.
pub(crate) struct Files {
    /// Each folder, and what it is with all links followed.
    folders: HashMap<PathBuf, PathBuf>,
    files: HashMap<PathBuf, usize>,
    /// The flag that named each file.
    flags: Vec<String>,
    /// Files that must stay, and what each is.
    in_use: Vec<(Inode, String)>,
}

/// A file whatever it is called: its device and its number there.
type Inode = (u64, u64);

impl Files {
    /// None yet, of a command that reads `inputs`.
    pub(crate) fn new(inputs: &[&Path]) -> Self {
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [
            (input.as_fd(), "standard input comes from"),
            (output.as_fd(), "standard output goes to"),
            (errors.as_fd(), "standard error goes to"),
        ];
        let streams = streams.into_iter().filter_map(|(stream, what)| {
            let file = inode(&metadata_of(stream).ok()?)?;
            Some((file, format!("{what} this file")))
        });
        let inputs = inputs.iter().filter_map(|path| {
            let what = format!("this is the file {} that is read", path.display());
            Some((inode(&path.metadata().ok()?)?, what))
        });
        Self {
            folders: HashMap::new(),
            files: HashMap::new(),
            flags: Vec::new(),
            in_use: streams.chain(inputs).collect(),
        }
    }

    /// Adds a folder that is made when the first picture is drawn; `flag` named it.
    pub(crate) fn add_folder(&mut self, flag: &str, folder: &Path) -> Result<()> {
        let real = check_room(flag, folder)?;
        self.folders.insert(folder.to_owned(), real);
        Ok(())
    }

    /// Adds the next file, which is replaced only by `force` and whose folder must be written to; `flag` named it. Tells the
    /// number of an earlier one that is the same.
    pub(crate) fn add(&mut self, flag: &str, path: &Path, force: bool) -> Result<Option<usize>> {
        self.check_unused(flag, path)?;
        check_file(flag, path, force)?;
        let file = self.real(flag, path)?;
        let number = self.flags.len();
        match self.files.entry(file) {
            Entry::Occupied(earlier) => Ok(Some(*earlier.get())),
            Entry::Vacant(new) => {
                new.insert(number);
                self.flags.push(flag.to_owned());
                Ok(None)
            }
        }
    }

    /// The same for a file that no earlier one may be.
    pub(crate) fn add_other(&mut self, flag: &str, path: &Path, force: bool) -> Result<()> {
        match self.add(flag, path, force)? {
            Some(earlier) => {
                bail!("{flag} {}: {} names the same file", path.display(), self.flags[earlier])
            }
            None => Ok(()),
        }
    }

    /// The same for a contact sheet, which is always a PNG.
    pub(crate) fn add_sheet(&mut self, flag: &str, path: &Path, force: bool) -> Result<()> {
        ensure!(
            matches!(format_of(path), Ok(EncoderFormat::Png)),
            "{flag} {}: a contact sheet is a PNG",
            path.display()
        );
        self.add_other(flag, path, force)
    }

    /// Whether a file that passed [`Files::add`] was added.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let path = &behind_links(path);
        let folder = self.folders.get(folder_of(path));
        let name = path.file_name().unwrap_or_default();
        folder.is_some_and(|folder| self.files.contains_key(&folder.join(name)))
    }

    fn check_unused(&self, flag: &str, path: &Path) -> Result<()> {
        let Some(file) = path.metadata().ok().as_ref().and_then(inode) else {
            return Ok(());
        };
        match self.in_use.iter().find(|(used, _)| *used == file) {
            Some((_, what)) => bail!("{flag} {}: {what}", path.display()),
            None => Ok(()),
        }
    }

    /// The file with all links followed. Refuses a folder that is not there or cannot be written to.
    fn real(&mut self, flag: &str, path: &Path) -> Result<PathBuf> {
        let (path, shown) = (&behind_links(path), path.display());
        let folder = folder_of(path);
        if !self.folders.contains_key(folder) {
            ensure!(folder.is_dir(), "{flag} {shown}: there is no folder {}", folder.display());
            probe(folder).with_context(|| format!("{flag} {shown}: cannot write there"))?;
            let real = folder.canonicalize();
            let real = real.with_context(|| format!("{flag} {shown}"))?;
            self.folders.insert(folder.to_owned(), real);
        }
        Ok(self.folders[folder].join(path.file_name().unwrap_or_default()))
    }
}

fn metadata_of(stream: BorrowedFd) -> std::io::Result<Metadata> {
    File::from(stream.try_clone_to_owned()?).metadata()
}

/// The file behind these metadata, where it is one that can be overwritten.
fn inode(metadata: &Metadata) -> Option<Inode> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

/// Refuses what is no file, and a file that is there already unless `force`, or that cannot be; `flag` named it.
fn check_file(flag: &str, path: &Path, force: bool) -> Result<()> {
    let shown = path.display();
    match path.metadata() {
        Ok(found) if found.is_dir() => bail!("{flag} {shown}: this is a folder"),
        Ok(found) if !found.is_file() => bail!("{flag} {shown}: this is no regular file"),
        Ok(_) => ensure!(force, "{shown} exists already: --force overwrites it"),
        Err(error) if error.kind() == ErrorKind::NotFound => check_link(flag, path)?,
        // A name that is too long, say, or a file where a folder should be.
        Err(error) => return Err(error).with_context(|| format!("{flag} {shown}")),
    }
    Ok(())
}

/// Refuses a link that leads nowhere.
fn check_link(flag: &str, path: &Path) -> Result<()> {
    let shown = path.display();
    match path.read_link() {
        Ok(to) => bail!("{flag} {shown}: this is a link to {}, which is not there", to.display()),
        Err(_) => Ok(()),
    }
}

/// Refuses a folder that cannot be written to, or made where there is none; `flag` named it. Tells what it is with all links
/// followed.
pub(crate) fn check_room(flag: &str, folder: &Path) -> Result<PathBuf> {
    let shown = folder.display();
    let cannot = || format!("{flag} {shown}: cannot write there");
    ensure!(!folder.as_os_str().is_empty(), "{flag} is empty: please name a folder");
    // A slash at the end would be followed behind a link.
    let folder = folder.components().as_path();
    let mut there = folder;
    loop {
        match there.metadata() {
            Ok(found) if found.is_dir() => break,
            Ok(_) => bail!("{flag} {shown}: {} is no folder", there.display()),
            Err(error) if error.kind() == ErrorKind::NotFound && there != Path::new(".") => {
                check_link(flag, there)?;
            }
            Err(error) => return Err(error).with_context(cannot),
        }
        there = folder_of(there);
    }
    let missing = folder.strip_prefix(there).unwrap_or(folder);
    for name in missing {
        // A name may be too long.
        match there.join(name).symlink_metadata() {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(cannot);
            }
            _ => {}
        }
    }
    probe(there).with_context(cannot)?;
    Ok(there.canonicalize().with_context(cannot)?.join(missing))
}

/// Writes to a folder, so that one that is not written to or on a full disk is known before there is something to write.
fn probe(folder: &Path) -> std::io::Result<()> {
    // It has no name, so that nothing stays behind whatever ends the command.
    let mut file = tempfile::tempfile_in(folder).map_err(without_path)?;
    file.write_all(&[0; PROBE])?;
    file.sync_all()
}
