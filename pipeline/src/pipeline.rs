//! The chain from a caption to a picture.

use std::cell::OnceCell;

use families::{ImageSize, ModelFolders, Requirement, Shapes};
use graphs::{CudaGraphs, Recorder};
use image::RgbImage;
use layers::finite::norm;
use noise::Generator;
use prior::Pca;
use tch::{Device, Kind, Tensor};

use crate::memory::within_memory;
use crate::parts::Parts;
use crate::settings::{Settings, Stage, check_caption};
use crate::tasks::Use;
use crate::{Error, Quantity, Text, to_pictures};

/// Told, after each step, the stage, the steps that are done and the steps that there are.
pub type Progress<'a> = dyn FnMut(Stage, usize, usize) + 'a;

/// A model that draws pictures from captions (2204.06125, section 2).
///
/// Its stages take batches; each picture of a batch brings a noise stream of its own, which the stages draw from in
/// turn. Parts are opened when a stage first needs them, and kept unless [`Pipeline::low_memory`] says otherwise. The
/// networks compute in the pipeline's kind of numbers, what is between them in f32.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    /// The empty caption, which guidance starts from.
    pub(crate) empty: OnceCell<Text>,
    /// What records the steps of diffusion, which are run again and again.
    pub(crate) recorder: Option<Box<dyn Recorder>>,
}

impl Pipeline {
    /// A pipeline over `folders` whose networks compute in `kind` on `device`. An error for f16 on the CPU.
    pub fn open(folders: ModelFolders, device: Device, kind: Kind) -> Result<Self, Error> {
        if kind == Kind::Half && device == Device::Cpu {
            return Err(Error::HalfOnCpu);
        }
        Ok(Self {
            parts: Parts::new(folders, device, kind),
            device,
            kind,
            empty: OnceCell::new(),
            recorder: match device {
                Device::Cuda(device) => Some(Box::new(CudaGraphs { device })),
                _ => None,
            },
        })
    }

    /// The same, but no network outlives the stage that works with it: of all of them no more than the largest lies in memory
    /// at once, and each picture opens them anew. The pictures are the same.
    pub fn low_memory(self) -> Self {
        self.parts.drop_after_use();
        self
    }

    /// The same with steps recorded by `recorder`, or by none: on a GPU they become CUDA graphs without being asked for.
    pub fn with_recorder(self, recorder: Option<Box<dyn Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// What the model's makers draw with.
    pub fn defaults(&self) -> Result<Settings, Error> {
        self.parts.defaults()
    }

    /// Refuses settings that this model cannot be run with, opens every part that a task needs, and checks that the
    /// parts fit each other, so that nothing is refused later, in the middle of the work.
    pub fn prepare(&self, uses: &[Use], settings: &Settings) -> Result<(), Error> {
        settings.check()?;
        let prior = uses.contains(&Use::Prior);
        let requirement = Requirement {
            text: true,
            prior: prior.then(|| settings.prior_kind()),
            image_encoder: uses.contains(&Use::ImageEncoder) || settings.candidates > 1,
            stages: 2,
        };
        self.parts.prepare(requirement, settings)
    }

    /// As [`Pipeline::prepare`] for [`Pipeline::draw_embedding`] alone: nothing is decoded.
    pub fn prepare_prior(&self, settings: &Settings) -> Result<(), Error> {
        settings.check()?;
        let requirement = Requirement {
            text: true,
            prior: Some(settings.prior_kind()),
            ..Requirement::default()
        };
        self.parts.prepare(requirement, settings)
    }

    /// As [`Pipeline::prepare`] for [`Pipeline::invert`] alone: nothing is enlarged.
    pub fn prepare_inversion(&self, settings: &Settings) -> Result<(), Error> {
        settings.check()?;
        let requirement = Requirement { text: true, prior: None, image_encoder: true, stages: 1 };
        self.parts.prepare(requirement, settings)
    }

    /// The words of a caption that no training caption had, for models that tell them.
    pub fn unknown_words(&self, caption: &str) -> Result<Vec<String>, Error> {
        Ok(self.parts.tokenizer()?.unknown_words(caption))
    }

    /// One picture a seed. The same caption, seed and settings give the same picture, whatever is drawn beside it.
    pub fn generate(
        &self,
        caption: &str,
        seeds: &[u64],
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<Vec<RgbImage>, Error> {
        check_caption(caption)?;
        self.prepare(&[Use::Prior], settings)?;
        let text = self.encode_text(&[caption])?;
        seeds.iter().map(|&seed| self.draw(&text, seed, settings, progress)).collect()
    }

    /// Variations of a picture, one a seed, as diffusers' image-variation pipeline draws them (section 3.1): its CLIP
    /// embedding goes to the decoder with an empty caption, and the prior takes no part.
    pub fn vary(
        &self,
        picture: &RgbImage,
        seeds: &[u64],
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<Vec<RgbImage>, Error> {
        let settings = settings.without_prior();
        self.prepare(&[Use::ImageEncoder], &settings)?;
        let embedding = self.encode_pictures(std::slice::from_ref(picture))?; // [1, E]
        let text = self.encode_text(&[""])?;
        seeds
            .iter()
            .map(|&seed| self.draw_from(&embedding, &text, seed, &settings, progress))
            .collect()
    }

    /// The picture of one caption (`B = 1`) and one seed: the prior, the decoder and the upsampler in turn.
    pub fn draw(
        &self,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        self.finish(None, text, seed, settings, progress)
    }

    /// The picture of an image embedding `[1, E]`, a caption (`B = 1`) and one seed: the decoder and the upsampler in turn.
    pub fn draw_from(
        &self,
        embedding: &Tensor,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        self.finish(Some(embedding), text, seed, settings, progress)
    }

    fn finish(
        &self,
        embedding: Option<&Tensor>,
        text: &Text,
        seed: u64,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Result<RgbImage, Error> {
        within_memory(|| {
            let streams = &mut [Generator::new(seed)];
            let small = self.draw_small(embedding, text, settings, streams, progress)?;
            let large = self.upsample(&small, settings, streams, progress)?;
            Ok(to_pictures(&large).remove(0))
        })
    }

    /// The captions as the networks read them; an empty one is what guidance starts from.
    pub fn encode_text(&self, captions: &[impl AsRef<str>]) -> Result<Text, Error> {
        let tokens = self.parts.tokenizer()?.encode(captions)?;
        let encoder = self.parts.text_encoder()?;
        within_memory(|| {
            let encoding = encoder.forward(&tokens.ids.to_device(self.device));
            let norms = [&encoding.embedding, &encoding.states].map(norm);
            self.finite_norms(&norms, Quantity::Text, None)?;
            Ok(Text {
                embedding: encoding.embedding,
                states: encoding.states,
                mask: tokens.mask.to_device(self.device),
                cut_off: tokens.cut_off,
            })
        })
    }

    /// The CLIP embeddings of pictures, `[B, E]`: what the prior learnt to draw.
    pub fn encode_pictures(&self, pictures: &[RgbImage]) -> Result<Tensor, Error> {
        let processor = self.parts.image_processor()?;
        let encoder = self.parts.image_encoder()?;
        within_memory(|| {
            let pixels = processor.process(pictures)?; // [B, 3, H, W]
            let (_, _, height, width) = pixels.size4().expect("pixels are [B, 3, H, W]");
            self.parts.check(&Shapes {
                image_processor: Some(ImageSize { width, height }),
                image_encoder: Some(encoder.config().clone()),
                ..Shapes::default()
            })?;
            let embedding = encoder.forward(&pixels.to_device(self.device).to_kind(self.kind));
            self.finite(embedding, Quantity::ImageEmbedding, None)
        })
    }

    /// Where the image encoder lies: in the model, or in what completes it.
    pub fn image_encoder_folder(&self) -> Result<weights::Folder, Error> {
        self.parts.folder("image_encoder")
    }

    /// The principal components of the image embeddings that the model was trained on, where it brings them.
    pub fn principal_components(&self) -> Result<Pca, Error> {
        self.parts.principal_components()
    }

    /// The side of the pictures that the model draws, in pixels.
    pub fn side(&self) -> Result<u32, Error> {
        Ok(self.parts.upsampler_last()?.config().sample_size as u32)
    }

    /// The side of the decoder's pictures, in pixels.
    pub fn base_side(&self) -> Result<u32, Error> {
        Ok(self.parts.decoder()?.config().sample_size as u32)
    }

    /// Embeddings `[count, E]` that say nothing of a picture: what guidance compares with. Decoded, the caption alone says
    /// what is drawn.
    pub fn no_embedding(&self, count: usize) -> Result<Tensor, Error> {
        let conditioning = self.parts.conditioning()?;
        let nothing = conditioning.unconditional().unsqueeze(0); // [1, E]
        Ok(nothing.expand([count as i64, -1], false))
    }

    /// E, the width of the image embeddings that the decoder takes.
    pub fn embedding_width(&self) -> Result<i64, Error> {
        Ok(self.parts.conditioning()?.config().embedding)
    }
}
