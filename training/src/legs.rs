//! Each model's leg from its recipe to its folder in Karlo's layout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clip::{TextConfig, VisionConfig};
use decoder::UNet;
use layers::{Initialiser, Params};
use prior::Prior;
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use crate::clip_leg::{Clip, ClipLeg};
use crate::data::SceneStream;
use crate::decoder_leg::{Decoder, DecoderLeg};
use crate::prior_leg::{Encoders, PriorLeg, measure_statistics};
use crate::upsampler_leg::UpsamplerLeg;
use crate::{Error, Recipe, tokenizer, train};

/// The legs see different scenes: each starts this far into the training split. The tokenizer reads the first ones.
const SCENES_A_LEG: u64 = 1 << 26;

/// The first scene that the decoder learns from; batch `n` has the `n`-th batch after it.
pub const DECODER_SCENES: u64 = 4 * SCENES_A_LEG;

/// Where a leg's parameters lie in a model folder: the prefix of their names here, and the file.
type Files<'a> = &'a [(&'a str, &'a str)];
const CLIP_FILES: Files = &[
    ("text.", "text_encoder/model.safetensors"),
    ("image.", "image_encoder/model.safetensors"),
];
const PRIOR_FILES: Files = &[("", "prior/diffusion_pytorch_model.safetensors")];
const DECODER_FILES: Files = &[
    (
        "text_proj.",
        "text_proj/diffusion_pytorch_model.safetensors",
    ),
    ("decoder.", "decoder/diffusion_pytorch_model.safetensors"),
];
const UPSAMPLER_FILES: Files = &[("", "super_res_first/diffusion_pytorch_model.safetensors")];

/// Where and how the legs run.
pub struct Workshop {
    /// What is trained.
    pub recipe: Recipe,
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
}

impl Workshop {
    /// Learns the byte pairs: `tokenizer/`.
    pub fn train_tokenizer(&self) -> Result<(), Error> {
        tokenizer::train(&self.recipe.tokenizer, &self.model.join("tokenizer"))
    }

    /// Trains both encoders: `text_encoder/`, `image_encoder/`, `feature_extractor/` and the logit scale.
    pub fn train_clip(&self) -> Result<(), Error> {
        let tokenizer = weights::open_tokenizer(&self.part("tokenizer")?)?;
        let recipe = &self.recipe.clip;
        let text = TextConfig {
            vocab_size: tokenizer.vocab_size() as i64,
            eos_token_id: tokenizer.end_token_id(),
            ..recipe.text.clone()
        };
        let size = recipe.vision.image_size;
        weights::write_image_processor(&self.model.join("feature_extractor"), size)?;
        let (model, parameters) = self.make(recipe.run.seed, CLIP_FILES, |p| {
            Clip::new(p, &text, &recipe.vision)
        })?;
        let averaged = train(
            "clip",
            parameters,
            &recipe.run,
            &self.runs.join("clip"),
            self.stop_at,
            |step| {
                let stream = SceneStream::new(SCENES_A_LEG, size as u32, recipe.run.batch, step);
                Ok(ClipLeg::new(
                    model,
                    tokenizer,
                    stream,
                    (self.kind, self.device),
                ))
            },
        )?;
        self.save_clip(&averaged, &text, &recipe.vision)
    }

    fn save_clip(
        &self,
        averaged: &[(String, Tensor)],
        text: &TextConfig,
        vision: &VisionConfig,
    ) -> Result<(), Error> {
        weights::save_text_encoder(
            &self.model.join("text_encoder"),
            &under(averaged, "text."),
            text,
        )?;
        weights::save_image_encoder(
            &self.model.join("image_encoder"),
            &under(averaged, "image."),
            vision,
        )?;
        let (_, logit_scale) = averaged
            .iter()
            .find(|(n, _)| n == "logit_scale")
            .expect("CLIP has a temperature");
        self.save_index(Some(logit_scale.double_value(&[])))
    }

    /// Trains the prior: `prior/`, `prior_scheduler/`.
    pub fn train_prior(&self) -> Result<(), Error> {
        let recipe = &self.recipe.prior;
        let size = self.recipe.clip.vision.image_size as u32;
        let encoders = self.encoders()?;
        let (mut model, parameters) = self.make(recipe.run.seed, PRIOR_FILES, |p| {
            Prior::new(p, &recipe.model)
        })?;
        let parameters: Vec<_> = parameters
            .into_iter()
            .filter(|(name, _)| !name.starts_with("clip_"))
            .collect();
        measure_statistics(
            &mut model,
            &encoders,
            3 * SCENES_A_LEG,
            recipe.statistics_scenes,
            size,
        );
        let statistics = [
            ("clip_mean".to_owned(), model.mean.copy()),
            ("clip_std".to_owned(), model.std.copy()),
        ];
        let mut averaged = train(
            "prior",
            parameters,
            &recipe.run,
            &self.runs.join("prior"),
            self.stop_at,
            |step| {
                let stream = SceneStream::new(2 * SCENES_A_LEG, size, recipe.run.batch, step);
                Ok(PriorLeg::new(model, encoders, stream, recipe.drop_caption))
            },
        )?;
        averaged.extend(statistics);
        weights::save_prior(&self.model.join("prior"), &averaged, &recipe.model)?;
        self.save_index(None)
    }

    /// Trains the decoder with its conditioning: `decoder/`, `text_proj/`, `decoder_scheduler/`.
    pub fn train_decoder(&self) -> Result<(), Error> {
        let recipe = &self.recipe.decoder;
        let size = self.recipe.clip.vision.image_size as u32;
        let encoders = self.encoders()?;
        let (model, parameters) = self.make(recipe.run.seed, DECODER_FILES, |p| {
            Decoder::new(p, &recipe.conditioning, &recipe.unet)
        })?;
        let averaged = train(
            "decoder",
            parameters,
            &recipe.run,
            &self.runs.join("decoder"),
            self.stop_at,
            |step| {
                let stream = SceneStream::new(DECODER_SCENES, size, recipe.run.batch, step);
                Ok(DecoderLeg::new(model, encoders, stream, recipe))
            },
        )?;
        weights::save_conditioning(
            &self.model.join("text_proj"),
            &under(&averaged, "text_proj."),
            &recipe.conditioning,
        )?;
        weights::save_decoder(
            &self.model.join("decoder"),
            &under(&averaged, "decoder."),
            &recipe.unet,
        )?;
        self.save_index(None)
    }

    /// Trains the upsampler: `super_res_first/`, `super_res_last/`, `super_res_scheduler/`. Both are the one network:
    /// Karlo's second, sharpened for the last step, is a refinement of its own.
    pub fn train_upsampler(&self) -> Result<(), Error> {
        let recipe = &self.recipe.upsampler;
        let (model, parameters) = self.make(recipe.run.seed, UPSAMPLER_FILES, |p| {
            UNet::new(p, &recipe.unet)
        })?;
        let averaged = train(
            "upsampler",
            parameters,
            &recipe.run,
            &self.runs.join("upsampler"),
            self.stop_at,
            |step| {
                let stream = SceneStream::new(
                    5 * SCENES_A_LEG,
                    recipe.unet.sample_size as u32,
                    recipe.run.batch,
                    step,
                );
                let base = self.recipe.decoder.unet.sample_size;
                Ok(UpsamplerLeg::new(
                    model,
                    stream,
                    base,
                    recipe,
                    (self.kind, self.device),
                ))
            },
        )?;
        for folder in ["super_res_first", "super_res_last"] {
            weights::save_upsampler(&self.model.join(folder), &averaged, &recipe.unet)?;
        }
        self.save_index(None)
    }

    /// Names the parts that are there, and what the model draws with unless told otherwise.
    fn save_index(&self, logit_scale: Option<f64>) -> Result<(), Error> {
        weights::save_model_index(&self.model, logit_scale)?;
        Ok(weights::save_model_defaults(
            &self.model,
            &self.recipe.drawing,
        )?)
    }

    /// A model and its parameters: new ones from `seed`, or those of `init`, where `files` says they lie.
    fn make<M>(
        &self,
        seed: u64,
        files: Files,
        build: impl FnOnce(&Params) -> M,
    ) -> Result<(M, Vec<(String, Tensor)>), Error> {
        let initialiser = Initialiser::new(seed, self.device, self.kind);
        let model = build(&Params::root(&initialiser));
        let made = initialiser.into_made();
        if let Some(init) = &self.init {
            begin_from(init, files, &made)?;
        }
        Ok((model, made))
    }

    fn part(&self, name: &str) -> Result<Folder, Error> {
        Ok(Folder::open(&self.model)?.component(name))
    }

    fn encoders(&self) -> Result<Encoders, Error> {
        let (device, kind) = (self.device, self.kind);
        Ok(Encoders {
            text: weights::open_text_encoder(&self.part("text_encoder")?, device, kind)?,
            image: weights::open_image_encoder(&self.part("image_encoder")?, device, kind)?,
            tokenizer: weights::open_tokenizer(&self.part("tokenizer")?)?,
            kind,
            device,
        })
    }
}

/// Copies the weights in a model folder's `files` into the parameters that `made` shares with a model.
fn begin_from(init: &Path, files: Files, made: &[(String, Tensor)]) -> Result<(), Error> {
    let mut found: HashMap<String, Tensor> = HashMap::new();
    for (prefix, file) in files {
        let tensors = weights::load_safetensors(init.join(file))?;
        found.extend(
            tensors
                .into_iter()
                .map(|(name, t)| (format!("{prefix}{name}"), t)),
        );
    }
    if let Some(scale) = weights::read_logit_scale(&Folder::open(init)?)? {
        found.insert("logit_scale".to_owned(), Tensor::from(scale));
    }
    for (name, parameter) in made {
        let unfit = |why: String| Error::Checkpoint {
            path: init.to_owned(),
            why,
        };
        let tensor = found
            .get(name)
            .ok_or_else(|| unfit(format!("it has no tensor `{name}`")))?;
        if tensor.size() != parameter.size() {
            let (theirs, ours) = (tensor.size(), parameter.size());
            return Err(unfit(format!(
                "`{name}` is {theirs:?} where the recipe has {ours:?}"
            )));
        }
        no_grad(|| parameter.shallow_clone().copy_(tensor));
    }
    Ok(())
}

/// The tensors whose names begin with `prefix`, without it.
fn under(tensors: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    let strip = |(name, tensor): &(String, Tensor)| {
        Some((
            name.strip_prefix(prefix)?.to_owned(),
            tensor.shallow_clone(),
        ))
    };
    tensors.iter().filter_map(strip).collect()
}
