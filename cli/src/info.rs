//! `unclip info`: what a picture, a model, a file of weights or this machine is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use families::{
    AbilitySummary, KnownModel, ModelFolders, ModelSummary, RepositoryError, known_model, recognise,
};
use files::contents::{Contents, ENOUGH};
use files::text::{REPLACEMENT, excerpt, steers};
use images::EncoderFormat;
use serde_json::{Map, Value, json};
use tch::Kind;
use unclip::OpenOptions;
use weights::{Folder, WeightSummary, listed};

use crate::input::STANDARD_INPUT;
use crate::kernel_cache;
use crate::model::locator;
use crate::record::{inert, read_record};
use crate::stdout::{print_bytes, print_line};

/// The arguments of `unclip info`.
#[derive(Args)]
pub(crate) struct Info {
    /// A picture that unclip drew (- for standard input), a model, or a file of weights; none for this machine and the kernels that were found to be the fastest on it
    #[arg(value_name = "FILE|MODEL")]
    subject: Option<PathBuf>,
    /// Print what a model is as JSON, as a picture's record always is
    #[arg(long, requires = "subject")]
    json: bool,
}

impl Info {
    /// Prints it.
    pub(crate) fn run(&self) -> Result<()> {
        let Some(subject) = &self.subject else {
            let mut text = Vec::new();
            kernel_cache::tell(&mut text)?;
            return print_bytes(&text);
        };
        if is_weights(subject) {
            // A CLIP is a model in one file.
            return match unclip::locate_model(subject) {
                Ok(folder) => self.print_model(subject, &folder),
                Err(_) => self.print_weights(&WeightSummary::of_file(subject)?),
            };
        }
        let is_file = subject == Path::new(STANDARD_INPUT)
            || subject.metadata().is_ok_and(|found| !found.is_dir());
        match locator(None).cached_only().locate(subject) {
            Ok(folder) if !is_file => self.print_model(subject, &folder),
            Err(error) if is_on_hub(subject) && is_absent(&error) => {
                let size = known(subject).map(|model| format!("'s {}", bytes(model.bytes)));
                let (size, name) = (size.unwrap_or_default(), subject.display());
                bail!(
                    "{name} is not, or not whole, in the Hugging Face Hub's cache: `unclip pull {name}` downloads the model{size}"
                )
            }
            Err(error) if is_on_hub(subject) => Err(error.into()),
            Err(error) if !is_file && is_name(subject) => Err(error.into()),
            _ => print_line!("{}", inert(&serde_json::to_string_pretty(&read_record(subject)?)?)),
        }
    }

    fn print_model(&self, subject: &Path, folder: &Folder) -> Result<()> {
        let completing = completing(subject, folder);
        let summary = families::summarize_completed_model(folder, completing.as_ref())?;
        let defaults = defaults(folder, &summary);
        let known = known(subject);
        let licence = families::licence(folder).or(known.map(|model| model.licence.to_owned()));
        if self.json {
            let mut object = json!(summary);
            object["defaults"] = json!(defaults);
            object["licence"] = json!(licence);
            return print_line!("{}", inert(&format!("{object:#}")));
        }
        let mut text = model_text(folder, &summary, &defaults);
        let mut add = |name: &str, value: &str| {
            text += &format!("{name:<10}{}\n", excerpt(value).replace(steers, REPLACEMENT));
        };
        if let Some(licence) = licence {
            add("licence", &licence);
        }
        if let Some(repository) = known.and_then(|model| model.completed_by) {
            let place = match completing {
                Some(_) => "are in the cache",
                None => "are downloaded where they are needed",
            };
            add("with", &format!("components of {repository}, which {place}"));
        }
        print_bytes(text.as_bytes())
    }

    fn print_weights(&self, weights: &WeightSummary) -> Result<()> {
        match self.json {
            true => print_line!("{}", inert(&format!("{:#}", json!(weights)))),
            false => {
                let WeightSummary { formats, tensors, .. } = weights;
                let [parameters, dtypes, size] = columns(weights);
                let formats = formats.join(" and ");
                print_line!(
                    "weights: {formats}, {tensors} tensors, {parameters} parameters in {dtypes}, {size}"
                )
            }
        }
    }
}

/// Whether a word is the name of a built-in model, whether there is one or not.
fn is_name(word: &Path) -> bool {
    word.to_str().is_some_and(|word| word.starts_with("builtin:"))
}

/// Whether a word names a repository of the Hub, and no picture.
fn is_on_hub(word: &Path) -> bool {
    let is_picture = EncoderFormat::of(word).is_some();
    !is_picture && matches!(unclip::repository(word), Ok(Some(_)))
}

/// Whether the cache lacks a model, or a part of it.
fn is_absent(error: &unclip::Error) -> bool {
    let is_part = |error: &families::Error| match error {
        families::Error::Repository { problem, .. } => !matches!(
            problem,
            RepositoryError::OtherClass { .. } | RepositoryError::Description { .. }
        ),
        families::Error::Download { source, .. } => {
            matches!(source.downcast_ref(), Some(hub::Error::MissingOffline { .. }))
        }
        _ => false,
    };
    match error {
        unclip::Error::UnknownModel { .. } => true,
        unclip::Error::Families(error) => is_part(error),
        _ => false,
    }
}

/// The folder in the cache that completes a known model of the Hub.
fn completing(subject: &Path, folder: &Folder) -> Option<Folder> {
    let lazy = locator(None).cached_only().lazy_completion(subject, &recognise(folder))?;
    lazy.get().ok()
}

/// The known model that a word names.
fn known(word: &Path) -> Option<&'static KnownModel> {
    known_model(&unclip::repository(word).ok()??.id())
}

/// Whether a file's first bytes are those of weights.
fn is_weights(path: &Path) -> bool {
    let first = || {
        // Opening a pipe would wait for its writer.
        let mut file = path.is_file().then(|| File::open(path).ok())??;
        let mut bytes = Vec::new();
        file.by_ref().take(ENOUGH as u64).read_to_end(&mut bytes).ok()?;
        Contents::of(&bytes)
    };
    matches!(first(), Some(Contents::Safetensors | Contents::Zip | Contents::Pickle))
}

/// The settings that a model which draws is sampled with unless a user changes them.
fn defaults(folder: &Folder, summary: &ModelSummary) -> Option<Map<String, Value>> {
    if summary.description.is_some() {
        return None;
    }
    let options = OpenOptions::new().dtype(Kind::Float);
    let pipeline = options.open_folders(ModelFolders::new(folder.clone())).ok()?;
    match serde_json::to_value(pipeline.defaults().ok()?).ok()? {
        Value::Object(settings) => Some(settings),
        _ => None,
    }
}

/// A model as lines for readers.
fn model_text(
    folder: &Folder,
    summary: &ModelSummary,
    defaults: &Option<Map<String, Value>>,
) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| {
        let line = format!("{name:<10}{value}");
        text += &line.replace(steers, REPLACEMENT);
        text.push('\n');
    };
    add("model", excerpt(&folder.to_string()));
    if let Some(family) = summary.family {
        add("family", family.to_owned());
    }
    if let Some(description) = &summary.description {
        add("folder", description.clone());
    }
    for row in table(summary) {
        add("", row);
    }
    let sizes = summary.memory.each_ref().map(|memory| {
        let dtypes = memory.dtypes.join(" and ");
        let [all, largest] = [memory.all, memory.largest].map(bytes);
        format!("{all} in {dtypes} (the largest part {largest})")
    });
    add("memory", sizes.join(", "));
    let able = summary.abilities.iter().filter(|ability| ability.missing.is_empty());
    let able: Vec<String> = able.map(|ability| ability.ability.to_string()).collect();
    if !able.is_empty() {
        add("can", able.join(", "));
    }
    // A description says of what is no whole model that it lacks most.
    let lacks =
        |ability: &&AbilitySummary| summary.description.is_none() && !ability.missing.is_empty();
    for ability in summary.abilities.iter().filter(lacks) {
        add("cannot", format!("{}: there is no {}", ability.ability, listed(&ability.missing)));
    }
    if summary.takes_hint {
        add("draws", "by a hint: generate --hint FILE, and no other command".to_owned());
    }
    summary.problems.iter().for_each(|problem| add("problem", problem.clone()));
    if let Some(defaults) = defaults {
        let settings = defaults.iter().map(|(name, value)| format!("{name} {value}"));
        add("defaults", settings.collect::<Vec<_>>().join(", "));
    }
    text
}

/// The components as aligned columns, and the sum of those with weights.
fn table(summary: &ModelSummary) -> Vec<String> {
    let widest = summary.components.iter().map(|component| component.component.len()).max();
    let width = widest.unwrap_or(0).max("all".len());
    let row = |name: &str, weights: &WeightSummary| {
        let [parameters, dtypes, size] = columns(weights);
        let formats = weights.formats.join(", ");
        format!("{name:<width$}  {parameters:>9}  {dtypes:<9}  {size:>9}  {formats}")
    };
    let mut rows: Vec<String> = summary
        .components
        .iter()
        .map(|component| match (&component.weights, &component.problem) {
            (Some(weights), _) => row(component.component, weights),
            (None, Some(problem)) => format!("{:<width$}  {problem}", component.component),
            (None, None) => component.component.to_owned(),
        })
        .collect();
    if rows.len() > 1 {
        rows.push(row("all", &summary.weights));
    }
    rows
}

/// The parameters, the types and the size of weights.
fn columns(weights: &WeightSummary) -> [String; 3] {
    let parameters = scaled(weights.parameters, ["", " k", " M", " G"]);
    [parameters, weights.dtypes.join(", "), bytes(weights.bytes)]
}

/// A number of bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count, [" B", " kB", " MB", " GB"])
}

/// A number with the unit that leaves one to three digits before its point.
fn scaled(number: u64, units: [&str; 4]) -> String {
    let steps = [1, 1_000, 1_000_000, 1_000_000_000_u64];
    let largest = (0..units.len()).rev().find(|&unit| number >= steps[unit]).unwrap_or(0);
    match largest {
        0 => format!("{number}{}", units[0]),
        _ => format!("{:.1}{}", number as f64 / steps[largest] as f64, units[largest]),
    }
}
