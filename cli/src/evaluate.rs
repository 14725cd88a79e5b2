//! `unclip evaluate`: how often pictures show what their captions say.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use evaluation::frechet;
use evaluation::network::HIDDEN;
use evaluation::sheets::{caption_table, nearest_scenes, nearest_sheet, save, save_png, verdicts};
use evaluation::{
    Asked, Evaluation, EvaluationSettings, Example, Judge, Manipulation, ManipulationSettings,
    Subject, evaluate, evaluate_asked, evaluate_manipulations, evaluate_presets, evaluate_priors,
    evaluate_upsampling, evaluate_zero_shot,
};
use images::{RgbImage, contact_sheet};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::manipulation::{EDIT_GUIDANCE_SCALE, STRENGTH};
use pipeline::{CodeSampling, Preset, Settings};
use training::trainer::FIRST_DECODER_IMAGE;

use crate::claims;
use crate::destinations::Files;
use crate::drawing::{ChoiceArgs, DecoderWishes, InversionArgs, PresetArgs, PriorWishes};
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::stdout::print_line;
use crate::value_parsers;

/// Pictures in a contact sheet, and its columns.
const SHEET: usize = 48;
const COLUMNS: usize = 8;

/// Pictures whose nearest training scene is looked for.
const NEAREST: usize = 24;

/// Verdicts that are listed for a person to check.
const VERDICTS: usize = 100;

/// The tables on work with pictures.
const MANIPULATIONS: [(Table, Manipulation); 4] = [
    (Table::Inversion, Manipulation::Inversion),
    (Table::Variations, Manipulation::Variations),
    (Table::Interpolation, Manipulation::Interpolation),
    (Table::Edits, Manipulation::Edits),
];

/// The tables of captions, and what these ask for.
const CAPTIONED: [(Table, Asked); 3] =
    [(Table::Captions, Asked::Seen), (Table::Styles, Asked::Styles), (Table::Pairs, Asked::Pairs)];

/// What says something of the tables alone.
const OF_TABLES: [&str; 18] = [
    "tables",
    "captions",
    "held_out_captions",
    "diversity_captions",
    "strength",
    "seed",
    "sheet",
    "nearest",
    "nearest_among",
    "verdicts",
    "model",
    "InversionArgs",
    "PriorArgs",
    "ImageEncoderArgs",
    "PresetArgs",
    "PriorWishes",
    "DecoderWishes",
    "ChoiceArgs",
];

/// What a file holds.
enum Kind {
    Sheet,
    Text,
}

/// Some of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    /// How often pictures show what their captions say
    Captions,
    /// How well pictures come back from their inversions
    Inversion,
    /// What variations of a picture keep, and what varies
    Variations,
    /// What happens on the way between pictures that differ in one label
    Interpolation,
    /// What differences of two captions change
    Edits,
    /// What less time for a picture costs
    Presets,
    /// What the autoregressive prior's codes take, and how it does beside the diffusion prior
    Prior,
    /// Which labels CLIP tells apart, and which pictures captions find
    ZeroShot,
    /// How often pictures have the style that their captions ask for
    Styles,
    /// How often two things are drawn, each in its colour, and stand as their captions say
    Pairs,
    /// What the upsampler gives back, and how sharp pictures are
    Upsampling,
    /// All of them
    All,
}

/// What `unclip evaluate` is told.
#[derive(Args)]
pub struct Evaluate {
    /// What is measured; --help tells more
    #[arg(value_enum, value_name = "TABLE", default_value = "captions")]
    tables: Vec<Table>,
    /// Test what the papers claim instead, with two models in a folder, which keeps the pictures and plots [default:
    /// runs/claims]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "runs/claims", conflicts_with_all = OF_TABLES)]
    claims: Option<PathBuf>,
    /// Captions of each table that draws from captions: those of one thing in a colour that training showed, of styles, of
    /// pairs and of presets; `all` leaves presets out below 257
    #[arg(long, value_name = "N", default_value = "500", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    captions: u64,
    /// Captions with one thing in a colour that training never showed it in
    #[arg(long, value_name = "N", default_value = "200", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    held_out_captions: u64,
    /// Captions that are each drawn 20 times to see what varies; 0 leaves diversity out
    #[arg(long, value_name = "N", default_value = "50", allow_negative_numbers = true)]
    diversity_captions: usize,
    /// Scenes for each of the other tables; its own number by default (50 to 1000)
    #[arg(long, value_name = "N", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    scenes: Option<u64>,
    /// How far edits turn an embedding
    #[arg(long, value_name = "X", default_value_t = STRENGTH, value_parser = value_parsers::strength, allow_hyphen_values = true)]
    strength: f64,
    #[command(flatten)]
    inversion: InversionArgs,
    /// Pictures drawn at once
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    batch: usize,
    /// The first picture's seed
    #[arg(long, value_name = "S", default_value = "0", value_parser = value_parsers::seed, allow_negative_numbers = true)]
    seed: u64,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the first pictures of captions, styles or pairs, the first of them that was asked for, as one PNG, and their
    /// captions as a table beside it
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Write 24 of these pictures beside the nearest training picture of each as one PNG
    #[arg(long, value_name = "FILE")]
    nearest: Option<PathBuf>,
    /// How many of the pictures that the decoder learned from are searched for the nearest
    #[arg(long, value_name = "N", default_value = "1689600", value_parser = value_parsers::scenes, allow_negative_numbers = true)]
    nearest_among: u64,
    /// Write the judge's verdicts on the first 100 of them as a table, and the pictures beside it
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Overwrite files that are there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
    #[command(flatten)]
    choice: ChoiceArgs,
}

impl Evaluate {
    /// Draws, judges, and prints the tables on standard output.
    pub fn run(&self) -> Result<()> {
        ensure!(self.batch > 0, "--batch 0: at least one picture must be drawn at once");
        let mut files = Files::new(&[]);
        for (flag, kind, path) in self.outputs() {
            ensure!(
                flag == "--json"
                    || self.claims.is_none()
                        && CAPTIONED.iter().any(|(table, _)| self.wants(*table)),
                "{flag} shows pictures of the table `captions`, `styles` or `pairs`, and none of them was asked for"
            );
            match kind {
                Kind::Sheet => files.add_sheet(flag, &path, self.force)?,
                Kind::Text => files.add_other(flag, &path, self.force)?,
            }
        }
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{msg:>40} {bar:24} {pos}/{len}, {eta} to go",
        )?);
        let progress = &mut |what: &str, done, of| {
            if bar.message() != what {
                bar.reset();
                bar.set_message(what.to_owned());
            }
            bar.set_length(of);
            bar.set_position(done);
        };
        let print = |text: String| bar.suspend(|| print_line!("{text}"));
        let mut found = serde_json::Map::new();
        if let Some(folder) = &self.claims {
            let report = claims::run(folder, &self.model, self.scenes, self.batch, progress)?;
            print(report.to_markdown())?;
            found.insert("claims".to_owned(), serde_json::to_value(report)?);
            bar.finish_and_clear();
            return self.write_json(&found);
        }
        let pipeline = self.model.open(Some(&self.prior), Some(&self.image_encoder))?;
        // What needs no decoder can be measured of CLIP alone.
        let calls = match MANIPULATIONS.iter().any(|(table, _)| self.wants(*table)) {
            true => self.inversion.calls(&pipeline)?,
            false => 0,
        };
        let makers = pipeline.defaults()?;
        let wished = |settings: Settings| {
            let settings = self.prior_wishes.over(settings)?;
            anyhow::Ok(self.choice.over(self.decoder_wishes.over(settings)))
        };
        let preset = self.preset.over(makers, &makers);
        let drawing = wished(preset)?;
        let origins = self.model.origins(makers, preset, drawing)?;
        let explain = |error| match error {
            evaluation::Error::Pipeline(error) => origins.explain()(error),
            error => error.into(),
        };
        let judge = Judge::shipped(Subject::Scene)?;
        let settings = EvaluationSettings {
            captions: self.captions,
            held_out_captions: self.held_out_captions,
            diversity_captions: self.diversity_captions,
            batch: self.batch,
            seed: self.seed,
            ..EvaluationSettings::standard(drawing)
        };
        let wanted = CAPTIONED.iter().filter(|(table, _)| self.wants(*table));
        for (n, &(table, asked)) in wanted.enumerate() {
            let other;
            let judge = match asked.subject() {
                Subject::Scene => &judge,
                subject => {
                    other = Judge::shipped(subject)?;
                    &other
                }
            };
            let (name, evaluation) = match table {
                Table::Captions => {
                    ("captions", evaluate(&pipeline, judge, &settings, progress).map_err(explain)?)
                }
                _ => (
                    asked.name(),
                    evaluate_asked(&pipeline, judge, asked, &settings, progress)
                        .map_err(explain)?,
                ),
            };
            let Evaluation { report, drawn } = evaluation;
            print(report.to_markdown())?;
            found.insert(name.to_owned(), serde_json::to_value(report)?);
            self.write_json(&found)?;
            if n == 0 {
                self.show(&drawn, judge)?;
            }
        }
        if self.wants(Table::Upsampling) {
            let report = evaluate_upsampling(&pipeline, &settings, self.scenes, progress)
                .map_err(explain)?;
            print(report.to_markdown())?;
            found.insert("upsampling".to_owned(), serde_json::to_value(report)?);
            self.write_json(&found)?;
        }
        // A distance takes more pictures than the other tables do: with fewer, `all` leaves the table out.
        let enough = frechet::check(self.captions as i64, HIDDEN).is_ok();
        if self.tables.contains(&Table::Presets) || self.wants(Table::Presets) && enough {
            let mut presets = Vec::new();
            for preset in Preset::ALL {
                let args = PresetArgs { preset: Some(preset), ..self.preset };
                presets.push((preset.name(), wished(args.over(makers, &makers))?));
            }
            let report = evaluate_presets(&pipeline, &judge, &settings, &presets, progress)
                .map_err(explain)?;
            print(report.to_markdown())?;
            found.insert("presets".to_owned(), serde_json::to_value(report)?);
            self.write_json(&found)?;
        }
        // Few models have both priors: of a model without the one, `all` leaves the table out.
        let by_codes = Settings { prior_codes: Some(CodeSampling::plain()), ..drawing };
        if self.tables.contains(&Table::Prior)
            || self.wants(Table::Prior) && pipeline.has_prior(&by_codes)
        {
            let report = evaluate_priors(&pipeline, &judge, &settings, self.scenes, progress)
                .map_err(explain)?;
            print(report.to_markdown())?;
            found.insert("prior".to_owned(), serde_json::to_value(report)?);
            self.write_json(&found)?;
        }
        let settings = ManipulationSettings {
            at_most: self.scenes,
            batch: self.batch,
            seed: self.seed,
            calls,
            strength: self.strength,
            edit_guidance_scale: EDIT_GUIDANCE_SCALE,
            drawing,
        };
        for (table, what) in MANIPULATIONS {
            if self.wants(table) {
                let report = evaluate_manipulations(&pipeline, &judge, what, &settings, progress)
                    .map_err(explain)?;
                print(report.to_markdown())?;
                found.insert(what.name().to_owned(), serde_json::to_value(report)?);
                self.write_json(&found)?;
            }
        }
        if self.wants(Table::ZeroShot) {
            let report = evaluate_zero_shot(&pipeline, self.scenes, self.batch, progress)
                .map_err(explain)?;
            print(report.to_markdown())?;
            found.insert("zero-shot".to_owned(), serde_json::to_value(report)?);
            self.write_json(&found)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Writes what was found so far, which took long enough.
    fn write_json(&self, found: &serde_json::Map<String, serde_json::Value>) -> Result<()> {
        match &self.json {
            Some(path) => Ok(save(path, serde_json::to_string_pretty(found)?.as_bytes())?),
            None => Ok(()),
        }
    }

    /// Whether a table was asked for.
    fn wants(&self, table: Table) -> bool {
        self.tables.iter().any(|&t| t == table || t == Table::All)
    }

    /// The files that will be written, with the flags that ask for them.
    fn outputs(&self) -> Vec<(&'static str, Kind, PathBuf)> {
        let sheet = self.sheet.as_deref().map(|path| beside(path, "md"));
        let pictures = self.verdicts.as_deref().map(|path| beside(path, "png"));
        let outputs = [
            ("--json", Kind::Text, self.json.clone()),
            ("--sheet", Kind::Sheet, self.sheet.clone()),
            ("--sheet", Kind::Text, sheet),
            ("--nearest", Kind::Sheet, self.nearest.clone()),
            ("--verdicts", Kind::Text, self.verdicts.clone()),
            ("--verdicts", Kind::Sheet, pictures),
        ];
        let given = |(flag, kind, path): (_, _, Option<PathBuf>)| Some((flag, kind, path?));
        outputs.into_iter().filter_map(given).collect()
    }

    /// Writes the sheets that were asked for, of the first table of captions.
    fn show(&self, drawn: &[(Example, RgbImage)], judge: &Judge) -> Result<()> {
        let pictures = |count: usize| -> Vec<RgbImage> {
            drawn.iter().take(count).map(|(_, p)| p.clone()).collect()
        };
        if let Some(path) = &self.sheet {
            let captions: Vec<&str> =
                drawn.iter().take(SHEET).map(|(e, _)| e.caption.text.as_str()).collect();
            save_png(&contact_sheet(&pictures(SHEET), COLUMNS as u32), path)?;
            save(&beside(path, "md"), caption_table(&captions, COLUMNS).as_bytes())?;
        }
        if let Some(path) = &self.nearest {
            let pictures = pictures(NEAREST);
            let nearest = nearest_scenes(
                &pictures,
                FIRST_DECODER_IMAGE..FIRST_DECODER_IMAGE + self.nearest_among,
            );
            save_png(&nearest_sheet(&pictures, &nearest), path)?;
        }
        if let Some(path) = &self.verdicts {
            let looked_at: Vec<_> =
                drawn.iter().take(VERDICTS).map(|(e, p)| (Some(e), p.clone())).collect();
            save(path, verdicts(judge, &looked_at).as_bytes())?;
            save_png(&contact_sheet(&pictures(VERDICTS), 10), &beside(path, "png"))?;
        }
        Ok(())
    }
}

/// The file of the same name with another ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}
