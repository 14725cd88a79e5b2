//! How a picture was drawn: `unclip info` prints it, and `generate --from` draws it again.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use files::text::steers;
use images::formats::format_name;
use images::png_text::find_text;
use pipeline::Record;
use pipeline::record::KEYWORD;
use serde_json::Value;

use crate::input::{name_of, read_image_bytes};
use crate::path_json::insert_path;

/// A record with the name of a file that the user brought; where it lies is nobody's business.
pub(crate) fn with_file(mut record: Record, what: &str, path: &Path) -> Record {
    insert_path(&mut record.arguments, what, path.file_name().unwrap_or_default());
    record
}

/// A picture as one JSON object: its record, its number and its file.
pub(crate) fn line(record: &Record, index: usize, path: &Path) -> String {
    let mut line = record.fields();
    line.insert("index".to_owned(), index.into());
    insert_path(&mut line, "path", path);
    Value::Object(line).to_string()
}

/// Reads the record in a picture's file, or on standard input where it is `-`.
pub(crate) fn read_record(path: &Path) -> Result<Record> {
    let shown = name_of(path);
    let bytes = read_image_bytes(path)?;
    let format = format_name(&bytes);
    ensure!(format == "PNG", "{shown} is a {format}, and only a PNG keeps how unclip drew it");
    let text = find_text(&bytes, KEYWORD).with_context(|| shown.to_string())?;
    let text = text.with_context(|| format!("{shown} does not say how unclip drew it"))?;
    let record = Record::parse(&text);
    record.map_err(|error| anyhow!("{shown}: what it says of itself is damaged: {error}"))
}

/// JSON in which a picture's words steer no terminal: such characters are written as JSON escapes them.
pub(crate) fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => inert.push(c),
            c if steers(c) => inert += &format!("\\u{:04x}", u32::from(c)),
            c => inert.push(c),
        }
    }
    inert
}
