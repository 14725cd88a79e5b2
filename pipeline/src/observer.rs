//! Observers: see each step of a request, may ask for a preview, and can stop it.

use std::ops::ControlFlow;

use images::RgbImage;
use tch::Tensor;

use crate::image_tensors::to_images;

/// The stage that samples the image embedding, in [`Step::stage`].
pub const PRIOR: &str = "prior";

/// A step of diffusion that has been taken, or a code that the autoregressive prior has sampled.
pub struct Step<'a> {
    /// The stage's name: [`PRIOR`], or the name that the model's family gives it.
    pub stage: &'a str,
    /// The stage's place in the order of stages: 0 for the prior, then the stages that sample images.
    pub index: usize,
    /// Steps that have been taken, this one included.
    pub done: usize,
    /// Steps that the stage takes.
    pub steps: usize,
    /// Images that are sampled together.
    pub batch: usize,
    /// The predicted clean images or latents `[B, C, H, W]`; `None` where embeddings are sampled.
    pub(crate) x_0: Option<&'a Tensor>,
    /// From predicted latents to images, where the stage denoises latents.
    pub(crate) decode: Option<&'a LatentDecoder<'a>>,
}

/// From latents `[B, C, h, w]` to images `[B, 3, H, W]`; `None` where there is no memory for it.
pub(crate) type LatentDecoder<'a> = dyn Fn(&Tensor) -> Option<Tensor> + 'a;

impl Step<'_> {
    /// The images that the stage would end at if its prediction were exact, one for each image of the batch; `None` for the
    /// prior. Converted when it is called, at the stage's own size; latents are decoded.
    pub fn preview(&self) -> Option<Vec<RgbImage>> {
        match self.decode {
            Some(decode) => decode(self.x_0?).as_ref().map(to_images),
            None => self.x_0.map(to_images),
        }
    }
}

/// An observer of the steps of a request.
pub trait Observer {
    /// Called after every step of every stage. With `Break` nothing more is sampled, and the request ends in
    /// [`Error::Stopped`](crate::Error::Stopped).
    fn step(&mut self, step: Step<'_>) -> ControlFlow<()>;
}

/// Every function of a step is an observer.
impl<F: FnMut(Step<'_>) -> ControlFlow<()>> Observer for F {
    fn step(&mut self, step: Step<'_>) -> ControlFlow<()> {
        self(step)
    }
}

/// Observes nothing.
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: Step<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
