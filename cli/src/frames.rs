//! Frames of an interpolation: files, a contact sheet and an animation.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use files::lock::FolderLock;
use images::{RgbImage, contact_sheet, encode_apng, encode_gif};
use pipeline::{Observer, Record, Step};

use crate::destinations::check_room;
use crate::interrupt;
use crate::output::{save, write_whole};
use crate::progress::Bars;
use crate::stdout::print_path;
use crate::value_parsers;

/// Pictures in a row of a contact sheet.
const COLUMNS: u32 = 8;

/// How an interpolation is shown.
#[derive(Args)]
pub(crate) struct AnimationArgs {
    /// The animation's format
    #[arg(
        long,
        value_enum,
        default_value = "apng",
        hide_possible_values = true,
        value_name = "apng|gif"
    )]
    animation: Animation,
    /// How long the animation shows each frame, in milliseconds
    #[arg(long, value_name = "N", default_value = "150", value_parser = value_parsers::milliseconds, allow_negative_numbers = true)]
    frame_time: u16,
    /// The animation goes back the way it came
    #[arg(long)]
    ping_pong: bool,
}

/// The format of an animation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Animation {
    Apng,
    Gif,
}

/// The frames of an interpolation, and where they go.
pub(crate) struct FrameSequence<'a> {
    /// How many, both ends included.
    pub frames: u64,
    /// The folder of their files.
    pub folder: &'a Path,
    /// Whether files that are there already are replaced.
    pub force: bool,
    /// The files' record of how they were drawn, but for `t`.
    pub record: Option<Record>,
}

impl FrameSequence<'_> {
    /// The texts of the frame at `t`.
    fn texts(&self, t: f64, frame: &RgbImage) -> Vec<(&'static str, String)> {
        let record = self.record.clone().map(|record| record.with("t", t));
        let texts = record.map(|record| record.texts(frame.dimensions()));
        texts.into_iter().flatten().collect()
    }
}

/// The interpolation parameter t of each of `frames` frames: from 0 to 1. One frame is the first end.
fn parameters(frames: u64) -> Vec<f64> {
    let gaps = frames.saturating_sub(1).max(1) as f64;
    (0..frames).map(|i| i as f64 / gaps).collect()
}

impl AnimationArgs {
    /// Refuses times that the animation's format does not have.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            self.animation != Animation::Gif || self.frame_time.is_multiple_of(10),
            "--frame-time {}: a GIF counts in hundredths of a second, so it must be a multiple of 10",
            self.frame_time
        );
        Ok(())
    }

    /// Draws the frames, and then writes a contact sheet and an animation; prints the files' paths. The bars count
    /// `before` images that came first.
    pub(crate) fn draw(
        &self,
        sequence: &FrameSequence,
        bars: &mut Bars,
        before: usize,
        mut draw: impl FnMut(f64, &mut dyn Observer) -> Result<RgbImage>,
    ) -> Result<()> {
        interrupt::defer();
        let FrameSequence { folder, force, .. } = *sequence;
        let parameters = parameters(sequence.frames);
        let digits = (parameters.len() - 1).to_string().len().max(2);
        let mut frames = Vec::new();
        for (index, &t) in parameters.iter().enumerate() {
            interrupt::check(index, parameters.len(), "frames are drawn")?;
            let observer = &mut |step: Step<'_>| bars.observe(before + index, &step);
            let frame = draw(t, observer)?;
            let path = folder.join(format!("frame-{index:0digits$}.png"));
            save(&path, &frame, &sequence.texts(t, &frame), force)?;
            print_written(&path, bars)?;
            frames.push(frame);
        }
        let sheet = contact_sheet(&frames, COLUMNS);
        let path = folder.join("sheet.png");
        save(&path, &sheet, &[], force)?;
        print_written(&path, bars)?;
        let mut order: Vec<&RgbImage> = frames.iter().collect();
        if self.ping_pong && frames.len() > 2 {
            order.extend(frames[1..frames.len() - 1].iter().rev());
        }
        let path = match self.animation {
            Animation::Apng => folder.join("animation.png"),
            Animation::Gif => folder.join("animation.gif"),
        };
        write_whole(&path, &self.encode(&order, &path)?, force)?;
        print_written(&path, bars)
    }

    fn encode(&self, frames: &[&RgbImage], path: &Path) -> Result<Vec<u8>> {
        let bytes = match self.animation {
            Animation::Apng => encode_apng(frames, self.frame_time),
            Animation::Gif => encode_gif(frames, self.frame_time),
        };
        bytes.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Refuses a folder with something in it, unless `force`, what is no folder, and where none can be; `flag` named it.
pub(crate) fn check_new(flag: &str, folder: &Path, force: bool) -> Result<()> {
    check_room(flag, folder)?;
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            ensure!(force || entries.next().is_none(), "{flag} {shown}: this folder is not empty")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{flag} {shown}")),
    }
    Ok(())
}

/// Makes a folder that passes [`check_new`], and holds it for this command alone.
pub(crate) fn prepare(flag: &str, folder: &Path, force: bool) -> Result<FolderLock> {
    let shown = folder.display();
    let made = fs::create_dir_all(folder);
    made.with_context(|| format!("{flag} {shown}: cannot write there"))?;
    let alone = FolderLock::take(folder).with_context(|| format!("{flag} {shown}"))?;
    check_new(flag, folder, force)?;
    Ok(alone)
}

/// Prints the path of a file that was written.
pub(crate) fn print_written(path: &Path, bars: &Bars) -> Result<()> {
    bars.suspend(|| print_path(path))
}
