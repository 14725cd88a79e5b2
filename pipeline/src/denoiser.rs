//! Denoisers over the stages' U-Nets, and the channels that these take beside the noised image.

use decoder::{Conditions, StepConditions, UNet};
use diffusion::{Output, Step as DiffusionStep, Variance};
use kernels::channels_last;
use tch::{Device, Kind, Tensor, no_grad};

use crate::inpainting::KnownPixels;
use crate::lease::{Lease, Network};
use crate::stages::{BASE, StageInput};
use crate::{Error, Pipeline};

impl Pipeline {
    /// A denoiser over the decoder for these `steps`, of image embeddings `[B, E]` and an empty caption. Guided, it expects the batch
    /// twice, `[2B, ..]`, the unconditional half first; or once, the conditional half, at a step without guidance.
    pub(crate) fn decoder_denoiser<'a>(
        &'a self,
        embedding: &Tensor,
        guided: bool,
        steps: &[DiffusionStep],
    ) -> Result<impl FnMut(&Tensor, DiffusionStep) -> Output + use<'a>, Error> {
        self.check_hint(false)?;
        let count = embedding.size()[0];
        let text = match self.components.family().decodes_embeddings_alone() {
            true => None,
            false => Some(self.encode_text(&[""])?.expand(count)),
        };
        let input =
            StageInput { embedding: Some(embedding), text: text.as_ref(), ..StageInput::default() };
        // They are computed first: what they need is closed before the U-Net is open.
        let conditions = self.conditions(BASE, input, count, guided)?;
        let unet = self.components.unet(BASE)?;
        let learned = self.learns_variance(BASE)?;
        let shape = self.image_shape(BASE)?;
        let channels = self.input_channels(BASE, shape, None, input, count)?;
        let batch = count * if guided { 2 } else { 1 };
        let mut denoise = no_grad(|| self.denoiser(unet, steps, batch, conditions.as_ref()));
        Ok(move |x: &Tensor, step: DiffusionStep| {
            output_of(&denoise(&with_channels(x, &channels), step), shape[0], learned)
        })
    }

    pub(crate) fn learns_variance(&self, index: usize) -> Result<bool, Error> {
        let scheduler = self.components.scheduler(self.components.stage(index).scheduler)?;
        Ok(scheduler.variance == Variance::LearnedRange)
    }

    /// The channels of a stage's input beside the noised image's of this `shape [C, h, w]`, `[B, .., h, w]` each: the known part
    /// of an image with its mask, or zeros where nothing is known, for a network that takes them; the features of hints; and
    /// the enlarged image of the stage before.
    pub(crate) fn input_channels(
        &self,
        index: usize,
        [channels, height, width]: [i64; 3],
        known: Option<&KnownPixels>,
        input: StageInput,
        batch: i64,
    ) -> Result<Vec<Tensor>, Error> {
        let stage = self.components.stage(index);
        let mut inputs = match (stage.inpaints(self.components.network_config(index)?), known) {
            (false, _) => Vec::new(),
            (true, Some(known)) => known.channels(),
            (true, None) => {
                let shape = [batch, channels + 1, height, width];
                vec![Tensor::zeros(shape, (Kind::Float, self.device))]
            }
        };
        inputs.extend(input.hints.map(Tensor::shallow_clone));
        if let Some((upsampling, images)) = stage.upsampling.zip(input.previous) {
            let images = match upsampling.rounds {
                true => ((images + 1.0) * 127.5).round() / 127.5 - 1.0,
                false => images.clamp(-1.0, 1.0),
            };
            inputs.push(upsampling.interpolation.enlarge(&images, height));
        }
        Ok(inputs)
    }

    /// A denoiser over a U-Net for the `steps` of `batch` images, or of the last of them: from `x [B, ..]` at one of the
    /// steps to the network's output, in f32. What does not depend on x is computed once.
    pub(crate) fn denoiser<'a>(
        &'a self,
        unet: Lease<'a, UNet>,
        steps: &[DiffusionStep],
        batch: i64,
        conditions: Option<&Conditions>,
    ) -> impl FnMut(&Tensor, DiffusionStep) -> Tensor + use<'a> {
        let timesteps: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
        let precomputed = {
            let timesteps = Tensor::from_slice(&timesteps).to_device(self.device);
            let timesteps = timesteps.repeat_interleave_self_int(batch, 0, None);
            unet.precompute(&timesteps, conditions, self.kind)
        };
        move |x, step| {
            let n = timesteps.iter().position(|&timestep| timestep == step.timestep);
            let conditions = precomputed.at_step(n.expect("one of the steps"), batch, x.size()[0]);
            let x = x.to_kind(self.kind);
            // The CPU's convolutions of halves sum over a pixel's channels.
            let x = match (self.device, self.kind) {
                (Device::Cpu, Kind::BFloat16) => channels_last(&x),
                _ => x,
            };
            self.output(&unet, x, conditions).to_kind(Kind::Float)
        }
    }

    fn output(&self, unet: &Network<UNet>, x: Tensor, conditions: StepConditions) -> Tensor {
        match &self.graphs {
            None => unet.denoise(&x, &conditions),
            Some(graphs) => {
                let inputs: Vec<Tensor> = [x].into_iter().chain(conditions.tensors()).collect();
                unet.graph.run(&**graphs, &inputs, &|inputs| {
                    unet.denoise(&inputs[0], &conditions.with_tensors(&inputs[1..]))
                })
            }
        }
    }
}

/// The output of a network that predicts so many `channels`, with or without a learned variance beside them; one that the
/// scheduler does not ask for is passed over.
pub(crate) fn output_of(output: &Tensor, channels: i64, learned: bool) -> Output {
    match learned {
        true => Output::with_variance(output),
        false => Output::plain(output.narrow(1, 0, channels)),
    }
}

/// `x [B, C, H, W]` beside further channels `[b, .., H, W]`, which are repeated where the batch is there twice.
pub(crate) fn with_channels(x: &Tensor, channels: &[Tensor]) -> Tensor {
    if channels.is_empty() {
        return x.shallow_clone();
    }
    let repeated = channels.iter().map(|c| match x.size()[0] / c.size()[0] {
        1 => c.shallow_clone(),
        times => c.repeat([times, 1, 1, 1]),
    });
    let all: Vec<Tensor> = [x.shallow_clone()].into_iter().chain(repeated).collect();
    Tensor::cat(&all, 1)
}
