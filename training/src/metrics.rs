//! Metrics of a run: `metrics.jsonl`, TensorBoard's events, and sheets of samples.

use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use files::atomic;
use image::{ImageFormat, RgbImage};
use serde_json::{Map, Value};

use crate::Error;
use crate::events::Events;

/// The file of metrics in a run's folder: a JSON object a line, with `step`, `time` (seconds since 1970) and the metrics.
pub const METRICS: &str = "metrics.jsonl";

/// Writes the metrics and samples of one run.
pub struct MetricsWriter {
    folder: PathBuf,
    file: File,
    events: Events,
}

impl MetricsWriter {
    /// Opens the files of a run's folder to continue at `step`: metrics of that step and later ones are dropped, since these
    /// steps are taken again.
    pub fn open(folder: &Path, step: u64) -> Result<Self, Error> {
        let path = folder.join(METRICS);
        let old = text(&path)?;
        let before = |line: &&str| line.ends_with('\n') && step_of(line).is_some_and(|n| n < step);
        let new: String = old.split_inclusive('\n').filter(before).collect();
        if new != old {
            atomic::write(&path, new.as_bytes(), true).map_err(Error::write(&path))?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            folder: folder.to_owned(),
            file: open.map_err(Error::file(&path))?,
            events: Events::create(folder, step, now())?,
        })
    }

    /// Writes metrics of a step.
    pub fn write(&mut self, step: u64, metrics: &[(&str, f64)]) -> Result<(), Error> {
        let time = now();
        let mut line = Map::from_iter([("step".into(), step.into()), ("time".into(), time.into())]);
        line.extend(metrics.iter().map(|&(name, value)| (name.to_owned(), value.into())));
        let path = || self.folder.join(METRICS);
        writeln!(self.file, "{}", Value::Object(line)).map_err(Error::file(path()))?;
        self.events.scalars(step, time, metrics)
    }

    /// Writes a sheet of samples of the averaged weights after `steps` steps.
    pub fn write_samples(&mut self, steps: u64, sheet: &RgbImage) -> Result<(), Error> {
        let folder = self.folder.join("samples");
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let path = folder.join(format!("step-{steps:09}.png"));
        let mut png = Cursor::new(Vec::new());
        sheet.write_to(&mut png, ImageFormat::Png).expect("images fit in memory");
        let png = png.into_inner();
        atomic::write(&path, &png, true).map_err(Error::write(&path))?;
        self.events.image((steps, now()), "samples", sheet.dimensions(), png)
    }
}

/// The metrics in a run's folder, a line a step; none where there are none yet.
pub fn read(folder: &Path) -> Result<Vec<Map<String, Value>>, Error> {
    let text = text(&folder.join(METRICS))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The text of a file of metrics: empty where there is none yet.
fn text(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(Error::file(path)),
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["step"].as_u64()
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
