//! Captions in a file: one a line, or one JSON object a line with wishes of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use files::json;
use files::text::excerpt;
use pipeline::{Preset, SettingsOverrides, Solver, TimestepRespacing, check_caption};
use serde::Deserialize;
use serde_json::Number;

use crate::destinations::Files;
use crate::drawing::{ImageArgs, seeds};
use crate::input::read_text;
use crate::names::{ListNames, Names};
use crate::settings_args::{
    CandidatesArgs, ClipGuidanceArgs, DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, SizeArgs,
};
use crate::value_parsers;

/// How many pictures a file may ask for.
const MOST_IMAGES: usize = 100_000;

/// A caption, and what its line wishes otherwise than the command line.
pub(crate) struct Prompt {
    /// The file and the line, for messages.
    pub place: String,
    /// The caption.
    pub caption: String,
    /// The caption of what its images should not show, where it differs from the command line's.
    pub negative: Option<String>,
    /// The preset and the solver of its images.
    pub preset: PresetArgs,
    /// Their other settings, where they differ from the command line's.
    pub overrides: SettingsOverrides,
    seed: Option<u64>,
    num_images: Option<u64>,
    out: Option<String>,
}

/// A line of a JSONL file. Numbers are checked as those of the command line are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Line {
    #[serde(alias = "prompt")]
    caption: String,
    negative: Option<String>,
    seed: Option<Number>,
    num_images: Option<Number>,
    out: Option<String>,
    candidates: Option<Number>,
    prior_steps: Option<Number>,
    prior_candidates: Option<Number>,
    prior_guidance_scale: Option<Number>,
    prior_temperature: Option<Number>,
    prior_top_p: Option<Number>,
    decoder_steps: Option<NumberOrText>,
    upsampler_steps: Option<NumberOrText>,
    decoder_guidance_scale: Option<Number>,
    upsampler_temperature: Option<Number>,
    clip_guidance_scale: Option<Number>,
    guidance_interval: Option<[f64; 2]>,
    thresholding: Option<Number>,
    width: Option<Number>,
    height: Option<Number>,
    preset: Option<Preset>,
    solver: Option<Solver>,
}

/// A number, or a text that stands for some.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or a text")]
enum NumberOrText {
    Number(Number),
    Text(String),
}

fn respacing(field: &str, value: Option<&NumberOrText>) -> Result<Option<TimestepRespacing>> {
    let check = |value: &NumberOrText| {
        let text = match value {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text.clone(),
        };
        let respacing = value_parsers::respacing(&text);
        respacing.map_err(|reason| anyhow!("{field} {}: {reason}", excerpt(&text)))
    };
    value.map(check).transpose()
}

impl Line {
    /// The settings of the line, checked as the flags are.
    fn overrides(&self) -> Result<SettingsOverrides> {
        let steps =
            |field, number: &Option<Number>| parse(field, number.clone(), value_parsers::steps);
        let count = |field, number: &Option<Number>| {
            parse(field, number.clone(), value_parsers::candidates)
        };
        let scale =
            |field, number: &Option<Number>| parse(field, number.clone(), value_parsers::scale);
        let prior = PriorSettingsArgs {
            prior_steps: steps("prior_steps", &self.prior_steps)?,
            prior_candidates: count("prior_candidates", &self.prior_candidates)?,
            prior_guidance_scale: scale("prior_guidance_scale", &self.prior_guidance_scale)?,
            prior_temperature: parse(
                "prior_temperature",
                self.prior_temperature.clone(),
                value_parsers::temperature,
            )?,
            prior_top_p: parse("prior_top_p", self.prior_top_p.clone(), value_parsers::top_p)?,
        };
        let decoder = DecoderSettingsArgs {
            decoder_steps: respacing("decoder_steps", self.decoder_steps.as_ref())?,
            upsampler_steps: respacing("upsampler_steps", self.upsampler_steps.as_ref())?,
            upsampler_temperature: parse(
                "upsampler_temperature",
                self.upsampler_temperature.clone(),
                value_parsers::temperature,
            )?,
            decoder_guidance_scale: scale("decoder_guidance_scale", &self.decoder_guidance_scale)?,
            guidance_interval: self.guidance_interval,
            thresholding: parse(
                "thresholding",
                self.thresholding.clone(),
                value_parsers::quantile,
            )?,
        };
        let candidates = CandidatesArgs { candidates: count("candidates", &self.candidates)? };
        let clip_guidance = ClipGuidanceArgs {
            clip_guidance_scale: scale("clip_guidance_scale", &self.clip_guidance_scale)?,
        };
        let side =
            |field, number: &Option<Number>| parse(field, number.clone(), value_parsers::side);
        let size =
            SizeArgs { width: side("width", &self.width)?, height: side("height", &self.height)? };
        let overrides = clip_guidance.add_to(prior.add_to(SettingsOverrides::default()));
        Ok(size.add_to(candidates.add_to(decoder.add_to(overrides))))
    }
}

impl Prompt {
    /// Reads the captions in a file, or on standard input where it is `-`.
    pub(crate) fn read(file: &Path) -> Result<Vec<Self>> {
        let (name, text) = read_text("--prompts", file)?;
        ensure!(
            !text.trim_start().starts_with('[') && file.extension().is_none_or(|e| e != "json"),
            "--prompts {name}: JSON is read one object a line, in a .jsonl file"
        );
        let jsonl = file.extension().is_some_and(|ending| ending == "jsonl")
            || text.trim_start().starts_with('{');
        let prompts: Vec<Self> = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| {
                let place = format!("{name}, line {number}");
                let prompt = match jsonl {
                    true => Self::from_json(&place, line),
                    false => Ok(Self::plain(&place, line.trim())),
                };
                prompt
                    .and_then(|prompt| {
                        check_caption(&prompt.caption)?;
                        Ok(prompt)
                    })
                    .context(place)
            })
            .collect::<Result<_>>()?;
        ensure!(!prompts.is_empty(), "--prompts: there is no caption in {name}");
        Ok(prompts)
    }

    fn plain(place: &str, caption: &str) -> Self {
        Self {
            place: place.to_owned(),
            caption: caption.to_owned(),
            negative: None,
            preset: PresetArgs::default(),
            overrides: SettingsOverrides::default(),
            seed: None,
            num_images: None,
            out: None,
        }
    }

    fn from_json(place: &str, line: &str) -> Result<Self> {
        let line: Line =
            json::parse(line.as_bytes(), json::CONFIGURATION).map_err(|mut error| {
                // The column alone is true: the parser reads one line.
                error.line = 0;
                anyhow!("column {}: {error}", error.column)
            })?;
        Ok(Self {
            overrides: line.overrides()?,
            seed: parse("seed", line.seed, value_parsers::seed)?,
            num_images: parse("num_images", line.num_images, value_parsers::images)?,
            out: line.out,
            negative: line.negative,
            preset: PresetArgs { preset: line.preset, solver: line.solver },
            ..Self::plain(place, &line.caption)
        })
    }

    /// The seeds of its pictures: without a wish, each caption's first is 0, so that a second run draws the same.
    fn seeds(&self, images: &ImageArgs) -> Result<Vec<u64>> {
        let count = self.num_images.unwrap_or(images.num_images);
        match self.seed {
            Some(first) => seeds("seed", first, count).context(self.place.clone()),
            None => seeds("--seed", images.seed.seed.unwrap_or(0), count),
        }
    }
}

fn parse<T>(
    field: &str,
    number: Option<Number>,
    check: fn(&str) -> Result<T, String>,
) -> Result<Option<T>> {
    let check = |number: Number| {
        check(&number.to_string()).map_err(|reason| anyhow!("{field} {number}: {reason}"))
    };
    number.map(check).transpose()
}

/// An image that is going to be sampled, or was.
pub(crate) struct PlannedImage {
    /// The number of its prompt.
    pub prompt: usize,
    /// Its seed.
    pub seed: u64,
    /// Its file.
    pub path: PathBuf,
    /// Whether the file is there already and stays as it is.
    pub there: bool,
}

/// The pictures of all prompts, with files of their own. `{index}` counts those that a pattern names: the command
/// line's over all lines, a line's own over its pictures.
pub(crate) fn plan(
    prompts: &[Prompt],
    images: &ImageArgs,
    file: &Path,
) -> Result<Vec<PlannedImage>> {
    let names = Names::new(images.out.as_deref())?;
    let mut total = 0;
    let mut named = 0;
    for prompt in prompts {
        let count = prompt.num_images.unwrap_or(images.num_images) as usize;
        total += count;
        named += if prompt.out.is_none() { count } else { 0 };
    }
    ensure!(
        total <= MOST_IMAGES,
        "--prompts: {total} pictures are asked for, a run draws {MOST_IMAGES} at most"
    );
    let mut planner = Planner {
        prompts,
        images,
        files: Files::new(&[file]),
        list: ListNames::default(),
        planned: Vec::new(),
    };
    if let Some(folder) = names.folder() {
        planner.files.add_folder("--out", folder)?;
    }
    let mut index = 0;
    for (number, prompt) in prompts.iter().enumerate() {
        let place = || prompt.place.clone();
        let seeds = prompt.seeds(images)?;
        let own = prompt.out.as_deref().map(OsStr::new);
        let own = own.map(|out| Names::new(Some(out))).transpose();
        match own.with_context(place)? {
            Some(own) => {
                if let Some(folder) = own.folder() {
                    planner.files.add_folder("--out", folder).with_context(place)?;
                }
                planner.add(number, &seeds, &own, 0, seeds.len())?;
            }
            None => {
                planner.add(number, &seeds, &names, index, named)?;
                index += seeds.len();
            }
        }
    }
    if let Some(grid) = &images.grid {
        // A run that goes on replaces the sheet of what was there before.
        let goes_on = planner.planned.iter().any(|image| image.there);
        planner.files.add_sheet("--grid", grid, images.force || goes_on)?;
    }
    Ok(planner.planned)
}

/// The images that are planned so far.
struct Planner<'a> {
    prompts: &'a [Prompt],
    images: &'a ImageArgs,
    files: Files,
    list: ListNames,
    planned: Vec<PlannedImage>,
}

impl Planner<'_> {
    /// Adds the pictures of a prompt from these seeds: those from `first` on of the `count` that `names` has names for.
    fn add(
        &mut self,
        number: usize,
        seeds: &[u64],
        names: &Names,
        first: usize,
        count: usize,
    ) -> Result<()> {
        let Prompt { place, caption, .. } = &self.prompts[number];
        let paths = |name: &str| -> Vec<PathBuf> {
            let seeds = seeds.iter().enumerate();
            seeds.map(|(i, &seed)| names.path(name, first + i, count, seed)).collect()
        };
        let name = match names.by_content() {
            true => self.list.next(caption, seeds[0], |name| {
                !paths(name).iter().any(|path| self.files.has(path))
            }),
            false => String::new(),
        };
        for (path, &seed) in paths(&name).into_iter().zip(seeds) {
            let twin = self.files.add("--out", &path, true).with_context(|| place.clone())?;
            if let Some(twin) = twin {
                let earlier = &self.prompts[self.planned[twin].prompt].place;
                return Err(anyhow!(
                    "{place}: {} is the file of {earlier} too: please give one a seed or an out of its own, or {{index}} to --out",
                    path.display(),
                ));
            }
            self.planned.push(PlannedImage {
                prompt: number,
                seed,
                there: !self.images.force && path.exists(),
                path,
            });
        }
        Ok(())
    }
}
