//! Each model's leg from its recipe to its folder in Karlo's layout.

use std::path::{Path, PathBuf};

use clip::TextConfig;
use decoder::UNet;
use families::karlo;
use layers::{Initialiser, Params};
use prior::{AutoregressivePrior, Pca, Prior};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::autoregressive_leg::{AutoregressiveLeg, measure};
use crate::begin::{Beginning, Components};
use crate::clip_leg::{Clip, ClipLeg};
use crate::data::{Data, SCENES_A_LEG, Stream, View};
use crate::decoder_leg::{Decoder, DecoderLeg};
use crate::embedded::Embeddings;
use crate::encoders::{CaptionEncoder, PictureEncoder};
use crate::prior_leg::{PriorLeg, set_statistics};
use crate::run::{Samples, Weights};
use crate::sheet::SAMPLES;
use crate::upsampler_leg::UpsamplerLeg;
use crate::{
    AdamW, Error, Leg, Recipe, Run, RunSettings, Stopped, Told, plots, sheet, tokenizer, train,
};

/// The legs' numbers, which keep their pictures apart.
const CLIP_LEG: u64 = 1;
pub(crate) const PRIOR_LEG: u64 = 2;
const STATISTICS: u64 = 3;
const DECODER_LEG: u64 = 4;
const UPSAMPLER_LEG: u64 = 5;
const AUTOREGRESSIVE_LEG: u64 = 6;
const CODES: u64 = 7;

/// The first scene that the decoder learns from; batch `n` has the `n`-th batch after it.
pub const DECODER_SCENES: u64 = DECODER_LEG * SCENES_A_LEG;

const CLIP: Components = &[("text.", "text_encoder"), ("image.", "image_encoder")];
const PRIOR: Components = &[("", "prior")];
const AUTOREGRESSIVE: Components = &[("", karlo::AUTOREGRESSIVE_PRIOR)];
const DECODER: Components = &[("text_proj.", karlo::CONDITIONING), ("decoder.", "decoder")];
const UPSAMPLER: Components = &[("", karlo::UPSAMPLER)];

/// The folders that each leg writes.
const WRITTEN: &[(&str, &[&str])] = &[
    ("tokenizer", &["tokenizer"]),
    ("clip", &["text_encoder", "image_encoder", karlo::IMAGE_PROCESSOR]),
    ("prior", &["prior", karlo::PRIOR_SCHEDULER, karlo::PRINCIPAL_COMPONENTS]),
    (karlo::AUTOREGRESSIVE_PRIOR, &[karlo::AUTOREGRESSIVE_PRIOR]),
    ("decoder", &[karlo::CONDITIONING, "decoder", karlo::DECODER_SCHEDULER]),
    ("upsampler", &[karlo::UPSAMPLER, karlo::LAST_UPSAMPLER, karlo::UPSAMPLER_SCHEDULER]),
];

/// The folders that one leg writes.
fn written(leg: &str) -> Vec<&'static str> {
    let of = WRITTEN.iter().filter(|(name, _)| *name == leg);
    of.flat_map(|(_, parts)| parts.iter().copied()).collect()
}

/// What the prior and the decoder learn from beside pictures.
const ENCODERS: &[&str] = &["tokenizer", "text_encoder", "image_encoder"];

/// Where and how the legs run.
pub struct Trainer {
    /// What is trained.
    pub recipe: Recipe,
    /// What it learns from.
    pub data: Data,
    /// The model folder that the legs write.
    pub model: PathBuf,
    /// A model folder whose weights the legs begin with, instead of random ones.
    pub init: Option<PathBuf>,
    /// Checkpoints and logs, a folder a leg.
    pub runs: PathBuf,
    /// What the networks compute in while they train; their masters are f32.
    pub kind: Kind,
    /// Where they lie.
    pub device: Device,
    /// Steps after which a leg stops early, to go on another time.
    pub stop_at: Option<u64>,
    /// Steps between two sheets of samples; 0 for none. There is one at the end too.
    pub samples_every: u64,
    /// Hears of every step.
    pub told: Box<Told>,
    /// Whether the user wants the legs to stop, to go on another time.
    pub stopped: Box<Stopped>,
}

impl Trainer {
    /// Gives the model the parts that it lacks and that the model to begin with has, but for those that `legs` will
    /// write, so that it is whole once they are trained. Writes nothing where the data is nothing for the legs.
    pub fn complete_from_init(&self, legs: &[&str]) -> Result<(), Error> {
        let mut each = legs.iter();
        each.try_for_each(|leg| self.data.check_pictures(leg))?;
        let Some(init) = &self.init else {
            return Ok(());
        };
        if let Data::Embeddings(cache) = &self.data {
            let models = [&self.model, init].map(|model| model.join("image_encoder"));
            if let Some(encoder) = models.iter().find(|encoder| encoder.is_dir()) {
                let encoder = Folder::open(encoder)?.fingerprint()?;
                cache.check(&encoder, self.recipe.prior.model.embedding)?;
            }
        }
        let written: Vec<&str> = legs.iter().flat_map(|leg| written(leg)).collect();
        Ok(families::complete_model(init, &self.model, &written)?)
    }

    /// Plots what the legs told of themselves, on one page: `plots.svg` beside them. None where they told nothing.
    pub fn plot(&self) -> Result<Option<PathBuf>, Error> {
        let legs: Vec<&str> = WRITTEN.iter().map(|(leg, _)| *leg).collect();
        plots::draw(&self.runs, &legs)
    }

    /// Learns the byte pairs: `tokenizer/`.
    pub fn train_tokenizer(&self) -> Result<(), Error> {
        tokenizer::train(&self.recipe.tokenizer, &self.data, &self.model.join("tokenizer"))
    }

    /// Trains both encoders and the logit scale.
    pub fn train_clip(&self) -> Result<(), Error> {
        self.data.check_pictures("clip")?;
        let tokenizer = families::open_tokenizer(&self.part("tokenizer")?)?;
        let recipe = &self.recipe.clip;
        let text = TextConfig {
            vocab_size: tokenizer.vocab_size() as i64,
            eos_token_id: tokenizer.end_token_id(),
            ..recipe.text.clone()
        };
        let size = recipe.vision.image_size;
        families::write_image_processor(&self.model.join(karlo::IMAGE_PROCESSOR), size)?;
        let run = self.run("clip", &recipe.run, &["tokenizer"])?;
        let (model, optimizer) =
            self.make(&run, CLIP, |p| Clip::new(p, &text, &recipe.vision), |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let text_encoder = folder.join("text_encoder");
            families::save_text_encoder(&text_encoder, &under(averaged, "text."), &text)?;
            let image_encoder = folder.join("image_encoder");
            families::save_image_encoder(
                &image_encoder,
                &under(averaged, "image."),
                &recipe.vision,
            )?;
            let (_, logit_scale) =
                averaged.iter().find(|(n, _)| n == "logit_scale").expect("CLIP has a temperature");
            self.save_index(folder, Some(logit_scale.double_value(&[])))
        };
        self.train(&run, optimizer, save, |step| {
            let view = View { siblings: true, ..view(CLIP_LEG, size, &recipe.run) };
            let stream = Stream::new(&self.data, view, recipe.run.batch, step);
            let place = (self.kind, self.device);
            let parts = recipe.run.accumulate;
            Ok(ClipLeg::new(model, tokenizer, stream, parts, place))
        })
    }

    /// Trains the prior, and measures the principal components of the embeddings that it learns from.
    pub fn train_prior(&self) -> Result<(), Error> {
        let recipe = &self.recipe.prior;
        let size = self.recipe.clip.vision.image_size;
        let encoder = self.caption_encoder()?;
        let images = self.embeddings()?;
        let run = self.run("prior", &recipe.run, ENCODERS)?;
        // The statistics are measured, not trained.
        let trained = |name: &str| !name.starts_with("clip_");
        let (mut model, optimizer) =
            self.make(&run, PRIOR, |p| Prior::new(p, &recipe.model), trained)?;
        let scenes = recipe.statistics_scenes;
        let first = images.first(view(STATISTICS, size, &recipe.run), scenes);
        let first = first.map(|batch| Ok(batch?.embedding));
        let embeddings = Tensor::cat(&first.collect::<Result<Vec<_>, Error>>()?, 0); // [N, E]
        set_statistics(&mut model, &embeddings);
        families::save_pca(&self.model.join(karlo::PRINCIPAL_COMPONENTS), &Pca::fit(&embeddings))?;
        let statistics = [
            ("clip_mean".to_owned(), model.mean.copy()),
            ("clip_std".to_owned(), model.std.copy()),
        ];
        let save = |folder: &Path, averaged: &Weights| {
            let all = averaged.iter().chain(&statistics);
            let all: Vec<_> = all.map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
            families::save_prior(&folder.join("prior"), &all, &recipe.model)?;
            self.save_index(folder, None)
        };
        self.train(&run, optimizer, save, |step| {
            let view = view(PRIOR_LEG, size, &recipe.run);
            let first = step * recipe.run.accumulate as u64;
            let stream = images.stream(view, recipe.run.part(), first);
            Ok(PriorLeg::new(model, encoder, stream, recipe))
        })
    }

    /// Trains the other prior, which predicts the embedding code by code.
    pub fn train_autoregressive_prior(&self) -> Result<(), Error> {
        let recipe = &self.recipe.autoregressive;
        let size = self.recipe.clip.vision.image_size;
        let (encoder, images) = (self.caption_encoder()?, self.embeddings()?);
        let run = self.run(karlo::AUTOREGRESSIVE_PRIOR, &recipe.run, ENCODERS)?;
        // A network's codes mean what they meant when it learned them.
        let learned = match self.beginning(AUTOREGRESSIVE)? {
            Some(init) => {
                let folder = init.component(karlo::AUTOREGRESSIVE_PRIOR);
                let opened =
                    families::open_autoregressive_prior(&folder, self.device, Kind::Float)?;
                Some(opened.codes)
            }
            None => None,
        };
        let seen = view(CODES, size, &recipe.run);
        let measured = measure(&encoder, &images, seen, recipe, learned)?;
        let codes = || measured.codes.to_device(self.device);
        let build = |p: &Params| AutoregressivePrior::new(p, &recipe.model, codes());
        let (model, optimizer) = self.make(&run, AUTOREGRESSIVE, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let part = folder.join(karlo::AUTOREGRESSIVE_PRIOR);
            let (codes, config) = (&measured.codes, &recipe.model);
            families::save_autoregressive_prior(&part, averaged, codes, config)?;
            self.save_index(folder, None)
        };
        self.train(&run, optimizer, save, |step| {
            let view = view(AUTOREGRESSIVE_LEG, size, &recipe.run);
            let first = step * recipe.run.accumulate as u64;
            let stream = images.stream(view, recipe.run.part(), first);
            let bits = measured.unigram_bits;
            Ok(AutoregressiveLeg::new(model, encoder, stream, recipe, bits))
        })
    }

    /// Trains the decoder with its conditioning.
    pub fn train_decoder(&self) -> Result<(), Error> {
        self.data.check_pictures("decoder")?;
        let recipe = &self.recipe.decoder;
        let encoders = (self.caption_encoder()?, self.picture_encoder()?);
        let size = encoders.1.size().max(recipe.unet.sample_size);
        let run = self.run("decoder", &recipe.run, ENCODERS)?;
        let build = |p: &Params| Decoder::new(p, &recipe.conditioning, &recipe.unet);
        let (model, optimizer) = self.make(&run, DECODER, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let (conditioning, unet) = (under(averaged, "text_proj."), under(averaged, "decoder."));
            let text_proj = folder.join(karlo::CONDITIONING);
            families::save_conditioning(&text_proj, &conditioning, &recipe.conditioning)?;
            families::save_decoder(&folder.join("decoder"), &unet, &recipe.unet)?;
            self.save_index(folder, None)
        };
        self.train(&run, optimizer, save, |step| {
            let view =
                View { noise: DecoderLeg::noise(recipe), ..view(DECODER_LEG, size, &recipe.run) };
            let stream = self.stream(view, &recipe.run, step);
            Ok(DecoderLeg::new(model, encoders, stream, recipe))
        })
    }

    /// Trains the upsampler. The last step's network is the same one: Karlo's second, sharpened for that step, is a
    /// refinement of its own.
    pub fn train_upsampler(&self) -> Result<(), Error> {
        self.data.check_pictures("upsampler")?;
        let recipe = &self.recipe.upsampler;
        let run = self.run("upsampler", &recipe.run, &[])?;
        let (model, optimizer) =
            self.make(&run, UPSAMPLER, |p| UNet::new(p, &recipe.unet), |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            for part in [karlo::UPSAMPLER, karlo::LAST_UPSAMPLER] {
                let predicts = recipe.predicts;
                families::save_upsampler(&folder.join(part), averaged, &recipe.unet, predicts)?;
            }
            self.save_index(folder, None)
        };
        self.train(&run, optimizer, save, |step| {
            let base = self.recipe.decoder.unet.sample_size;
            let view = View {
                noise: UpsamplerLeg::noise(recipe, base),
                ..view(UPSAMPLER_LEG, recipe.unet.sample_size, &recipe.run)
            };
            let stream = self.stream(view, &recipe.run, step);
            let place = (self.kind, self.device);
            Ok(UpsamplerLeg::new(model, stream, base, recipe, place))
        })
    }

    /// Trains a leg and saves what it trained into the model; sheets of samples show what that would be before.
    fn train<L: Leg>(
        &self,
        run: &Run,
        optimizer: AdamW,
        save: impl Fn(&Path, &Weights) -> Result<(), Error>,
        open: impl FnOnce(u64) -> Result<L, Error>,
    ) -> Result<(), Error> {
        let written = written(run.name);
        let sheet = |averaged: &Weights| {
            sheet::draw(
                (&self.model, &run.folder),
                &written,
                |whole| save(whole, averaged),
                &self.data.captions(SAMPLES),
                (self.device, self.kind),
            )
        };
        // What draws with a new CLIP is trained after it.
        let asked = self.samples_every > 0 && run.name != "clip";
        let lacking = sheet::lacks(&self.model, &written).filter(|_| asked);
        if let Some(part) = lacking {
            tracing::warn!(
                "{}: no samples are drawn, because the model has no {part} yet",
                run.name
            );
        }
        let every = match asked && lacking.is_none() {
            true => self.samples_every,
            false => 0,
        };
        let sheet = &sheet;
        let averaged = train(run, optimizer, Samples { every, sheet }, open)?;
        save(&self.model, &averaged)
    }

    /// Names the parts that are there, and what the model draws with unless told otherwise.
    fn save_index(&self, folder: &Path, logit_scale: Option<f64>) -> Result<(), Error> {
        families::save_model_index(folder, logit_scale)?;
        Ok(families::save_model_defaults(folder, &self.recipe.drawing)?)
    }

    /// A leg of this trainer's, which learns from the components `upstream` of the model.
    fn run<'a>(
        &'a self,
        name: &'static str,
        settings: &'a RunSettings,
        upstream: &[&str],
    ) -> Result<Run<'a>, Error> {
        Ok(Run {
            name,
            settings,
            folder: self.runs.join(name),
            stop_at: self.stop_at,
            upstream: self.fingerprint(upstream)?,
            data: self.data.describe(),
            told: &self.told,
            stopped: &self.stopped,
        })
    }

    /// The pictures of a leg from a step on, as many at once as are computed at once.
    fn stream(&self, view: View, run: &RunSettings, step: u64) -> Stream {
        Stream::new(&self.data, view, run.part(), step * run.accumulate as u64)
    }

    /// A model, and the optimiser of those of its parameters that are `trained`: new ones from the leg's seed, or those
    /// that `init` has in `components`.
    fn make<M>(
        &self,
        run: &Run,
        components: Components,
        build: impl Fn(&Params) -> M,
        trained: impl Fn(&str) -> bool,
    ) -> Result<(M, AdamW), Error> {
        let initialiser = Initialiser::new(run.settings.seed, self.device, self.kind);
        let model = build(&Params::root(&initialiser));
        let select = |tensors: Vec<(String, Tensor)>| -> Vec<(String, Tensor)> {
            tensors.into_iter().filter(|(name, _)| trained(name)).collect()
        };
        let parameters = select(initialiser.into_made());
        let mut optimizer = AdamW::new(parameters, run.settings.optimizer.clone());
        if let Some(init) = self.beginning(components)? {
            let beginning = Beginning::open(&init, components)?;
            build(&Params::root(&beginning));
            let weights = select(beginning.finish()?).into_iter().map(|(_, tensor)| tensor);
            optimizer.begin_from(&weights.collect::<Vec<_>>());
        }
        Ok((model, optimizer))
    }

    /// The model to begin with, if it has any of these components.
    fn beginning(&self, components: Components) -> Result<Option<Folder>, Error> {
        let Some(init) = &self.init else {
            return Ok(None);
        };
        let model = Folder::open(init)?;
        let has = |(_, part): &(&str, &str)| model.component(part).exists();
        Ok(components.iter().any(has).then_some(model))
    }

    /// A hash of the files of some components.
    fn fingerprint(&self, components: &[&str]) -> Result<String, Error> {
        let mut hash = Sha256::new();
        for component in components {
            let folder = self.model.join(component);
            let entries = std::fs::read_dir(&folder).map_err(Error::file(&folder))?;
            let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            files.sort();
            for file in files {
                hash.update(std::fs::read(&file).map_err(Error::file(&file))?);
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn part(&self, name: &str) -> Result<Folder, Error> {
        Ok(Folder::open(&self.model)?.component(name))
    }

    fn caption_encoder(&self) -> Result<CaptionEncoder, Error> {
        let (device, kind) = (self.device, self.kind);
        Ok(CaptionEncoder {
            text: families::open_text_encoder(&self.part("text_encoder")?, device, kind)?,
            tokenizer: families::open_tokenizer(&self.part("tokenizer")?)?,
            kind,
            device,
        })
    }

    fn picture_encoder(&self) -> Result<PictureEncoder, Error> {
        let (device, kind) = (self.device, self.kind);
        Ok(PictureEncoder {
            image: families::open_image_encoder(&self.part("image_encoder")?, device, kind)?,
            kind,
            device,
        })
    }

    /// What a prior learns from: embeddings of this model's image encoder.
    fn embeddings(&self) -> Result<Embeddings, Error> {
        Ok(match &self.data {
            Data::Embeddings(cache) => {
                let encoder = self.part("image_encoder")?.fingerprint()?;
                cache.check(&encoder, self.recipe.prior.model.embedding)?;
                Embeddings::Cached { cache: cache.clone(), device: self.device }
            }
            data => Embeddings::Encoded {
                data: data.clone(),
                encoder: Box::new(self.picture_encoder()?),
            },
        })
    }
}

/// A leg's pictures of this side.
fn view(leg: u64, size: i64, run: &RunSettings) -> View {
    View { leg, seed: run.seed, size: size as u32, siblings: false, noise: 0 }
}

/// The tensors whose names begin with `prefix`, without it.
fn under(tensors: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    let strip = |(name, tensor): &(String, Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    tensors.iter().filter_map(strip).collect()
}
