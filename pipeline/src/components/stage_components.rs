//! The components of a stage that samples images, each opened when it is first needed.

use std::cell::OnceCell;

use autoencoder::Movq;
use clip::CaptionTokenizer;
use decoder::{Conditioning, ImageConditioning, TextTransformer, UNet, UNetConfig};
use diffusion::Distillation;
use families::{Condition, Mismatch, Stage, StageShapes, compatibility, glide};

use super::{Components, opened};
use crate::Error;
use crate::lease::{Lease, Slot};
use crate::stages::BASE;

/// The networks of a stage that samples images.
#[derive(Default)]
pub(super) struct StageSlots {
    conditioning: Slot<Conditioning>,
    image_conditioning: Slot<ImageConditioning>,
    hint_channels: OnceCell<i64>,
    network_config: OnceCell<UNetConfig>,
    scale_factor: OnceCell<i64>,
    text_encoder: Slot<TextTransformer>,
    network: Slot<UNet>,
    last_network: Slot<UNet>,
    student: Slot<UNet>,
    distillation: OnceCell<Option<Distillation>>,
    autoencoder: Slot<Movq>,
}

impl Components {
    /// A stage that samples images, by its place in their order.
    pub(crate) fn stage(&self, index: usize) -> Stage {
        self.family().stage(index)
    }

    pub(crate) fn conditioning(&self, index: usize) -> Result<Lease<'_, Conditioning>, Error> {
        let Condition::Embedding { projection } = self.stage(index).condition else {
            return Err(Error::NoEmbedding { family: self.family().name });
        };
        self.lease(&self.stages[index].conditioning, projection, families::open_conditioning)
    }

    /// The projections of image embeddings in the U-Net of a stage that takes nothing else.
    pub(crate) fn image_conditioning(
        &self,
        index: usize,
    ) -> Result<Lease<'_, ImageConditioning>, Error> {
        let (slot, network) = (&self.stages[index].image_conditioning, self.stage(index).network);
        self.lease(slot, network, families::open_image_conditioning)
    }

    /// The channels of a U-Net's input that the features of a hint take.
    pub(crate) fn hint_channels(&self, index: usize) -> Result<i64, Error> {
        if self.stage(index).condition != Condition::ImageEmbedding {
            return Ok(0);
        }
        let channels = || Ok(self.image_conditioning(index)?.config().hint_channels());
        opened(&self.stages[index].hint_channels, channels).copied()
    }

    /// E, the width of the image embeddings that the base stage takes.
    pub(crate) fn embedding_width(&self) -> Result<i64, Error> {
        Ok(match self.stage(BASE).condition {
            Condition::ImageEmbedding => self.image_conditioning(BASE)?.config().embedding,
            _ => self.conditioning(BASE)?.config().embedding,
        })
    }

    /// The autoencoder of a stage's latents, where it denoises such.
    pub(crate) fn autoencoder(&self, index: usize) -> Result<Option<Lease<'_, Movq>>, Error> {
        let Some(component) = self.stage(index).autoencoder else { return Ok(None) };
        self.lease(&self.stages[index].autoencoder, component, families::open_movq).map(Some)
    }

    /// The U-Net of a stage's steps.
    pub(crate) fn unet(&self, index: usize) -> Result<Lease<'_, UNet>, Error> {
        let (slot, Stage { network, condition, .. }) =
            (&self.stages[index].network, self.stage(index));
        match condition {
            Condition::None => self.lease(slot, network, families::open_upsampler),
            Condition::Embedding { .. } => self.lease(slot, network, families::open_decoder),
            Condition::ImageEmbedding => self.lease(slot, network, families::open_image_decoder),
            Condition::Caption { .. } => self.lease(slot, network, |folder, device, kind| {
                glide::open_unet(folder, network, device, kind)
            }),
        }
    }

    /// The shape of the U-Net of a stage's steps, which is opened for it once.
    pub(crate) fn network_config(&self, index: usize) -> Result<&UNetConfig, Error> {
        opened(&self.stages[index].network_config, || Ok(self.unet(index)?.config().clone()))
    }

    /// The pixels on the side of what a stage denoises: a pixel, or a latent of its autoencoder's.
    pub(crate) fn scale_factor(&self, index: usize) -> Result<i64, Error> {
        let scale = || Ok(self.autoencoder(index)?.map_or(1, |a| a.config().scale_factor()));
        opened(&self.stages[index].scale_factor, scale).copied()
    }

    /// The U-Net of a stage's last step, where that has one of its own.
    pub(crate) fn last_network(&self, index: usize) -> Result<Option<Lease<'_, UNet>>, Error> {
        let Some(network) = self.stage(index).last_network else { return Ok(None) };
        let slot = &self.stages[index].last_network;
        self.lease(slot, network, families::open_upsampler).map(Some)
    }

    /// The settings that a stage's distilled network samples with; none where the model has no such network.
    pub(crate) fn distillation(&self, index: usize) -> Result<Option<Distillation>, Error> {
        let read = || match self.stage(index).student.map(|student| self.folder(student)) {
            Some(Ok(folder)) => Ok(Some(families::read_distillation(&folder)?)),
            _ => Ok(None),
        };
        opened(&self.stages[index].distillation, read).copied()
    }

    /// The distilled network of a stage that has one. An error where its images are not those of its teacher.
    pub(crate) fn student(&self, index: usize) -> Result<Lease<'_, UNet>, Error> {
        let Stage { student, network, .. } = self.stage(index);
        let student = student.expect("a stage with a distilled network");
        let teacher = self.folder(network)?;
        let unet = self.lease(&self.stages[index].student, student, |folder, device, kind| {
            families::open_student(folder, &teacher, device, kind)
        })?;
        let (own, teachers) = (unet.config(), self.network_config(index)?);
        for (quantity, one, other) in [
            (compatibility::CHANNELS, own.in_channels, teachers.in_channels),
            (compatibility::OUTPUTS, own.out_channels, teachers.out_channels),
            (compatibility::SIZE, own.sample_size, teachers.sample_size),
            (compatibility::TIME, own.time_width(), teachers.time_width()),
        ] {
            if one != other {
                let (first, second) = (student, network);
                return Err(self.mismatch(Mismatch { first, second, quantity, one, other }));
            }
        }
        Ok(unet)
    }

    /// The tokenizer of a stage that reads captions; one for all of a model's stages.
    pub(crate) fn stage_tokenizer(&self, index: usize) -> Result<&CaptionTokenizer, Error> {
        opened(&self.stage_tokenizer, || {
            let length = self.stage_text_encoder(index)?.config().context_length;
            let (component, _) = self.stage_captions(index);
            let folder = self.folder(component)?;
            let tokenizer = self.family().open_caption_tokenizer(&folder, component)?;
            Ok(tokenizer.with_context_length(length as usize)?)
        })
    }

    /// The text transformer of a stage that reads captions.
    pub(crate) fn stage_text_encoder(
        &self,
        index: usize,
    ) -> Result<Lease<'_, TextTransformer>, Error> {
        let (_, component) = self.stage_captions(index);
        self.lease(&self.stages[index].text_encoder, component, |folder, device, kind| {
            glide::open_text_transformer(folder, component, device, kind)
        })
    }

    /// The folders of the tokenizer and of the text transformer of a stage that reads captions.
    fn stage_captions(&self, index: usize) -> (&'static str, &'static str) {
        match self.stage(index).condition {
            Condition::Caption { tokenizer, text_encoder } => (tokenizer, text_encoder),
            _ => unreachable!("a stage that reads no captions has no text transformer"),
        }
    }

    /// The shapes of a stage's components.
    pub(super) fn stage_shapes(&self, index: usize) -> Result<StageShapes, Error> {
        let stage = self.stage(index);
        let mut shapes = StageShapes::default();
        match stage.condition {
            Condition::None => {}
            Condition::Embedding { .. } => {
                shapes.conditioning = Some(self.conditioning(index)?.config().clone());
            }
            Condition::ImageEmbedding => {
                let conditioning = self.image_conditioning(index)?;
                shapes.image_conditioning = Some(conditioning.config().clone());
            }
            Condition::Caption { .. } => {
                shapes.text_encoder = Some(self.stage_text_encoder(index)?.config().clone());
                shapes.tokenizer = Some(self.stage_tokenizer(index)?.into());
            }
        }
        let last_network = self.last_network(index)?;
        let autoencoder = self.autoencoder(index)?;
        Ok(StageShapes {
            autoencoder: autoencoder.map(|network| network.config().clone()),
            scheduler: Some(self.scheduler(stage.scheduler)?),
            network: Some(self.unet(index)?.config().clone()),
            last_network: last_network.map(|network| network.config().clone()),
            ..shapes
        })
    }
}
