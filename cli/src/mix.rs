//! `unclip mix`: pictures of several pictures and captions at once.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use images::RgbImage;
use pipeline::mix::check_weights;
use pipeline::{MixCondition, Pipeline, Record, Settings, SettingsOverrides, Task};
use serde_json::{Map, Value};

use crate::drawing::ImageArgs;
use crate::generate::{check_negative, warn, with_negative};
use crate::input::{Input, check_named_once, encode_image, open_image, stem};
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::names::slug;
use crate::origins::in_flag;
use crate::path_json::insert_path;
use crate::settings_args::{
    CandidatesArgs, DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, SizeArgs, warn_of,
};
use crate::value_parsers;

pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip mix \"a red boat at night\" photo.png
  unclip mix \"a cat\" photo.png other.png --weights 0.3,0.3,0.4 -n 4 --grid mixed.png

Weights are taken as they are: 0.6,0.4 keeps the length of an embedding, 1,1 doubles it.";

/// Arguments of `unclip mix`.
#[derive(Args)]
#[command(mut_arg("model", |model| model.help(
    "A folder or OWNER/NAME, of a model that draws from embeddings [default: builtin:unclip]"
)))]
pub(crate) struct Mix {
    /// Pictures' files, - for standard input, and captions: two or more
    #[arg(required = true)]
    inputs: Vec<OsString>,
    /// The weight of each, in their order [default: equal shares]
    #[arg(long, value_name = "W,W,..", value_delimiter = ',', value_parser = value_parsers::weight, allow_hyphen_values = true)]
    weights: Vec<f64>,
    /// Draw away from this caption, in models whose prior reads one
    #[arg(long, value_name = "CAPTION")]
    negative: Option<String>,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_settings: PriorSettingsArgs,
    #[command(flatten)]
    decoder: DecoderSettingsArgs,
    #[command(flatten)]
    candidates: CandidatesArgs,
    #[command(flatten)]
    size: SizeArgs,
}

impl Mix {
    /// Draws the pictures. Everything that can be refused is refused before the first of them.
    pub(crate) fn run(&self) -> Result<()> {
        check_named_once(&self.inputs)?;
        let inputs = self.inputs.iter().map(|input| Input::new(input));
        let inputs: Vec<Input> = inputs.collect::<Result<_>>()?;
        let weights = self.weights(inputs.len())?;
        let images = inputs.iter().map(|input| input.file().map(open_image).transpose());
        let images: Vec<Option<RgbImage>> = images.collect::<Result<_>>()?;
        let files: Vec<&Path> = inputs.iter().filter_map(Input::file).collect();
        let plan = self.images.plan(&name(&inputs[0]), &files)?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let settings = self.settings(&pipeline, inputs.len() > files.len(), !files.is_empty())?;
        let negative = self.negative.as_deref();
        check_negative(&pipeline, "", negative, Task::GENERATE)?;
        if settings.base().and_then(|base| settings.stage_guidance(base)).is_none() {
            warn_of(
                negative.map(|_| "--negative").as_slice(),
                "the decoder's scale of 1 draws away from nothing",
            );
        }
        if files.len() == inputs.len() && negative.is_none() {
            self.prior_settings.warn("no caption is mixed");
        }
        negative.iter().try_for_each(|negative| warn(&pipeline, "--negative: ", negative))?;
        let mut conditions = Vec::with_capacity(inputs.len());
        for ((input, image), &weight) in inputs.iter().zip(images).zip(&weights) {
            let condition = match (input, image) {
                (Input::File(path), Some(image)) => {
                    MixCondition::Image(encode_image(&pipeline, path, image)?)
                }
                (Input::File(_), None) => unreachable!("every file was read"),
                (Input::Caption(caption), _) => {
                    warn(&pipeline, "", caption)?;
                    MixCondition::Caption(caption.clone())
                }
            };
            conditions.push((condition, weight));
        }
        let record = self.record(&inputs, &weights, &settings)?;
        plan.draw(&record, |seeds, observer| {
            Ok(pipeline.mix(&conditions, negative, seeds, &settings, observer)?)
        })
    }

    /// The weight of each of `count` inputs.
    fn weights(&self, count: usize) -> Result<Vec<f64>> {
        let weights = match &self.weights[..] {
            [] => vec![1.0 / count as f64; count],
            given => given.to_vec(),
        };
        check_weights(&vec![1.0; count])?;
        let given = weights.len();
        ensure!(
            given == count,
            "--weights: {given} {} given, and {count} pictures and captions are mixed: each has one, in their order",
            if given == 1 { "weight is" } else { "weights are" }
        );
        check_weights(&weights).map_err(in_flag)?;
        Ok(weights)
    }

    /// The model's settings, changed by the flags. Prepares the pipeline.
    fn settings(&self, pipeline: &Pipeline, captions: bool, images: bool) -> Result<Settings> {
        let captions = captions || self.negative.is_some();
        let task = pipeline.mix_task(captions, images)?;
        let flags = self.decoder.add_to(self.prior_settings.add_to(SettingsOverrides::default()));
        let flags = self.size.add_to(self.candidates.add_to(flags));
        self.model.prepare(pipeline, task, &self.preset, &flags, |settings| match captions {
            true => settings,
            false => settings.without_prior(),
        })
    }

    /// The record of the pictures, but their seeds.
    fn record(&self, inputs: &[Input], weights: &[f64], settings: &Settings) -> Result<Record> {
        let conditions = inputs.iter().zip(weights).map(|(input, &weight)| {
            let mut condition = Map::new();
            match input {
                Input::File(path) => {
                    insert_path(&mut condition, "image", path.file_name().unwrap_or_default());
                }
                Input::Caption(caption) => {
                    condition.insert("caption".to_owned(), caption.as_str().into());
                }
            }
            condition.insert("weight".to_owned(), weight.into());
            Value::Object(condition)
        });
        let conditions: Vec<Value> = conditions.collect();
        let record = self.model.record("mix", None, settings)?.with("conditions", conditions);
        let mut record = self.model.with_encoders(record, &self.encoders)?;
        let prior = self.model.prior_fingerprint(&self.prior)?;
        record.prior = prior.filter(|prior| *prior != record.model);
        Ok(with_negative(record, self.negative.as_deref()))
    }
}

/// The beginning of the names of files, by the first input.
fn name(first: &Input) -> String {
    let name = match first {
        Input::File(path) => stem(path),
        Input::Caption(caption) => slug(caption),
    };
    format!("{name}-mix")
}
