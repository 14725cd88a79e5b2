//! Tables of captions: `metadata.jsonl` and `metadata.csv`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord};
use files::contents::{Contents, ENOUGH};
use files::text::excerpt;
use serde_json::{Map, Value};

use crate::Error;
use crate::rejects::describe;
use crate::table_reader::{Allowance, BoundedReader, Lines, NOT_UTF8, check_zeros, open};

/// The names of tables; the first that is there is read.
pub(crate) const METADATA: [&str; 2] = ["metadata.jsonl", "metadata.csv"];

/// The names of columns that name images: Hugging Face's, and others.
const FILES: &[&str] = &["file_name", "filename", "file", "image", "image_path", "path"];

/// The names of columns of captions.
const CAPTIONS: &[&str] = &["text", "caption", "prompt", "title"];

/// The delimiters of a CSV's cells.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A line of a `metadata.jsonl`.
type Object = Map<String, Value>;

/// The name of an image and its caption.
type Row = (String, String);

/// Rows by the numbers of their lines, each with the reason where it cannot be read.
pub(crate) type Rows = Vec<(u64, Result<Row, String>)>;

/// Reads the table at `path`, row by row. An error where it names no images or captions at all.
pub(crate) fn read(path: &Path) -> Result<Rows, Error> {
    let wrong = |why: String| Error::Data(format!("{}: {why}", path.display()));
    let json_lines = path.extension().is_some_and(|ending| ending == "jsonl");
    check_contents(path, json_lines).map_err(wrong)?;
    let rows = match json_lines {
        true => json_rows(path),
        false => csv_rows(path),
    };
    rows.map_err(wrong)
}

/// Refuses what is no table, by its first bytes.
fn check_contents(path: &Path, json_lines: bool) -> Result<(), String> {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ENOUGH as u64).read_to_end(&mut first));
    read.map_err(|error| error.to_string())?;
    match Contents::of(&first) {
        Some(Contents::Json) if json_lines && first.trim_ascii_start().starts_with(b"[") => {
            Err("it is one JSON list, and a .jsonl has one object a line, as `jq -c '.[]'` writes"
                .to_owned())
        }
        None | Some(Contents::Text | Contents::Json) => Ok(()),
        Some(other) => Err(format!("it is {}", describe(other))),
    }
}

/// The objects of a file, one a line.
fn objects(path: &Path) -> Result<impl Iterator<Item = (u64, Result<Object, String>)>, String> {
    let parse = |line: String| serde_json::from_str(&line).map_err(|error| error.to_string());
    let lines = Lines::new(open(path)?);
    let written =
        |line: &Result<String, String>| !matches!(line, Ok(line) if line.trim().is_empty());
    let lines = lines.filter(move |(_, line)| written(line));
    Ok(lines.map(move |(number, line)| (number, line.and_then(parse))))
}

fn json_rows(path: &Path) -> Result<Rows, String> {
    let [file, caption] = json_columns(path)?;
    let text = |object: &mut Object, name: &str| match object.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("its `{name}` is no text")),
        None => Err(format!("it has no `{name}`")),
    };
    let row = |mut object: Object| Ok((text(&mut object, &file)?, text(&mut object, &caption)?));
    let rows = objects(path)?.map(|(line, object)| (line, object.and_then(row)));
    Ok(rows.collect())
}

/// The columns of the images' names and of the captions, as in the first object that has both.
fn json_columns(path: &Path) -> Result<[String; 2], String> {
    let mut refused = None;
    for (line, object) in objects(path)? {
        let Ok(object) = object else { continue };
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        match Columns::among(&names) {
            Ok(columns) => {
                return Ok([names[columns.file], names[columns.caption]].map(str::to_owned));
            }
            Err(why) => {
                refused.get_or_insert(format!("line {line}: {why}"));
            }
        }
    }
    // Where there is no object, each line says why.
    match refused {
        Some(why) => Err(why),
        None => Ok([FILES[0], CAPTIONS[0]].map(str::to_owned)),
    }
}

/// A table of cells, and what may be read of it before its next row.
fn csv_reader(path: &Path, delimiter: u8) -> Result<(Reader<BoundedReader>, Allowance), String> {
    let (reader, allowance) = BoundedReader::new(open(path)?);
    let mut builder = ReaderBuilder::new();
    Ok((builder.delimiter(delimiter).from_reader(reader), allowance))
}

fn csv_rows(path: &Path) -> Result<Rows, String> {
    let (delimiter, columns) = csv_columns(path)?;
    let (mut reader, allowance) = csv_reader(path, delimiter)?;
    let (mut rows, mut record) = (Rows::new(), StringRecord::new());
    loop {
        allowance.renew();
        let line = reader.position().line();
        let row = match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {
                let cell = |column: usize| text_lines(record.get(column).unwrap_or_default());
                let row = (cell(columns.file), cell(columns.caption));
                check_zeros(&row.0).and_then(|()| check_zeros(&row.1)).map(|()| row)
            }
            Err(error) if error.is_io_error() => {
                return Err(format!("line {line}: {}", csv_reason(&error)));
            }
            Err(error) => Err(csv_reason(&error)),
        };
        let line = record.position().map_or(line, csv::Position::line);
        rows.push((line, row));
    }
}

/// The delimiter of a table's cells, and its two columns.
fn csv_columns(path: &Path) -> Result<(u8, Columns), String> {
    let mut widest = StringRecord::new();
    for delimiter in DELIMITERS {
        let (mut reader, _) = csv_reader(path, delimiter)?;
        let header = reader.headers().map_err(|error| csv_reason(&error))?;
        if let Ok(columns) = Columns::among(&header.iter().collect::<Vec<_>>()) {
            return Ok((delimiter, columns));
        }
        if header.len() >= widest.len() {
            widest = header.clone();
        }
    }
    Columns::among(&widest.iter().collect::<Vec<_>>()).map(|columns| (DELIMITERS[0], columns))
}

/// The reason in a user's words.
fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => NOT_UTF8.to_owned(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A cell's text, whose lines end in `\n`, whatever ended them.
fn text_lines(cell: &str) -> String {
    cell.replace("\r\n", "\n").replace('\r', "\n")
}

/// The places of the two columns of a table that are read.
struct Columns {
    file: usize,
    caption: usize,
}

impl Columns {
    /// Finds them among the names of all columns.
    fn among(names: &[&str]) -> Result<Self, String> {
        Ok(Self {
            file: column(names, FILES, "a picture's name")?,
            caption: column(names, CAPTIONS, "the caption")?,
        })
    }
}

/// The column that is called by the first of `known`, or the only one that is called by another of them.
fn column(names: &[&str], known: &[&str], what: &str) -> Result<usize, String> {
    let is = |name: &str, known: &str| name.trim().eq_ignore_ascii_case(known);
    let usual = known[0];
    let exact = names.iter().position(|name| *name == usual);
    if let Some(column) = exact.or_else(|| names.iter().position(|name| is(name, usual))) {
        return Ok(column);
    }
    let fits = |name: &str| known.iter().any(|known| is(name, known));
    let fitting: Vec<usize> = (0..names.len()).filter(|&n| fits(names[n])).collect();
    match fitting[..] {
        [column] => Ok(column),
        [] => Err(format!(
            "no column is called as {what} is ({}), of {}",
            known.join(", "),
            excerpt(&names.join(", "))
        )),
        [one, other, ..] => Err(format!(
            "`{}` and `{}` may both be {what}: call the right one `{usual}`",
            excerpt(names[one]),
            excerpt(names[other])
        )),
    }
}
