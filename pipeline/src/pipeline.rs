//! A model at work: its components, where they compute, and what a task of theirs requires.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Range;

use clip::KnownWords;
use families::{Family, ImageSize, ModelFolders, PriorKind, Requirement, Shapes};
use graphs::{CudaGraphs, GraphCapture};
use images::RgbImage;
use layers::finite::norm;
use prior::Pca;
use tch::{Device, Kind, Tensor};

use crate::components::{Components, opened};
use crate::image_tensors::PLANES;
use crate::image_to_image::Strength;
use crate::memory::within_memory;
use crate::prior_stage::Prefix;
use crate::stages::BASE;
use crate::{Error, Quantity, Settings, Text};

/// A model that samples images of captions (2204.06125, section 2).
///
/// Its stages take batches; each image of a batch brings a noise stream of its own, which the stages draw from in
/// turn. Components are opened when a stage first needs them, and stay open unless [`Pipeline::low_memory`] says otherwise. The
/// networks compute in the pipeline's dtype, the samplers in f32.
pub struct Pipeline {
    pub(crate) components: Components,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    /// The empty caption, which guidance starts from.
    pub(crate) empty: OnceCell<Text>,
    /// CLIP's embedding `[1, E]` of an image of zeros, which guidance starts from in a decoder that reads no caption.
    pub(crate) zero_image: OnceCell<Tensor>,
    /// Whether images are inpainted by RePaint.
    repaints: OnceCell<bool>,
    /// The captions that were encoded last, and their encoding.
    pub(crate) encoded: RefCell<Option<(Vec<String>, Text)>>,
    /// The captions that the prior was prefilled with last, and their keys and values.
    pub(crate) prefix: RefCell<Option<Prefix>>,
    pub(crate) prefills: Cell<usize>,
    /// The backend that captures steps of diffusion, which run again and again.
    pub(crate) graphs: Option<Box<dyn GraphCapture>>,
}

impl Pipeline {
    /// A pipeline over `folders` whose networks compute in `kind` on `device`. An error for f16 on the CPU.
    pub fn open(folders: ModelFolders, device: Device, kind: Kind) -> Result<Self, Error> {
        if kind == Kind::Half && device == Device::Cpu {
            return Err(Error::HalfOnCpu);
        }
        Ok(Self {
            components: Components::new(folders, device, kind),
            device,
            kind,
            empty: OnceCell::new(),
            zero_image: OnceCell::new(),
            repaints: OnceCell::new(),
            encoded: RefCell::default(),
            prefix: RefCell::default(),
            prefills: Cell::new(0),
            graphs: match device {
                Device::Cuda(device) => Some(Box::new(CudaGraphs { device })),
                _ => None,
            },
        })
    }

    /// The same, but no network outlives the stage that works with it: of all of them no more than the largest lies in memory
    /// at once, and each batch opens them anew. The images are the same.
    pub fn low_memory(self) -> Self {
        self.components.close_after_use();
        self
    }

    /// The same, but the weights of linear maps and convolutions lie in memory in bf16: half of the bytes to hold, and for a few
    /// rows to read. All else is computed in f32, and weights in f32 are rounded. An error where that gains nothing:
    /// for another dtype than f32, on a GPU, or for the model inside the program.
    pub fn with_bf16_weights(self) -> Result<Self, Error> {
        if self.kind != Kind::Float || self.device != Device::Cpu || self.components.is_embedded() {
            return Err(Error::WeightKind);
        }
        self.components.set_weight_kind(Kind::BFloat16);
        Ok(self)
    }

    /// The same with steps captured by `graphs`, or by none: on a GPU they become CUDA graphs without being asked for.
    pub fn with_graph_capture(self, graphs: Option<Box<dyn GraphCapture>>) -> Self {
        Self { graphs, ..self }
    }

    /// The settings that the model samples with unless a user changes them: its own, else those of its family's authors.
    pub fn defaults(&self) -> Result<Settings, Error> {
        self.components.defaults()
    }

    /// Refuses a task for which the model lacks a component, or that its family does not do. Opens no network.
    pub fn find(&self, task: Task, settings: &Settings) -> Result<(), Error> {
        let family = self.components.family();
        if !task.prior && task.stages != Stages::None && !family.decodes_embeddings() {
            return Err(Error::NoEmbedding { family: family.name });
        }
        self.components.find(self.requirement(task, settings))?;
        if task.inpaints {
            self.check_inpainting()?;
        }
        match task.stages {
            Stages::None => Ok(()),
            _ => self.check_hint(task.hint),
        }
    }

    /// Refuses settings that this model cannot sample with, opens every component that a task requires, and checks that they
    /// fit each other, so that nothing is refused later, in the middle of the work.
    pub fn prepare(&self, task: Task, settings: &Settings) -> Result<(), Error> {
        settings.check()?;
        self.check_size_settings(settings)?;
        self.check_image_to_image(settings.strength.is_some())?;
        self.check_solver(settings)?;
        let requirement = self.requirement(task, settings);
        let Family { clip, name, .. } = self.components.family();
        if settings.candidates > 1 && clip.is_none() {
            let must = format!("it must be 1: {name} has no CLIP that compares pictures");
            return Err(Error::setting("candidates", settings.candidates, &must));
        }
        self.find(task, settings)?;
        if requirement.prior == Some(PriorKind::Diffusion) {
            let steps = self.prior_steps(&self.prior_sampler(settings)?, settings)?;
            if settings.prior.as_ref().is_some_and(|prior| prior.strength.is_some()) {
                Strength::of_prior(settings).last(steps)?;
            }
        }
        for index in self.components.family().stage_indices(requirement) {
            let steps = self.stage_steps(index, &self.stage_sampler(index, settings)?, settings)?;
            if settings.strength.is_some() {
                Strength::of_stage(settings).last(steps)?;
            }
        }
        self.components.prepare(requirement)?;
        self.prepare_students(self.components.family().stage_indices(requirement), settings)?;
        if requirement.stages > 0 && (settings.width.is_some() || settings.height.is_some()) {
            self.sample_shape(BASE, settings)?;
        }
        let resample = settings.resample.filter(|_| task.inpaints && requirement.stages > 0);
        match resample {
            Some(resample) if !self.repaints()? => {
                let must = "RePaint takes steps several times, and this model's network was trained to inpaint without";
                Err(Error::setting("resample", resample, must))
            }
            _ => Ok(()),
        }
    }

    /// The shapes of the components of a task.
    pub fn shapes(&self, task: Task, settings: &Settings) -> Result<Shapes, Error> {
        self.components.shapes(self.requirement(task, settings))
    }

    /// Whether images are inpainted by [RePaint](crate::repaint), as the network of the base images takes no mask.
    pub fn repaints(&self) -> Result<bool, Error> {
        let repaints = opened(&self.repaints, || {
            let inpaints = self.components.has_inpainting_stages();
            let base = Requirement { stages: 1, inpaints, ..Requirement::default() };
            let base = self.components.family().stage_indices(base).start;
            let config = self.components.network_config(base)?;
            Ok(!self.components.stage(base).inpaints(config))
        })?;
        Ok(*repaints)
    }

    /// Opens the image encoder beside a task's components, for the embedding of an image of zeros.
    pub(crate) fn prepare_zero_image(&self, task: Task, settings: &Settings) -> Result<(), Error> {
        let requirement = Requirement { image_encoder: true, ..self.requirement(task, settings) };
        self.components.find(requirement)?;
        self.components.prepare(requirement)
    }

    /// The components of a task; CLIP compares candidates.
    fn requirement(&self, task: Task, settings: &Settings) -> Requirement {
        let kind = match settings.codes() {
            Some(_) => PriorKind::Autoregressive,
            None => PriorKind::Diffusion,
        };
        let family = self.components.family();
        let stages = &family.stages;
        // Where no caption says what guidance starts from, an image of zeros does.
        let of_images = family.decodes_embeddings_alone();
        let guided = settings.base().and_then(|base| settings.stage_guidance(base)).is_some();
        let zero_image = of_images && guided && task.stages != Stages::None;
        Requirement {
            text: task.prior || task.text || !of_images,
            prior: (task.prior && family.decodes_embeddings()).then_some(kind),
            image_encoder: task.image_encoder || settings.candidates > 1 || zero_image,
            noised_clip: settings.clip_guidance_scale.is_some() && task.stages != Stages::None,
            inpaints: task.inpaints && self.components.has_inpainting_stages(),
            stages: match task.stages {
                Stages::None => 0,
                Stages::Base => stages.len().min(1),
                Stages::All => stages.len(),
            },
        }
    }

    /// The indices of a task's stages.
    pub(crate) fn stage_indices(&self, task: Task, settings: &Settings) -> Range<usize> {
        self.components.family().stage_indices(self.requirement(task, settings))
    }

    /// Opens CLIP and checks that its components fit each other: all that captions and images need to be compared, so
    /// that a model of which there is no more will do.
    pub fn prepare_clip(&self) -> Result<(), Error> {
        let requirement = Requirement { text: true, image_encoder: true, ..Requirement::default() };
        self.components.prepare(requirement)
    }

    /// Opens the text encoder, which may be all that there is of the model, and checks that the tokenizer fits it.
    pub fn prepare_text_encoder(&self) -> Result<(), Error> {
        self.components.prepare(Requirement { text: true, ..Requirement::default() })
    }

    /// As [`Pipeline::prepare_text_encoder`], for images.
    pub fn prepare_image_encoder(&self) -> Result<(), Error> {
        self.components.prepare(Requirement { image_encoder: true, ..Requirement::default() })
    }

    /// Whether the model, completed, has the prior that `settings` sample with.
    pub fn has_prior(&self, settings: &Settings) -> bool {
        let kind = self.requirement(Task::EMBEDDING, settings).prior;
        let components =
            kind.map_or_else(Vec::new, |kind| self.components.family().prior_components(kind));
        !components.is_empty()
            && components.iter().all(|component| self.components.folder(component).is_ok())
    }

    /// How many times the diffusion prior was prefilled: once for captions that are sampled again and again.
    pub fn prefills(&self) -> usize {
        self.prefills.get()
    }

    /// Whether a caption can say what an image should not show.
    pub fn takes_negative_captions(&self) -> bool {
        self.components.family().decodes_embeddings_alone()
    }

    /// The words of a caption that no training caption had, for models that know them.
    pub fn unknown_words(&self, caption: &str) -> Result<Vec<String>, Error> {
        if caption.is_empty() {
            return Ok(Vec::new());
        }
        match self.components.family().reads_captions() {
            true => Ok(self.components.stage_tokenizer(BASE)?.unknown_words(caption)),
            false => Ok(self.components.tokenizer()?.unknown_words(caption)),
        }
    }

    /// The words that training captions had, and for others the nearest of them, for models that know them.
    pub fn known_words(&self) -> Result<Option<KnownWords>, Error> {
        Ok(match self.components.family().reads_captions() {
            true => self.components.stage_tokenizer(BASE)?.known_words().cloned(),
            false => self.components.tokenizer()?.known_words().cloned(),
        })
    }

    /// The words at the end of a caption that do not fit into the model's context, where there are such.
    pub fn cut_off_words(&self, caption: &str) -> Result<Option<String>, Error> {
        if caption.is_empty() {
            return Ok(None);
        }
        let mut tokens = match self.components.family().reads_captions() {
            true => self.components.stage_tokenizer(BASE)?.encode(&[caption])?,
            false => self.components.tokenizer()?.encode(&[caption])?,
        };
        Ok(tokens.cut_off.pop().flatten())
    }

    /// The captions after the text encoder; an empty one is what guidance starts from. Captions that are encoded again at
    /// once are not computed again.
    pub fn encode_text(&self, captions: &[impl AsRef<str>]) -> Result<Text, Error> {
        let is_same = |before: &[String]| {
            before.len() == captions.len()
                && before.iter().zip(captions).all(|(one, other)| one == other.as_ref())
        };
        if let Some((before, text)) = &*self.encoded.borrow()
            && is_same(before)
        {
            return Ok(text.shallow_clone());
        }
        let text = self.encode_new_text(captions)?;
        let captions = captions.iter().map(|caption| caption.as_ref().to_owned()).collect();
        *self.encoded.borrow_mut() = Some((captions, text.shallow_clone()));
        Ok(text)
    }

    fn encode_new_text(&self, captions: &[impl AsRef<str>]) -> Result<Text, Error> {
        let tokens = self.components.tokenizer()?.encode(captions)?;
        let encoder = self.components.text_encoder()?;
        within_memory(|| {
            let encoding = encoder.forward(&tokens.ids.to_device(self.device));
            let norms = [&encoding.embedding, &encoding.states].map(norm);
            self.finite_norms(&norms, Quantity::Text, None)?;
            Ok(Text::new(encoding, tokens, self.device))
        })
    }

    /// The CLIP embeddings of images, `[B, E]`: the quantity that the prior learnt to sample.
    pub fn encode_images(&self, images: &[RgbImage]) -> Result<Tensor, Error> {
        let processor = self.components.image_processor()?;
        let encoder = self.components.image_encoder()?;
        within_memory(|| {
            let pixels = processor.preprocess(images)?;
            let pixels = Tensor::try_from(pixels).expect(PLANES); // [B, 3, H, W]
            let (_, _, height, width) = pixels.size4().expect("pixels are [B, 3, H, W]");
            self.components.check_size(ImageSize { width, height }, &encoder)?;
            let embedding = encoder.forward(&pixels.to_device(self.device).to_kind(self.kind));
            self.finite(embedding, Quantity::ImageEmbedding, None)
        })
    }

    /// The folder of the image encoder: in the model, or in what completes it.
    pub fn image_encoder_folder(&self) -> Result<weights::Folder, Error> {
        self.components.folder(self.components.clip()?.image_encoder)
    }

    /// The principal components of the image embeddings that the model was trained on, where it brings them.
    pub fn principal_components(&self) -> Result<Pca, Error> {
        self.components.principal_components()
    }

    /// The side of the images that the model samples, in pixels.
    pub fn side(&self) -> Result<u32, Error> {
        self.side_of(self.components.family().stages.len() - 1)
    }

    /// The side of the first stage's images, in pixels.
    pub fn base_side(&self) -> Result<u32, Error> {
        self.side_of(0)
    }

    fn side_of(&self, stage: usize) -> Result<u32, Error> {
        // The networks that were trained to inpaint may be all that there is.
        let missing = self.components.folder(self.components.stage(stage).network).is_err();
        let index = match missing && self.components.has_inpainting_stages() {
            true => stage + self.components.family().stages.len(),
            false => stage,
        };
        self.image_side(index)
    }

    /// The side in pixels of the images of the stage with this index, whose network may be one that inpaints.
    pub(crate) fn image_side(&self, index: usize) -> Result<u32, Error> {
        let size = self.components.network_config(index)?.sample_size;
        Ok((size * self.components.scale_factor(index)?) as u32)
    }

    /// Embeddings `[count, E]` without an image: what guidance compares with. Decoded, the caption alone says what is
    /// sampled.
    pub fn unconditional_embedding(&self, count: usize) -> Result<Tensor, Error> {
        if self.components.family().decodes_embeddings_alone() {
            return self.zero_image_embedding(count as i64);
        }
        let conditioning = self.components.conditioning(0)?;
        let embedding = conditioning.unconditional().unsqueeze(0); // [1, E]
        Ok(embedding.expand([count as i64, -1], false))
    }

    /// E, the width of the image embeddings that the decoder takes.
    pub fn embedding_width(&self) -> Result<i64, Error> {
        self.components.embedding_width()
    }

    /// Whether the model decodes image embeddings, which a prior samples of captions; else it samples of captions alone.
    pub fn decodes_embeddings(&self) -> bool {
        self.components.family().decodes_embeddings()
    }

    /// The names of the stages: the prior's, in models that decode embeddings, then in the order in which they sample images.
    pub fn stages(&self) -> impl Iterator<Item = &'static str> {
        let family = self.components.family();
        let prior = family.decodes_embeddings().then_some(crate::observer::PRIOR);
        prior.into_iter().chain(family.stages.iter().map(|stage| stage.name))
    }
}

/// A task of a model: the components that take part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Captions become image embeddings.
    pub prior: bool,
    /// Captions are encoded, also where no prior reads them.
    pub text: bool,
    /// Images become image embeddings.
    pub image_encoder: bool,
    /// The stages that sample images.
    pub stages: Stages,
    /// Whether they inpaint.
    pub inpaints: bool,
    /// Whether they draw by a hint.
    pub hint: bool,
}

/// The stages of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// No image is sampled.
    None,
    /// The base image alone.
    Base,
    /// All of them.
    All,
}

impl Task {
    /// Images of captions.
    pub const GENERATE: Self = Self {
        prior: true,
        text: false,
        image_encoder: false,
        stages: Stages::All,
        inpaints: false,
        hint: false,
    };
    /// Image embeddings of captions.
    pub const EMBEDDING: Self = Self { stages: Stages::None, ..Self::GENERATE };
    /// Images of image embeddings.
    pub const DECODE: Self = Self { prior: false, ..Self::GENERATE };
    /// Images of an image.
    pub const VARY: Self = Self { image_encoder: true, ..Self::DECODE };
    /// Images of an image and the difference of two captions.
    pub const EDIT: Self = Self { text: true, ..Self::VARY };
    /// The latents of an image.
    pub const INVERT: Self = Self { stages: Stages::Base, ..Self::VARY };
    /// Images of captions and of images.
    pub const MIXED: Self = Self { image_encoder: true, ..Self::GENERATE };
}
