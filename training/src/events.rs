//! TensorBoard's event files: TFRecords of protocol buffers, of which only what is written here is declared.
//!
//! The messages are those of tensorflow's `event.proto` and `summary.proto`; a record is its length, the masked CRC-32C of
//! the length, its bytes and their masked CRC-32C (tensorflow's `record_writer.h`).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::Error;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "Payload", tags = "3, 5, 7")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Value", tags = "2, 4")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// 3 is RGB.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1 is START: what other files have of this step and later ones is no longer true.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// One file of events, which grows.
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Creates a file in a run's folder, for the steps from `step` on. TensorBoard forgets what earlier files have of them.
    pub fn create(folder: &Path, step: u64, time: f64) -> Result<Self, Error> {
        // TensorBoard reads the files of a folder in the order of their names.
        let path = folder.join(format!("events.out.tfevents.{:.3}.unclip", time));
        let file = File::create(&path).map_err(Error::file(&path))?;
        let mut events = Self { path, file };
        events.write(0, time, Payload::FileVersion("brain.Event:2".to_owned()))?;
        events.write(step, time, Payload::SessionLog(SessionLog { status: 1 }))?;
        Ok(events)
    }

    /// Writes metrics of a step.
    pub fn scalars(&mut self, step: u64, time: f64, metrics: &[(&str, f64)]) -> Result<(), Error> {
        let value = |&(name, value): &(&str, f64)| SummaryValue {
            tag: name.to_owned(),
            value: Some(Value::Scalar(value as f32)),
        };
        let values = metrics.iter().map(value).collect();
        self.write(step, time, Payload::Summary(Summary { values }))
    }

    /// Writes an image of a step, as PNG.
    pub fn image(
        &mut self,
        (step, time): (u64, f64),
        name: &str,
        (width, height): (u32, u32),
        png: Vec<u8>,
    ) -> Result<(), Error> {
        let image =
            Image { height: height as i32, width: width as i32, colorspace: 3, encoded: png };
        let values = vec![SummaryValue { tag: name.to_owned(), value: Some(Value::Image(image)) }];
        self.write(step, time, Payload::Summary(Summary { values }))
    }

    fn write(&mut self, step: u64, wall_time: f64, payload: Payload) -> Result<(), Error> {
        let event = Event { wall_time, step: step as i64, payload: Some(payload) };
        let bytes = event.encode_to_vec();
        let length = (bytes.len() as u64).to_le_bytes();
        let record = [length.as_slice(), &masked(&length), &bytes, &masked(&bytes)].concat();
        self.file.write_all(&record).map_err(Error::file(&self.path))
    }
}

/// A checksum that may itself be summed.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
