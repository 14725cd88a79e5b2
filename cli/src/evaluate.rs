//! `unclip evaluate`: tables of a model's accuracy, diversity, manipulations and speed.

mod captions;
mod everyday;
mod outputs;

use std::path::PathBuf;

use ::judge::network::HIDDEN;
use ::judge::{Judge, Subject};
use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use evaluation::{
    EvaluationSettings, Evaluator, InpaintingEvaluation, evaluate_edits, evaluate_inpainting,
    evaluate_interpolations, evaluate_inversions, evaluate_presets, evaluate_priors,
    evaluate_upsampling, evaluate_variations, evaluate_zero_shot, frechet,
};
use files::digest::sha256;
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::text_diff::STRENGTH;
use pipeline::{CodeSampling, Pipeline, Preset, Settings, SettingsOverrides, Solver};

use crate::claims::Claims;
use crate::destinations::{Files, check_room};
use crate::drawing::InversionArgs;
use crate::launch::launch;
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::origins::in_flag;
use crate::settings_args::{
    CandidatesArgs, DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, ResampleArgs,
};
use crate::value_parsers;
use captions::CAPTIONED;
use outputs::{Tables, beside};

/// The other tables, in their order.
const OTHERS: [Table; 10] = [
    Table::Inpainting,
    Table::Upsampling,
    Table::Presets,
    Table::Prior,
    Table::Inversion,
    Table::Variations,
    Table::Interpolation,
    Table::Edits,
    Table::ZeroShot,
    Table::Everyday,
];

/// The steps of a prior by Analytic-DPM in the table of presets: the paper's (2204.06125, table 3), and few.
const ANALYTIC_STEPS: [usize; 2] = [64, 8];

/// Arguments of the tables alone.
const OF_TABLES: [&str; 21] = [
    "tables",
    "captions",
    "held_out_captions",
    "diversity_captions",
    "strength",
    "seed",
    "samples",
    "sheet",
    "nearest",
    "nearest_among",
    "verdicts",
    "judged",
    "model",
    "InversionArgs",
    "PriorArgs",
    "EncoderArgs",
    "PresetArgs",
    "PriorSettingsArgs",
    "DecoderSettingsArgs",
    "CandidatesArgs",
    "ResampleArgs",
];

/// The contents of a file.
enum OutputKind {
    Sheet,
    Text,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    /// How often pictures show what their captions say
    Captions,
    /// How well pictures come back from their inversions
    Inversion,
    /// Labels that variations of a picture keep, and what varies
    Variations,
    /// Labels on the way between pictures that differ in one
    Interpolation,
    /// Labels that differences of two captions change
    Edits,
    /// Quality that less time for a picture costs
    Presets,
    /// Bits of the autoregressive prior's codes, and how it does beside the diffusion prior
    Prior,
    /// Which labels CLIP tells apart, and which pictures captions find
    ZeroShot,
    /// How often pictures have the style that their captions ask for
    Styles,
    /// How often two things are drawn, each in its colour, and stand as their captions say
    Pairs,
    /// How often pictures show what captions of one everyday thing or a place say; one of `all` for models that learned these
    World,
    /// The same of two everyday things, each in its colour
    WorldPairs,
    /// Whether what captions ask for is painted where a thing was, and whether the mask's border shows
    Inpainting,
    /// How much the upsampler gives back, and how sharp pictures are
    Upsampling,
    /// Pictures of 200 captions as people type them, which a person judges in the file of --judged; not one of `all`
    Everyday,
    /// All of them but everyday
    All,
}

/// Arguments of `unclip evaluate`.
#[derive(Args)]
pub(crate) struct Evaluate {
    /// Tables to measure; --help tells more
    #[arg(value_enum, value_name = "TABLE", default_value = "captions")]
    tables: Vec<Table>,
    /// Test what the papers claim instead, with two models in a folder, which keeps the pictures and plots, and with GLIDE,
    /// in that folder or built in [default: runs/claims]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "runs/claims", conflicts_with_all = OF_TABLES)]
    claims: Option<PathBuf>,
    /// Captions of each table that draws from captions: those of one thing in a colour that training showed, of styles, of
    /// pairs, of everyday things and of presets; `all` leaves presets out below 257
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
    /// Keep the pictures that tables of captions, inpainting and everyday draw in a folder: the same command goes on from there
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the first pictures of a table of captions or of inpainting, the first of them that was asked for, or all of
    /// everyday, as one PNG, and their captions as a table beside it
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
    /// A person's verdicts on the pictures of everyday; where there is no such file yet, one to fill in is written
    #[arg(long, value_name = "FILE")]
    judged: Option<PathBuf>,
    /// Overwrite files that are there already
    #[arg(long)]
    force: bool,
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
    resample: ResampleArgs,
}

impl Evaluate {
    /// Samples, judges, and prints the tables on standard output.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(self.batch > 0, "--batch 0: at least one picture must be drawn at once");
        let part = launch()?.map_or((0, 1), |launch| (launch.rank, launch.world));
        if part.0 == 0 {
            self.check_outputs()?;
        }
        self.check_part(part)?;
        ensure!(
            self.judged.is_none() || self.tables.contains(&Table::Everyday),
            "--judged has verdicts on the pictures of the table `everyday`, which was not asked for"
        );
        ensure!(
            self.samples.is_none() || self.keeps_samples(),
            "--samples keeps pictures of the tables `captions`, `styles`, `pairs`, `world`, `world-pairs`, `inpainting` or `everyday`, and none of them was asked for"
        );
        if self.tables.iter().any(|table| matches!(table, Table::World | Table::WorldPairs)) {
            Judge::shipped(Subject::World)?;
        }
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{msg:>40} {bar:24} {pos}/{len}, {eta} to go",
        )?);
        let progress = |what: &str, done, of| {
            if bar.message() != what {
                bar.reset();
                bar.set_message(what.to_owned());
            }
            bar.set_length(of);
            bar.set_position(done);
        };
        let json = self.json.as_deref();
        let is_first = part.0 == 0;
        let mut tables =
            Tables { bar: &bar, json, origins: None, reports: <_>::default(), is_first };
        match &self.claims {
            Some(folder) => {
                let (model, at_most, batch) = (&self.model, self.scenes, self.batch);
                let claims = Claims { folder, model, at_most, batch, progress: &progress };
                if let Some(report) = claims.test_systems()? {
                    tables.add("claims", Ok(report))?;
                }
                if let Some(report) = claims.test_guidance()? {
                    tables.add("guidance", Ok(report))?;
                }
            }
            None => self.fill(&mut tables, part, &progress)?,
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Refuses what several processes do not share.
    fn check_part(&self, (_, processes): (usize, usize)) -> Result<()> {
        if processes == 1 {
            return Ok(());
        }
        ensure!(
            self.claims.is_none(),
            "--claims is measured by one process, and a launcher started {processes}"
        );
        ensure!(
            self.samples.is_some(),
            "a launcher started {processes} processes: they share pictures by --samples DIR, a folder that all of them see"
        );
        Ok(())
    }

    /// Whether a table is asked for whose pictures a folder keeps.
    fn keeps_samples(&self) -> bool {
        self.wants_captions()
            || self.wants(Table::Inpainting)
            || self.tables.contains(&Table::Everyday)
    }

    /// Refuses files that cannot be written, and files of tables that are not asked for.
    fn check_outputs(&self) -> Result<()> {
        let mut files = Files::new(&[]);
        for (flag, kind, path) in self.outputs() {
            let is_of_captions = self.wants_captions();
            let is_of_edits = flag == "--sheet"
                && (self.wants(Table::Inpainting) || self.tables.contains(&Table::Everyday));
            let tables = match flag {
                "--sheet" => {
                    "`captions`, `styles`, `pairs`, `world`, `world-pairs`, `inpainting` or `everyday`"
                }
                _ => "`captions`, `styles`, `pairs`, `world` or `world-pairs`",
            };
            ensure!(
                flag == "--json" || self.claims.is_none() && (is_of_captions || is_of_edits),
                "{flag} shows pictures of the table {tables}, and none of them was asked for"
            );
            match kind {
                OutputKind::Sheet => files.add_sheet(flag, &path, self.force)?,
                OutputKind::Text => files.add_other(flag, &path, self.force)?,
            }
        }
        Ok(())
    }

    /// Fills the tables.
    fn fill(
        &self,
        tables: &mut Tables,
        part: (usize, usize),
        progress: &dyn Fn(&str, u64, u64),
    ) -> Result<()> {
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        // Tables that need no decoder can be filled by CLIP alone.
        let inverts = [Table::Inversion, Table::Variations, Table::Interpolation, Table::Edits];
        let calls = match inverts.iter().any(|table| self.wants(*table)) {
            true => self.inversion.calls(&pipeline)?,
            false => 0,
        };
        let defaults = pipeline.defaults()?;
        let preset = self.preset.apply(defaults.clone(), &defaults, &pipeline)?;
        let drawing = self.overrides().apply(preset.clone()).map_err(in_flag)?;
        let origins = self.model.origins(&defaults)?.then("--preset", &preset);
        tables.origins = Some(origins.then_flags(&drawing));
        let settings = &EvaluationSettings {
            at_most: self.scenes,
            batch: self.batch,
            seed: self.seed,
            samples: self.sample_folder(&drawing)?,
            drawing,
            part,
        };
        let judge = &Judge::shipped(Subject::Scene)?;
        let evaluator = &Evaluator { pipeline: &pipeline, judge, settings, progress };
        self.fill_captions(tables, evaluator)?;
        let fills = |table: &Table| {
            // Of the others only inpainting's pictures are shared.
            let is_own = tables.is_first || *table == Table::Inpainting;
            is_own && self.fills(*table, &pipeline, &settings.drawing)
        };
        for table in OTHERS.into_iter().filter(fills).collect::<Vec<_>>() {
            match table {
                Table::Inpainting => self.fill_inpainting(tables, evaluator),
                Table::Upsampling => tables.add("upsampling", evaluate_upsampling(evaluator)),
                Table::Presets => {
                    let presets = self.presets(&pipeline, &defaults)?;
                    tables.add("presets", evaluate_presets(evaluator, self.captions, &presets))
                }
                Table::Prior => tables.add("prior", evaluate_priors(evaluator)),
                Table::Inversion => tables.add("inversion", evaluate_inversions(evaluator)),
                Table::Variations => tables.add("variations", evaluate_variations(evaluator)),
                Table::Interpolation => {
                    tables.add("interpolation", evaluate_interpolations(evaluator, calls))
                }
                Table::Edits => {
                    tables.add("edits", evaluate_edits(evaluator, calls, self.strength))
                }
                Table::Everyday => self.fill_everyday(tables, evaluator),
                _ => {
                    let report = evaluate_zero_shot(&pipeline, self.scenes, self.batch, progress);
                    tables.add("zero-shot", report)
                }
            }?;
        }
        Ok(())
    }

    /// Whether a table is filled. `all` leaves presets out where there are fewer images than a distance takes, priors where
    /// the model has no autoregressive one, and what works with embeddings where the model takes none.
    fn fills(&self, table: Table, pipeline: &Pipeline, drawing: &Settings) -> bool {
        let by_codes = drawing.clone().with_codes(Some(CodeSampling::plain()));
        let of_all = match table {
            Table::Presets => frechet::check(self.captions as i64, HIDDEN).is_ok(),
            Table::Prior => pipeline.has_prior(&by_codes),
            Table::Inpainting | Table::Upsampling => true,
            Table::Everyday => false,
            _ => pipeline.decodes_embeddings(),
        };
        self.tables.contains(&table) || of_all && self.wants(table)
    }

    /// Fills the table of inpainting, and writes a sheet of it where no table of captions has one.
    fn fill_inpainting(&self, tables: &mut Tables, evaluator: &Evaluator) -> Result<()> {
        let evaluation = evaluate_inpainting(evaluator).map_err(|error| tables.explain(error))?;
        let InpaintingEvaluation { report, samples } = evaluation;
        tables.add("inpainting", Ok(report))?;
        match self.wants_captions() || !tables.is_first {
            true => Ok(()),
            false => self.write_edit_sheet(&samples),
        }
    }

    /// The folder of this model's samples by these settings, below the one that was asked for.
    fn sample_folder(&self, drawing: &Settings) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.samples else {
            return Ok(None);
        };
        check_room("--samples", folder)?;
        let record = self.model.record("evaluate", None, drawing)?;
        let mut record = self.model.with_encoders(record, &self.encoders)?;
        record.seed = self.seed;
        record.prior = self.model.prior_fingerprint(&self.prior)?;
        let name = format!(
            "{}-{}",
            &record.model[..8],
            &sha256(serde_json::to_string(&record)?.as_bytes())[..8]
        );
        Ok(Some(folder.join(name)))
    }

    /// The overrides of the flags.
    fn overrides(&self) -> SettingsOverrides {
        let overrides = self.prior_settings.add_to(SettingsOverrides::default());
        self.resample.add_to(self.candidates.add_to(self.decoder.add_to(overrides)))
    }

    /// The settings of each preset, with the overrides, and of the makers' with Analytic-DPM for the prior, where its errors were
    /// measured and no flag says another solver. Where a flag names a preset, its settings and those of `quality`.
    fn presets(
        &self,
        pipeline: &Pipeline,
        defaults: &Settings,
    ) -> Result<Vec<(&'static str, Settings)>> {
        let settings = |preset: Preset| {
            let args = PresetArgs { preset: Some(preset), ..self.preset };
            let settings = args.apply(defaults.clone(), defaults, pipeline)?;
            Ok((preset.name(), self.overrides().apply(settings).map_err(in_flag)?))
        };
        let is_compared = |preset: &Preset| {
            self.preset.preset.is_none_or(|one| [one, Preset::Quality].contains(preset))
        };
        let compared = Preset::ALL.into_iter().filter(is_compared);
        let mut presets: Vec<_> = compared.map(settings).collect::<Result<_>>()?;
        let is_asked = self.preset.preset.is_none()
            && self.preset.solver.is_none_or(|solver| solver == Solver::Analytic);
        let is_diffusion = defaults.codes().is_none() && pipeline.decodes_embeddings();
        if is_asked && is_diffusion && pipeline.has_denoising_errors()? {
            for steps in ANALYTIC_STEPS {
                let mut settings = defaults.clone();
                settings.solver = Solver::Analytic;
                if let Some(prior) = &mut settings.prior {
                    prior.steps = steps;
                }
                let settings = self.overrides().apply(settings).map_err(in_flag)?;
                presets.push(("analytic", settings));
            }
        }
        Ok(presets)
    }

    /// Whether a table of captions is asked for.
    fn wants_captions(&self) -> bool {
        CAPTIONED.iter().any(|(table, _)| self.wants(*table))
    }

    /// Whether a table is asked for.
    fn wants(&self, table: Table) -> bool {
        self.tables.iter().any(|&t| t == table || t == Table::All)
    }

    /// The files that will be written, with the flags that ask for them.
    fn outputs(&self) -> Vec<(&'static str, OutputKind, PathBuf)> {
        let sheet = self.sheet.as_deref().map(|path| beside(path, "md"));
        let images = self.verdicts.as_deref().map(|path| beside(path, "png"));
        let outputs = [
            ("--json", OutputKind::Text, self.json.clone()),
            ("--sheet", OutputKind::Sheet, self.sheet.clone()),
            ("--sheet", OutputKind::Text, sheet),
            ("--nearest", OutputKind::Sheet, self.nearest.clone()),
            ("--verdicts", OutputKind::Text, self.verdicts.clone()),
            ("--verdicts", OutputKind::Sheet, images),
        ];
        let named = |(flag, kind, path): (_, _, Option<PathBuf>)| Some((flag, kind, path?));
        outputs.into_iter().filter_map(named).collect()
    }
}
