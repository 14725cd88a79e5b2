//! What a leg tells of itself while it trains: `metrics.jsonl`, TensorBoard's events, and sheets of samples.

use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::{ImageFormat, RgbImage};
use serde_json::{Map, Value};
use weights::write_atomically;

use crate::Error;
use crate::events::Events;

/// The file of figures in a leg's folder: a JSON object a line, with `step`, `time` (seconds since 1970) and the figures.
pub const METRICS: &str = "metrics.jsonl";

/// The figures of one leg, which grow.
pub struct Metrics {
    folder: PathBuf,
    file: File,
    events: Events,
}

impl Metrics {
    /// Goes on at `step`: what is told of that step and later ones is dropped, since they are taken again.
    pub fn open(folder: &Path, step: u64) -> Result<Self, Error> {
        let path = folder.join(METRICS);
        let told = told(&path)?;
        let kept: String = told
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n') && step_of(line).is_some_and(|told| told < step))
            .collect();
        if kept != told {
            write_atomically(&path, |file| {
                let io = |error| weights::Error::io("write", path.display())(error);
                file.write_all(kept.as_bytes()).map_err(io)
            })?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            folder: folder.to_owned(),
            file: open.map_err(Error::file(&path))?,
            events: Events::begin(folder, step, now())?,
        })
    }

    /// Tells figures of a step.
    pub fn tell(&mut self, step: u64, figures: &[(&str, f64)]) -> Result<(), Error> {
        let time = now();
        let mut line = Map::from_iter([("step".into(), step.into()), ("time".into(), time.into())]);
        line.extend(figures.iter().map(|&(name, value)| (name.to_owned(), value.into())));
        let path = || self.folder.join(METRICS);
        writeln!(self.file, "{}", Value::Object(line)).map_err(Error::file(path()))?;
        self.events.scalars(step, time, figures)
    }

    /// Shows what the averaged weights draw after `steps` steps.
    pub fn show(&mut self, steps: u64, sheet: &RgbImage) -> Result<(), Error> {
        let folder = self.folder.join("samples");
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let path = folder.join(format!("step-{steps:09}.png"));
        let mut png = Cursor::new(Vec::new());
        sheet.write_to(&mut png, ImageFormat::Png).expect("pictures fit in memory");
        let png = png.into_inner();
        write_atomically(&path, |file| {
            file.write_all(&png).map_err(weights::Error::io("write", path.display()))
        })?;
        self.events.picture((steps, now()), "samples", sheet.dimensions(), png)
    }
}

/// The figures of a leg's folder, a line a step; none where there are none yet.
pub fn read(folder: &Path) -> Result<Vec<Map<String, Value>>, Error> {
    let told = told(&folder.join(METRICS))?;
    let lines = told.lines().map(serde_json::from_str);
    Ok(lines.filter_map(Result::ok).collect())
}

/// What the file of figures holds: nothing where there is none yet.
fn told(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        told => told.map_err(Error::file(path)),
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["step"].as_u64()
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
