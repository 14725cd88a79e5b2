//! The picture, the mask and its flags in the record of a picture that was painted.

use pipeline::Record;
use serde_json::Value;

use crate::messages::say;

/// The name of the command in records.
pub(crate) const COMMAND: &str = "inpaint";

/// The arguments that decide the mask, and their flags.
const FLAGS: [(&str, &str); 5] = [
    ("mask", "--mask"),
    ("mask_rects", "--mask-rect"),
    ("invert_mask", "--invert-mask"),
    ("feather", "--feather"),
    ("outpaint", "--outpaint"),
];

/// A flag as a user writes it, with the value that a record has.
fn flag(flag: &str, value: &Value) -> String {
    match value {
        Value::Bool(_) => flag.to_owned(),
        Value::String(text) => format!("{flag} {text}"),
        Value::Array(values) => {
            let all = values.iter().map(|value| self::flag(flag, value));
            all.collect::<Vec<_>>().join(" ")
        }
        value => format!("{flag} {value}"),
    }
}

/// The flags of the mask of a picture that was painted, as a user writes them.
pub(crate) fn flags(recorded: &Record) -> Option<String> {
    let recorded = Some(recorded).filter(|record| record.command == COMMAND)?;
    let all = FLAGS
        .iter()
        .filter_map(|(name, shown)| recorded.arguments.get(*name).map(|value| flag(shown, value)));
    Some(all.collect::<Vec<_>>().join(" ")).filter(|flags| !flags.is_empty())
}

/// Says which files and flags of the mask were others.
pub(crate) fn warn_of_differences(recorded: &Record, record: &Record) {
    if recorded.command != COMMAND {
        return;
    }
    let was = |name: &str| recorded.arguments.get(name);
    let differs = |name: &str| was(name) != record.arguments.get(name);
    // The same pixels may lie in files of other bytes.
    if differs("image_sha256") {
        say!("warning: that one was painted in another file, this one may differ");
    }
    for (name, shown) in FLAGS {
        let is_file = name == "mask";
        if !differs(if is_file { "mask_sha256" } else { name }) {
            continue;
        }
        let with = match was(name) {
            Some(value) => format!("with {}", flag(shown, value)),
            None => format!("without {shown}"),
        };
        match is_file && was(name).is_some() && record.arguments.contains_key(name) {
            true => say!("warning: that one was painted {with}, another file: this one may differ"),
            false => say!("warning: that one was painted {with}, this one will differ"),
        }
    }
}
