//! Captions in a file: one a line, or one JSON object a line with wishes of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use pipeline::{Preset, Solver, check_caption};
use serde::Deserialize;
use serde_json::Number;

use crate::drawing::{ChoiceArgs, DecoderWishes, Pictures, PresetArgs, PriorWishes, seeds};
use crate::input::read_text;
use crate::numbers;
use crate::output::{Files, Names, check_file, check_sheet, slug};

/// How many pictures a file may ask for.
const MOST_PICTURES: usize = 100_000;

/// A caption, and what its line wishes otherwise than the command line.
pub struct Prompt {
    /// The file and the line, for messages.
    pub place: String,
    /// The caption.
    pub caption: String,
    /// How much time its pictures may take.
    pub preset: PresetArgs,
    /// Steps and guidance.
    pub prior_wishes: PriorWishes,
    /// The same of the decoder and the upsampler.
    pub decoder_wishes: DecoderWishes,
    /// Among how many small pictures one is chosen.
    pub choice: ChoiceArgs,
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
    seed: Option<Number>,
    num_images: Option<Number>,
    out: Option<String>,
    candidates: Option<Number>,
    prior_steps: Option<Number>,
    prior_candidates: Option<Number>,
    prior_guidance_scale: Option<Number>,
    prior_temperature: Option<Number>,
    prior_top_p: Option<Number>,
    decoder_steps: Option<Number>,
    upsampler_steps: Option<Number>,
    decoder_guidance_scale: Option<Number>,
    guidance_interval: Option<[f64; 2]>,
    preset: Option<Preset>,
    solver: Option<Solver>,
}

impl Prompt {
    /// Reads the captions in a file, or on standard input where it is `-`.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
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
        ensure!(
            !prompts.is_empty(),
            "--prompts: there is no caption in {name}"
        );
        Ok(prompts)
    }

    fn plain(place: &str, caption: &str) -> Self {
        Self {
            place: place.to_owned(),
            caption: caption.to_owned(),
            preset: PresetArgs::default(),
            prior_wishes: PriorWishes::default(),
            decoder_wishes: DecoderWishes::default(),
            choice: ChoiceArgs::default(),
            seed: None,
            num_images: None,
            out: None,
        }
    }

    fn from_json(place: &str, line: &str) -> Result<Self> {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            // Of the place that it tells, only the column is true: it has seen one line.
            let message = error.to_string();
            let (message, _) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
            anyhow!("column {}: {message}", error.column())
        })?;
        Ok(Self {
            seed: checked("seed", line.seed, numbers::seed)?,
            num_images: checked("num_images", line.num_images, numbers::pictures)?,
            out: line.out,
            preset: PresetArgs {
                preset: line.preset,
                solver: line.solver,
            },
            prior_wishes: PriorWishes {
                prior_steps: checked("prior_steps", line.prior_steps, numbers::steps)?,
                prior_candidates: checked(
                    "prior_candidates",
                    line.prior_candidates,
                    numbers::candidates,
                )?,
                prior_guidance_scale: checked(
                    "prior_guidance_scale",
                    line.prior_guidance_scale,
                    numbers::scale,
                )?,
                prior_temperature: checked(
                    "prior_temperature",
                    line.prior_temperature,
                    numbers::temperature,
                )?,
                prior_top_p: checked("prior_top_p", line.prior_top_p, numbers::top_p)?,
            },
            decoder_wishes: DecoderWishes {
                decoder_steps: checked("decoder_steps", line.decoder_steps, numbers::steps)?,
                upsampler_steps: checked("upsampler_steps", line.upsampler_steps, numbers::steps)?,
                decoder_guidance_scale: checked(
                    "decoder_guidance_scale",
                    line.decoder_guidance_scale,
                    numbers::scale,
                )?,
                guidance_interval: line.guidance_interval,
            },
            choice: ChoiceArgs {
                candidates: checked("candidates", line.candidates, numbers::candidates)?,
            },
            ..Self::plain(place, &line.caption)
        })
    }

    /// The seeds of its pictures: without a wish, each caption's first is 0, so that a second run draws the same.
    fn seeds(&self, pictures: &Pictures) -> Result<Vec<u64>> {
        let first = self.seed.or(pictures.seed.seed).unwrap_or(0);
        seeds(first, self.num_images.unwrap_or(pictures.num_images)).context(self.place.clone())
    }
}

fn checked<T>(
    field: &str,
    number: Option<Number>,
    check: fn(&str) -> Result<T, String>,
) -> Result<Option<T>> {
    let check = |number: Number| {
        check(&number.to_string()).map_err(|reason| anyhow!("{field} {number}: {reason}"))
    };
    number.map(check).transpose()
}

/// A picture that is going to be drawn, or was.
pub struct Planned {
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
pub fn plan(prompts: &[Prompt], pictures: &Pictures) -> Result<Vec<Planned>> {
    let names = Names::new(pictures.out.as_deref())?;
    let mut asked = 0;
    let mut named = 0;
    for prompt in prompts {
        let count = prompt.num_images.unwrap_or(pictures.num_images) as usize;
        asked += count;
        named += if prompt.out.is_none() { count } else { 0 };
    }
    ensure!(
        asked <= MOST_PICTURES,
        "--prompts: {asked} pictures are asked for, a run draws {MOST_PICTURES} at most"
    );
    let mut files = Files::new();
    let mut planned: Vec<Planned> = Vec::new();
    let mut index = 0;
    for (number, prompt) in prompts.iter().enumerate() {
        let name = slug(&prompt.caption);
        let seeds = prompt.seeds(pictures)?;
        let own = prompt.out.as_deref().map(|out| Names::new(Some(out)));
        let own = own.transpose().context(prompt.place.clone())?;
        for (own_index, &seed) in seeds.iter().enumerate() {
            let path = match &own {
                Some(names) => names.path(&name, own_index, seeds.len(), seed),
                None => names.path(&name, index + own_index, named, seed),
            };
            check_file("--out", &path, true).context(prompt.place.clone())?;
            let twin = files.add("--out", &path).context(prompt.place.clone())?;
            if let Some(twin) = twin {
                let earlier = &prompts[planned[twin].prompt].place;
                return Err(anyhow!(
                    "{}: {} is the file of {earlier} too: please give one a seed or an out of its own, or {{index}} to --out",
                    prompt.place,
                    path.display(),
                ));
            }
            planned.push(Planned {
                prompt: number,
                seed,
                there: !pictures.force && path.symlink_metadata().is_ok(),
                path,
            });
        }
        if own.is_none() {
            index += seeds.len();
        }
    }
    if let Some(grid) = &pictures.grid {
        // A run that goes on replaces the sheet of what was there before.
        let goes_on = planned.iter().any(|picture| picture.there);
        check_sheet("--grid", grid, pictures.force || goes_on)?;
        files.add_grid(grid)?;
    }
    Ok(planned)
}
