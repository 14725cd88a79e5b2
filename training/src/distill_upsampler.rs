//! Distils the upsampler: a student that enlarges the base image in few steps, or in one (2202.00512).

use std::path::Path;

use decoder::UNet;
use families::karlo;
use layers::Params;
use tch::Device;

use crate::data::{SampleRequest, Stream, StreamBatch};
use crate::distillation::{DistillationBatch, Distiller, build_student, settings};
use crate::init_from::Component;
use crate::recipe::UpsamplerRecipe;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::train_upsampler::{UpsamplerObjective, crops};
use crate::trainer::{UPSAMPLER_DISTILLATION_SUBSET, request};
use crate::{Error, Trainer};

struct UpsamplerDistillation<'a> {
    distiller: Distiller<'a>,
    /// Images of the full size, with the noise of [`UpsamplerObjective::noise`].
    stream: Stream,
    /// The base image's side.
    base: i64,
    /// The crops, and how the base image is corrupted.
    recipe: &'a UpsamplerRecipe,
    device: Device,
}

impl Objective for UpsamplerDistillation<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.distiller.recipe.run.accumulate, |weight| self.micro_batch(weight))
    }
}

impl UpsamplerDistillation<'_> {
    fn micro_batch(&self, weight: f64) -> Result<Loss, Error> {
        let StreamBatch { batch, noise, mut generators } = self.stream.next_batch()?;
        let images = batch.images.to_device(self.device);
        let (clean, low, eps) = crops(&images, &noise, self.base, self.recipe, &mut generators);
        let batch = DistillationBatch {
            clean: &clean,
            eps: &eps,
            channels: Some(&low),
            conditions: None,
            guided_conditions: None,
        };
        Ok(self.distiller.backward(&batch, &mut generators, weight))
    }
}

impl Trainer {
    /// Distils the upsampler of the model that is written, and writes the student beside it.
    pub fn distill_upsampler(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("upsampler_distillation")?;
        let recipe = self.recipe.upsampler_distillation()?;
        let upsampler = &self.recipe.upsampler;
        let run = self.run("upsampler_distillation", &recipe.run, &[karlo::UPSAMPLER])?;
        let placement = (self.device, self.kind);
        let folder = self.component(karlo::UPSAMPLER)?;
        let fingerprint = folder.fingerprint()?;
        let teacher = families::open_upsampler(&folder, self.device, self.kind)?;
        let unet = teacher.config().clone();
        let component = Component { prefix: "", folder: karlo::UPSAMPLER };
        let build = |p: &Params| UNet::new(p, &unet);
        let model = weights::Folder::open(&self.model)?;
        let (student, optimizer) = build_student(&model, component, recipe, placement, build)?;
        let save = |folder: &Path, averaged: &Weights| {
            let component = folder.join(karlo::DISTILLED_UPSAMPLER);
            families::save_student(&component, averaged, &unet, &settings(recipe), &fingerprint)?;
            self.save_index(folder, None)
        };
        let scheduler = families::open_scheduler(&self.component(karlo::UPSAMPLER_SCHEDULER)?)?;
        let distiller =
            Distiller::new(teacher, student, scheduler, recipe, self.kind, self.device)?;
        self.train(run, optimizer, observer, save, |step| {
            let base = self.recipe.decoder.unet.sample_size;
            let request = SampleRequest {
                noise: UpsamplerObjective::noise(upsampler, base),
                ..request(UPSAMPLER_DISTILLATION_SUBSET, unet.sample_size, &recipe.run)
            };
            let stream = self.stream(request, &recipe.run, step);
            let device = self.device;
            Ok(UpsamplerDistillation { distiller, stream, base, recipe: upsampler, device })
        })
    }
}
