//! Progress of downloads: a bar a file and one in all on a terminal, else a line at the start and one at the end.

use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use unclip::Progress;

use crate::info::bytes;
use crate::interrupt;
use crate::messages::say;

/// Characters of a path on a line.
const PATH: usize = 28;

/// Shows downloads, and stops them where a signal asks for it.
pub(crate) struct DownloadProgress {
    download: Option<Download>,
}

/// Files that are being downloaded.
struct Download {
    screen: MultiProgress,
    all: ProgressBar,
    files: Vec<FileProgress>,
    total: u64,
    start: Instant,
    /// Whether signals were deferred before.
    defers: bool,
}

struct FileProgress {
    path: String,
    /// Its bytes, and those that are there.
    size: u64,
    done: u64,
    /// Its bar, from its first bytes to its last.
    bar: Option<ProgressBar>,
    is_whole: bool,
}

impl DownloadProgress {
    /// Before a download.
    pub(crate) fn new() -> Self {
        Self { download: None }
    }
}

impl Progress for DownloadProgress {
    fn begin(&mut self, files: &[(&str, u64)]) {
        if files.is_empty() {
            return;
        }
        let total = files.iter().map(|(_, size)| size).sum();
        if !stderr().is_terminal() {
            let noun = if files.len() == 1 { "file" } else { "files" };
            say!("downloading {} {noun}, {}", files.len(), bytes(total));
        }
        let screen = MultiProgress::new();
        let all = screen.add(ProgressBar::new(total).with_style(style()).with_prefix("all"));
        if !all.is_hidden() {
            all.enable_steady_tick(Duration::from_millis(500));
        }
        let files = files.iter().map(|(path, size)| FileProgress {
            path: (*path).to_owned(),
            size: *size,
            done: 0,
            bar: None,
            is_whole: false,
        });
        let (files, start) = (files.collect(), Instant::now());
        let defers = interrupt::defer();
        self.download = Some(Download { screen, all, files, total, start, defers });
    }

    fn advance(&mut self, path: &str, bytes: u64) -> ControlFlow<()> {
        if let Some(download) = &mut self.download {
            download.advance(path, bytes);
        }
        match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn finish(&mut self, path: &str) {
        let Some(download) = &mut self.download else {
            return;
        };
        if download.finish(path)
            && let Some(download) = self.download.take()
        {
            download.end();
        }
    }
}

impl Download {
    fn advance(&mut self, path: &str, bytes: u64) {
        let Some(file) = self.files.iter_mut().find(|file| file.path == path) else {
            return;
        };
        file.done = bytes;
        let bar = file.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(file.size).with_style(style());
            self.screen.insert_before(&self.all, bar.with_prefix(shortened(&file.path)))
        });
        bar.set_position(bytes);
        self.all.set_position(self.files.iter().map(|file| file.done).sum());
    }

    /// Marks a file as whole. Whether all are.
    fn finish(&mut self, path: &str) -> bool {
        if let Some(file) = self.files.iter_mut().find(|file| file.path == path) {
            (file.done, file.is_whole) = (file.size, true);
            if let Some(bar) = file.bar.take() {
                bar.finish_and_clear();
            }
        }
        self.all.set_position(self.files.iter().map(|file| file.done).sum());
        self.files.iter().all(|file| file.is_whole)
    }

    fn end(self) {
        self.all.finish_and_clear();
        let seconds = self.start.elapsed().as_secs();
        say!("downloaded {} in {seconds} s", bytes(self.total));
        if !self.defers {
            interrupt::end_deferral();
        }
    }
}

/// The exit code of a command whose download a signal stopped; `None` for any other error.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    let stopped = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(hub::Error::Interrupted))
    };
    let code = interrupt::requested_exit_code()?;
    error.chain().any(stopped).then_some(code)
}

/// A path of at most [`PATH`] characters: its beginning, which names the component, and its end.
fn shortened(path: &str) -> String {
    let characters: Vec<char> = path.chars().collect();
    match characters.len().checked_sub(PATH) {
        None | Some(0) => path.to_owned(),
        Some(more) => {
            let (first, last) = characters.split_at(PATH / 2);
            first.iter().chain(&['…']).chain(&last[more + 1..]).collect()
        }
    }
}

/// A line of 80 columns.
fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>28} {bar:10} {decimal_bytes:>9} of {decimal_total_bytes:>9}, {decimal_bytes_per_sec}, {eta}",
    )
    .expect("the template is sound")
}
