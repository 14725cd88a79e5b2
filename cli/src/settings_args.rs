//! The flags of steps, guidance and candidates: each group becomes overrides of the model's settings.

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use pipeline::{
    Pipeline, Preset, Settings, SettingsOverrides, Solver, Students, TimestepRespacing,
};

use crate::messages::say;
use crate::value_parsers;

const HEADING: &str = "Diffusion (defaults are the model's own; Karlo's are in brackets)";

/// The names of the stages that flags set.
const DECODER: &str = "decoder";
const UPSAMPLER: &str = "upsampler";

/// The solver of an image's steps, and how many it may take.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct PresetArgs {
    /// How fast to draw
    #[arg(long, value_name = "PRESET", value_parser = presets())]
    pub preset: Option<Preset>,
    /// The sampler of the steps; analytic is the prior's alone
    #[arg(long, hide_possible_values = true, value_name = "ddpm|ddim|dpm-solver++|analytic|distilled", value_parser = solvers())]
    pub solver: Option<Solver>,
}

impl PresetArgs {
    /// The settings with the preset and the solver; `defaults` are those of the pipeline's model.
    pub(crate) fn apply(
        &self,
        settings: Settings,
        defaults: &Settings,
        pipeline: &Pipeline,
    ) -> Result<Settings> {
        let settings = match self.preset {
            Some(preset) => preset.apply(settings, defaults, &pipeline.students()?),
            None => settings,
        };
        Ok(Settings { solver: self.solver.unwrap_or(settings.solver), ..settings })
    }
}

/// One of the presets, by its name.
pub(crate) fn presets() -> impl TypedValueParser<Value = Preset> {
    named(Preset::ALL.map(|preset| (preset.name(), preset)))
}

fn solvers() -> impl TypedValueParser<Value = Solver> {
    named(Solver::ALL.map(|solver| (solver.name(), solver)))
}

/// One of some values, by its name.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |text| {
        let found = values.iter().find(|(name, _)| *name == text);
        found.expect("one of the names").1
    })
}

/// The prior's settings, where they differ from the model's.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct PriorSettingsArgs {
    /// Steps that draw the image embedding [25]
    #[arg(long, value_name = "N", value_parser = value_parsers::steps, allow_negative_numbers = true)]
    pub prior_steps: Option<usize>,
    /// Embeddings to draw; the closest to the caption is kept [1]
    #[arg(long, value_name = "N", value_parser = value_parsers::candidates, allow_negative_numbers = true)]
    pub prior_candidates: Option<usize>,
    /// How strongly the caption pulls the embedding [4]
    #[arg(long, value_name = "X", value_parser = value_parsers::scale, allow_hyphen_values = true)]
    pub prior_guidance_scale: Option<f64>,
    /// Temperature of the autoregressive prior's codes [1]
    #[arg(long, value_name = "X", value_parser = value_parsers::temperature, allow_hyphen_values = true)]
    pub prior_temperature: Option<f64>,
    /// Share of the likeliest codes that is drawn from [1]
    #[arg(long, value_name = "X", value_parser = value_parsers::top_p, allow_hyphen_values = true)]
    pub prior_top_p: Option<f64>,
}

impl PriorSettingsArgs {
    /// The flags that the user chose.
    fn flags(&self) -> Vec<&'static str> {
        let all = [
            ("--prior-steps", self.prior_steps.is_some()),
            ("--prior-candidates", self.prior_candidates.is_some()),
            ("--prior-guidance-scale", self.prior_guidance_scale.is_some()),
            ("--prior-temperature", self.prior_temperature.is_some()),
            ("--prior-top-p", self.prior_top_p.is_some()),
        ];
        all.into_iter().filter(|(_, is_chosen)| *is_chosen).map(|(flag, _)| flag).collect()
    }

    /// Says of which of them nothing comes, and why.
    pub(crate) fn warn(&self, reason: &str) {
        warn_of(&self.flags(), reason);
    }

    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        SettingsOverrides {
            prior_steps: self.prior_steps,
            prior_candidates: self.prior_candidates,
            prior_guidance_scale: self.prior_guidance_scale,
            prior_temperature: self.prior_temperature,
            prior_top_p: self.prior_top_p,
            ..overrides
        }
    }
}

/// Guidance by the gradient of a CLIP of noised images.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct ClipGuidanceArgs {
    /// How strongly the gradient of a CLIP of noised pictures pulls, in place of --decoder-guidance-scale [off]
    #[arg(long, value_name = "X", value_parser = value_parsers::scale, allow_hyphen_values = true)]
    pub clip_guidance_scale: Option<f64>,
}

impl ClipGuidanceArgs {
    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        SettingsOverrides { clip_guidance_scale: self.clip_guidance_scale, ..overrides }
    }
}

/// How models inpaint that were not trained for it.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct ResampleArgs {
    /// How often a model that was not trained to inpaint takes each step [10]
    #[arg(long, value_name = "N", value_parser = value_parsers::resample, allow_negative_numbers = true)]
    pub resample: Option<usize>,
}

impl ResampleArgs {
    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        SettingsOverrides { resample: self.resample, ..overrides }
    }
}

/// The number of base images that one is chosen among.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct CandidatesArgs {
    /// Small pictures to draw; CLIP's closest is enlarged [1]
    #[arg(long, value_name = "N", value_parser = value_parsers::candidates, allow_negative_numbers = true)]
    pub candidates: Option<usize>,
}

impl CandidatesArgs {
    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        SettingsOverrides { candidates: self.candidates, ..overrides }
    }
}

/// The size of the images, in models that draw any.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct SizeArgs {
    /// Width in pixels, for models that draw any size [the model's]
    #[arg(long, value_name = "N", value_parser = value_parsers::side, allow_negative_numbers = true)]
    pub width: Option<u32>,
    /// Height in pixels, for models that draw any size [the model's]
    #[arg(long, value_name = "N", value_parser = value_parsers::side, allow_negative_numbers = true)]
    pub height: Option<u32>,
}

impl SizeArgs {
    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        SettingsOverrides { width: self.width, height: self.height, ..overrides }
    }
}

/// The decoder's and the upsampler's settings, where they differ from the model's.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct DecoderSettingsArgs {
    /// Steps that draw the small picture, or a respacing as 10,10,5 or ddim25 [25]
    #[arg(long, value_name = "N", value_parser = value_parsers::respacing, allow_negative_numbers = true)]
    pub decoder_steps: Option<TimestepRespacing>,
    /// Steps that draw the large picture, or a respacing as fast27 [7]
    #[arg(long, value_name = "N", value_parser = value_parsers::respacing, allow_negative_numbers = true)]
    pub upsampler_steps: Option<TimestepRespacing>,
    /// How strongly the caption and the embedding pull the picture [8]
    #[arg(long, value_name = "X", value_parser = value_parsers::scale, allow_hyphen_values = true)]
    pub decoder_guidance_scale: Option<f64>,
    /// Temperature of the noise that the large picture begins with [1]
    #[arg(long, value_name = "X", value_parser = value_parsers::temperature, allow_hyphen_values = true)]
    pub upsampler_temperature: Option<f64>,
    /// Guide the decoder from A to B; 0 is the picture, 1 noise [0,1]
    #[arg(long, value_name = "A,B", value_parser = value_parsers::interval, allow_hyphen_values = true)]
    pub guidance_interval: Option<[f64; 2]>,
    /// Clip predictions at this quantile of their size [off]
    #[arg(long, value_name = "P", value_parser = value_parsers::quantile, allow_hyphen_values = true)]
    pub thresholding: Option<f64>,
}

/// Says that nothing comes of flags, where there are some, and why.
pub(crate) fn warn_of(flags: &[&str], reason: &str) {
    if !flags.is_empty() {
        say!("warning: nothing comes of {}: {reason}", flags.join(", "));
    }
}

impl DecoderSettingsArgs {
    /// The flags of the small picture's steps that the user chose.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let all = [
            ("--decoder-steps", self.decoder_steps.is_some()),
            ("--decoder-guidance-scale", self.decoder_guidance_scale.is_some()),
            ("--guidance-interval", self.guidance_interval.is_some()),
            ("--thresholding", self.thresholding.is_some()),
        ];
        all.into_iter().filter(|(_, is_chosen)| *is_chosen).map(|(flag, _)| flag).collect()
    }

    /// Adds them to overrides.
    pub(crate) fn add_to(&self, overrides: SettingsOverrides) -> SettingsOverrides {
        let overrides = SettingsOverrides {
            guidance_interval: self.guidance_interval,
            thresholding: self.thresholding,
            ..overrides
        };
        overrides
            .with_steps(DECODER, self.decoder_steps.clone())
            .with_guidance_scale(DECODER, self.decoder_guidance_scale)
            .with_steps(UPSAMPLER, self.upsampler_steps.clone())
            .with_temperature(UPSAMPLER, self.upsampler_temperature)
    }
}

/// The upsampler's steps, for commands that fix all other settings.
#[derive(Args, Clone)]
pub(crate) struct UpsamplerArgs {
    /// How many steps draw the large picture: the makers' own are quality; --upsampler-steps wins
    #[arg(long, value_name = "PRESET", value_parser = presets())]
    preset: Option<Preset>,
    /// Steps that draw the large picture [7]
    #[arg(long, value_name = "N", value_parser = value_parsers::respacing, allow_negative_numbers = true)]
    upsampler_steps: Option<TimestepRespacing>,
}

impl UpsamplerArgs {
    /// The settings with the preset's steps of the stages that upsample.
    pub(crate) fn apply_preset(&self, settings: &Settings) -> Settings {
        let students = Students::default(); // no preset changes a solver here
        let preset = self.preset.unwrap_or(Preset::Quality);
        let preset = preset.apply(settings.clone(), settings, &students);
        let mut settings = settings.clone();
        for (stage, preset) in settings.stages.iter_mut().zip(preset.stages).skip(1) {
            stage.steps = preset.steps;
        }
        settings
    }

    /// The overrides of the flag.
    pub(crate) fn overrides(&self) -> SettingsOverrides {
        SettingsOverrides::default().with_steps(UPSAMPLER, self.upsampler_steps.clone())
    }
}
