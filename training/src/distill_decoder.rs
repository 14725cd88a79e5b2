//! Distils the decoder: a student that draws the base image in few steps, without guidance (2202.00512, 2210.03142).

use std::path::Path;

use decoder::{Conditioning, UNet};
use families::karlo;
use layers::Params;

use crate::data::{Batch, SampleRequest, Stream, StreamBatch, to_signed};
use crate::distillation::{DistillationBatch, Distiller, build_student, settings};
use crate::encoders::{FrozenImageEncoder, FrozenTextEncoder};
use crate::init_from::Component;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::trainer::{DECODER_DISTILLATION_SUBSET, request};
use crate::{Error, Trainer};

/// The components that a student of the decoder learns from.
const UPSTREAM: &[&str] =
    &["tokenizer", "text_encoder", "image_encoder", karlo::CONDITIONING, karlo::DECODER];

struct DecoderDistillation<'a> {
    distiller: Distiller<'a>,
    conditioning: Conditioning,
    text_encoder: FrozenTextEncoder,
    image_encoder: FrozenImageEncoder,
    /// Images at least as large as the decoder's and the image encoder's, with noise of the decoder's size.
    stream: Stream,
}

impl Objective for DecoderDistillation<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.distiller.recipe.run.accumulate, |weight| self.micro_batch(weight))
    }
}

impl DecoderDistillation<'_> {
    fn micro_batch(&self, weight: f64) -> Result<Loss, Error> {
        let StreamBatch { batch, noise: eps, mut generators } = self.stream.next_batch()?;
        let Batch { images, captions, .. } = batch;
        let device = self.text_encoder.device;
        let none = generators.dropout_mask(0.0);
        let texts = self.text_encoder.encode(&captions, &none)?;
        let embedding = self.image_encoder.encode(&images); // [B, E]
        let conditions =
            self.conditioning.forward(&embedding, &texts.embedding, &texts.states, &texts.mask);
        let guided = match self.distiller.recipe.guidance_scale {
            Some(_) => {
                let empty = self.text_encoder.encode(&captions, &generators.dropout_mask(1.0))?;
                let learned = self.conditioning.unconditional().unsqueeze(0);
                let unconditional = self.conditioning.forward(
                    &learned.expand_as(&embedding),
                    &empty.embedding,
                    &empty.states,
                    &empty.mask,
                );
                Some(unconditional.followed_by(&conditions))
            }
            None => None,
        };
        let clean =
            to_signed(&images.to_device(device), self.distiller.student.config().sample_size);
        let eps = eps.view_as(&clean).to_device(device);
        let batch = DistillationBatch {
            clean: &clean,
            eps: &eps,
            channels: None,
            conditions: Some(&conditions),
            guided_conditions: guided.as_ref(),
        };
        Ok(self.distiller.backward(&batch, &mut generators, weight))
    }
}

impl Trainer {
    /// Distils the decoder of the model that is written, and writes the student beside it.
    pub fn distill_decoder(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("decoder_distillation")?;
        let recipe = self.recipe.decoder_distillation()?;
        let unet = &self.recipe.decoder.unet;
        let (text_encoder, image_encoder) = (self.text_encoder()?, self.image_encoder()?);
        let size = image_encoder.size().max(unet.sample_size);
        let run = self.run("decoder_distillation", &recipe.run, UPSTREAM)?;
        let placement = (self.device, self.kind);
        let folder = self.component(karlo::DECODER)?;
        let fingerprint = folder.fingerprint()?;
        let teacher = families::open_decoder(&folder, self.device, self.kind)?;
        let conditioning = families::open_conditioning(
            &self.component(karlo::CONDITIONING)?,
            self.device,
            self.kind,
        )?;
        let component = Component { prefix: "", folder: karlo::DECODER };
        let build = |p: &Params| UNet::new(p, teacher.config());
        let model = weights::Folder::open(&self.model)?;
        let (student, optimizer) = build_student(&model, component, recipe, placement, build)?;
        let unet = teacher.config().clone();
        let save = |folder: &Path, averaged: &Weights| {
            let component = folder.join(karlo::DISTILLED_DECODER);
            families::save_student(&component, averaged, &unet, &settings(recipe), &fingerprint)?;
            self.save_index(folder, None)
        };
        let scheduler = families::open_scheduler(&self.component(karlo::DECODER_SCHEDULER)?)?;
        let distiller =
            Distiller::new(teacher, student, scheduler, recipe, self.kind, self.device)?;
        self.train(run, optimizer, observer, save, |step| {
            let noise = 3 * unet.sample_size.pow(2) as usize;
            let request =
                SampleRequest { noise, ..request(DECODER_DISTILLATION_SUBSET, size, &recipe.run) };
            let stream = self.stream(request, &recipe.run, step);
            Ok(DecoderDistillation { distiller, conditioning, text_encoder, image_encoder, stream })
        })
    }
}
