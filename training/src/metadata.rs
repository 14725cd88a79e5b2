//! Tables of captions: `metadata.jsonl` and `metadata.csv`.

use std::fs;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use files::contents::{Contents, ENOUGH};
use files::text::{TextError, decode};
use serde_json::{Map, Value};

use crate::Error;
use crate::rejects::describe;

/// The names of tables; the first that is there is read.
pub(crate) const METADATA: [&str; 2] = ["metadata.jsonl", "metadata.csv"];

/// The names of columns that name pictures: Hugging Face's, and others.
const FILES: &[&str] = &[
    "file_name",
    "filename",
    "file",
    "image",
    "image_path",
    "path",
];

/// The names of columns of captions.
const CAPTIONS: &[&str] = &["text", "caption", "prompt", "title"];

/// The delimiters of a CSV's cells.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The name of a picture and its caption.
type Named = (String, String);

/// Rows by the numbers of their lines, each with what is wrong with it where something is.
pub(crate) type Rows = Vec<(u64, Result<Named, String>)>;

/// Reads the table at `path`. An error where it names no pictures or captions at all.
pub(crate) fn read(path: &Path) -> Result<Rows, Error> {
    let wrong = |why: String| Error::Data(format!("{}: {why}", path.display()));
    let bytes = fs::read(path).map_err(Error::file(path))?;
    let json_lines = path.extension().is_some_and(|ending| ending == "jsonl");
    match Contents::of(&bytes[..bytes.len().min(ENOUGH)]) {
        Some(Contents::Json) if json_lines && bytes.trim_ascii_start().starts_with(b"[") => {
            return Err(wrong(
                "it is one JSON list, and a .jsonl has one object a line, as `jq -c '.[]'` writes"
                    .to_owned(),
            ));
        }
        None | Some(Contents::Text | Contents::Json) => {}
        Some(other) => return Err(wrong(format!("it is {}", describe(other)))),
    }
    // Where some lines are no UTF-8, these lines alone are lost.
    let text = match decode(&bytes) {
        Ok(text) => text.into_bytes(),
        Err(TextError::NotUtf8 { .. }) => bytes,
        Err(error) => return Err(wrong(error.to_string())),
    };
    let rows = match json_lines {
        true => json_rows(&text),
        false => csv_rows(&text),
    };
    rows.map_err(wrong)
}

const NOT_UTF8: &str = "it is not UTF-8: please save the table as UTF-8";

fn json_rows(text: &[u8]) -> Result<Rows, String> {
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let parse = |line| {
        let text = std::str::from_utf8(line).map_err(|_| NOT_UTF8.to_owned())?;
        serde_json::from_str::<Map<String, Value>>(text).map_err(|error| error.to_string())
    };
    let objects: Vec<(u64, Result<_, String>)> = lines.map(|(n, line)| (n, parse(line))).collect();
    // The first object that has both says what they are called.
    let mut refused = None;
    let columns = objects.iter().find_map(|(line, object)| {
        let names: Vec<&str> = object.as_ref().ok()?.keys().map(String::as_str).collect();
        match Columns::among(&names) {
            Ok(columns) => Some([names[columns.file], names[columns.caption]].map(str::to_owned)),
            Err(why) => {
                refused.get_or_insert(format!("line {line}: {why}"));
                None
            }
        }
    });
    let [file, caption] = match (columns, refused) {
        (Some(columns), _) => columns,
        (None, Some(why)) => return Err(why),
        // There is no object, and each line says why.
        (None, None) => [FILES[0], CAPTIONS[0]].map(str::to_owned),
    };
    let text = |object: &Map<String, Value>, name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("its `{name}` is no text")),
        None => Err(format!("it has no `{name}`")),
    };
    let row = |object: Map<String, Value>| Ok((text(&object, &file)?, text(&object, &caption)?));
    let rows = objects.into_iter();
    Ok(rows
        .map(|(line, object)| (line, object.and_then(row)))
        .collect())
}

/// The reason in a user's words.
fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => NOT_UTF8.to_owned(),
        _ => error.to_string(),
    }
}

fn csv_rows(text: &[u8]) -> Result<Rows, String> {
    let reader = |delimiter| {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).from_reader(text)
    };
    let mut headers = Vec::new();
    for delimiter in DELIMITERS {
        let header = reader(delimiter).headers().cloned();
        headers.push((delimiter, header.map_err(|error| csv_reason(&error))?));
    }
    let fitting = headers.iter().find_map(|(delimiter, header)| {
        let columns = Columns::among(&header.iter().collect::<Vec<_>>()).ok()?;
        Some((*delimiter, columns))
    });
    let (delimiter, columns) = match fitting {
        Some(fitting) => fitting,
        None => {
            headers.sort_by_key(|(_, header)| header.len());
            let (delimiter, widest) = headers.pop().expect("there are delimiters");
            (
                delimiter,
                Columns::among(&widest.iter().collect::<Vec<_>>())?,
            )
        }
    };
    let line = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
    let row = |record: Result<StringRecord, csv::Error>| match record {
        Ok(record) => {
            let cell = |column: usize| record.get(column).unwrap_or_default().to_owned();
            let named = (cell(columns.file), cell(columns.caption));
            (line(record.position()), Ok(named))
        }
        Err(error) => (line(error.position()), Err(csv_reason(&error))),
    };
    Ok(reader(delimiter).records().map(row).collect())
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
            names.join(", ")
        )),
        [one, other, ..] => Err(format!(
            "`{}` and `{}` may both be {what}: call the right one `{usual}`",
            names[one], names[other]
        )),
    }
}
