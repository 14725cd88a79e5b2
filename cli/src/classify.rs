//! `unclip classify`: which of some labels pictures show, by CLIP alone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use files::text::excerpt;
use pipeline::zero_shot::{cosines, normalised, probabilities};
use pipeline::{LOGIT_FACTOR, Pipeline, Template, check_caption};
use serde_json::{Map, Value, json};
use tch::{Device, Tensor};

use crate::generate::described;
use crate::input::{STANDARD_INPUT, check_named_once, encode_image, open_image, read_text};
use crate::messages::say;
use crate::model::{EncoderArgs, ModelArgs};
use crate::path_json::insert_path;
use crate::stdout::{print_line, print_path};
use crate::value_parsers;

/// For the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip classify photo.png --labels \"house,boat,tree\"
  unclip classify *.png --labels-file colours.txt --template \"a {} house\"
  unclip classify photo.png --labels \"dog,cat\" --model clip-vit-base-patch32";

/// The arguments of `unclip classify`.
#[derive(Args)]
pub(crate) struct Classify {
    /// The pictures: PNG, JPEG, WebP or GIF, - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Labels to choose among, with commas between
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    labels: Vec<String>,
    /// A file with a label a line, - for standard input
    #[arg(long, value_name = "FILE")]
    labels_file: Option<PathBuf>,
    /// A prompt with {} for the label; several are averaged [default: four plain ones]
    #[arg(long = "template", value_name = "PROMPT")]
    templates: Vec<String>,
    /// Tell only the N most probable labels [default: all]
    #[arg(long, value_name = "N", value_parser = value_parsers::count, allow_negative_numbers = true)]
    top: Option<u64>,
    /// Print one JSON object a picture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
}

impl Classify {
    /// Classifies all pictures, and then prints what was found: nothing where one of them cannot be read.
    pub(crate) fn run(&self) -> Result<()> {
        check_named_once(self.images.iter().chain(&self.labels_file))?;
        let labels = self.labels()?;
        let templates = self.templates()?;
        let files = self.images.iter();
        for image in files.filter(|image| *image != Path::new(STANDARD_INPUT)) {
            image.metadata().with_context(|| format!("cannot read {}", image.display()))?;
        }
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        pipeline.prepare_clip()?;
        self.model.warn_of_idle_processors()?;
        let mut embeddings = Vec::with_capacity(self.images.len());
        for image in &self.images {
            let embedding = encode_image(&pipeline, image, open_image(image)?)?;
            embeddings.push(normalised(&embedding));
        }
        let embeddings = Tensor::cat(&embeddings, 0); // [B, E]
        let factor = factor(&pipeline)?;
        warn(&pipeline, &labels, &templates)?;
        let classes = pipeline.class_embeddings(&labels, &templates)?; // [L, E]
        let probable = rows(&probabilities(&embeddings, &classes, factor))?;
        let close = rows(&cosines(&embeddings, &classes))?;
        for ((image, probable), close) in self.images.iter().zip(probable).zip(close) {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by(|&one, &other| probable[other].total_cmp(&probable[one]));
            order.truncate(self.top.map_or(labels.len(), |top| top as usize));
            if self.json {
                let labels = order.iter().map(|&i| {
                    json!({ "label": labels[i], "probability": probable[i], "cosine": close[i] })
                });
                let labels: Vec<_> = labels.collect();
                let mut line = Map::new();
                insert_path(&mut line, "path", image);
                line.insert("labels".to_owned(), labels.into());
                print_line!("{}", Value::Object(line))?;
                continue;
            }
            if self.images.len() > 1 {
                print_path(image)?;
            }
            for i in order {
                print_line!("{:>6.1}%  {}", 100.0 * probable[i], labels[i])?;
            }
        }
        Ok(())
    }

    /// The labels of both flags: at least two, and none of them twice.
    fn labels(&self) -> Result<Vec<String>> {
        let mut labels: Vec<String> = self.labels.clone();
        let mut source = "--labels".to_owned();
        if let Some(file) = &self.labels_file {
            let (name, text) = read_text("--labels-file", file)?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            labels.extend(lines.map(str::to_owned));
            source = match self.labels.is_empty() {
                true => name,
                false => format!("--labels and {name}"),
            };
        }
        check_labels(&mut labels).context(source)?;
        Ok(labels)
    }

    fn templates(&self) -> Result<Vec<Template>> {
        if self.templates.is_empty() {
            return Ok(Template::defaults());
        }
        let read = |template: &String| {
            check_caption(template).context("--template")?;
            Template::new(template).context("--template")
        };
        self.templates.iter().map(read).collect()
    }
}

/// The factor of cosines; says so where the model does not.
fn factor(pipeline: &Pipeline) -> Result<f64> {
    Ok(pipeline.logit_factor()?.unwrap_or_else(|| {
        say!(
            "the model does not say its logit scale: cosines are multiplied by {LOGIT_FACTOR}, as CLIP's are"
        );
        LOGIT_FACTOR
    }))
}

/// Says which words of the prompts the model has never seen, or does not see.
fn warn(pipeline: &Pipeline, labels: &[String], templates: &[Template]) -> Result<()> {
    let (mut unknown, mut cut_off) = (Vec::new(), None);
    for prompt in labels.iter().flat_map(|l| templates.iter().map(|t| t.fill(l))) {
        let words = pipeline.unknown_words(&prompt)?.into_iter();
        unknown.extend(words);
        cut_off = cut_off.or(pipeline.cut_off(&prompt)?.map(|words| (prompt, words)));
    }
    let mut named = HashSet::new();
    unknown.retain(|word| named.insert(word.clone()));
    if !unknown.is_empty() {
        let words = described(pipeline, &unknown)?;
        say!("warning: the model was trained on no caption with: {}", excerpt(&words));
    }
    if let Some((prompt, words)) = cut_off {
        say!(
            "warning: {:?} is longer than the model reads, this is cut off: {}",
            excerpt(&prompt),
            excerpt(&words)
        );
    }
    Ok(())
}

/// The numbers of `[B, L]`, row by row.
fn rows(numbers: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(Vec::<Vec<f64>>::try_from(numbers.to_device(Device::Cpu).to_kind(tch::Kind::Double))?)
}

/// Takes what surrounds labels away, and refuses fewer than two, empty ones and one that is there twice.
fn check_labels(labels: &mut [String]) -> Result<()> {
    let mut seen = HashSet::new();
    for label in &mut *labels {
        *label = label.trim().to_owned();
        ensure!(!label.is_empty(), "a label is empty");
        check_caption(label).with_context(|| format!("the label {label:?}"))?;
        // Tokenizers read capitals as small letters.
        ensure!(seen.insert(label.to_lowercase()), "the label {label:?} is given twice");
    }
    match labels {
        [] => bail!("there are no labels: --labels or --labels-file gives some to choose among"),
        [label] => bail!("{label:?} is the only label, and a choice takes at least two"),
        _ => Ok(()),
    }
}
