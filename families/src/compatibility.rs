//! Compatibility: the quantities that two components of one model must agree in.

use std::fmt;

use diffusion::{SchedulerConfig, Variance};

use crate::{Condition, Family, PublishedSampler, Shapes, Stage, StageShapes};

/// The width of a CLIP embedding.
pub const EMBEDDING: &str = "the width of an embedding";
/// The width of the text encoder's states.
pub const STATE: &str = "the width of a text state";
/// The tokens of a caption.
pub const LENGTH: &str = "the length of a caption";
/// The tokens that there are.
pub const TOKENS: &str = "the number of tokens";
/// The channels that a network answers with.
pub const OUTPUTS: &str = "the number of outputs";
/// The width of a U-Net's time embedding.
pub const TIME: &str = "the width of the time embedding";
/// The width of the states that a U-Net attends to.
pub const CONTEXT: &str = "the width of the context";
/// The channels of an image.
pub const CHANNELS: &str = "the number of channels";
/// The channels of an upsampler's input: the noised image beside the enlarged one, and beside the known part of an image with
/// its mask where it inpaints.
pub const TWO_IMAGES: &str = "the number of channels of two pictures";
/// The timesteps of a diffusion.
pub const TIMESTEPS: &str = "the number of timesteps";
/// The side of an image.
pub const SIZE: &str = "the size of a picture";
/// The width and the height of an image, which may depend on the image.
pub const SIDES: [&str; 2] = ["the width of a picture", "the height of a picture"];

/// A quantity that differs in two components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The folder of the component that comes first in the chain.
    pub first: &'static str,
    /// The folder of the other one.
    pub second: &'static str,
    /// The quantity that should be equal, one of this module's.
    pub quantity: &'static str,
    /// Its value in the first.
    pub one: i64,
    /// Its value in the second.
    pub other: i64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { first, second, quantity, one, other } = self;
        write!(
            f,
            "{first} and {second} do not fit each other: {quantity} is {one} in the first and {other} in the second"
        )
    }
}

/// Fails with the first two components that do not fit each other; a component that is not there fits all.
pub fn check(shapes: &Shapes, family: &Family) -> Result<(), Mismatch> {
    mismatches(shapes, family).into_iter().next().map_or(Ok(()), Err)
}

/// Everything that sets components apart, in the order in which they work.
pub fn mismatches(shapes: &Shapes, family: &Family) -> Vec<Mismatch> {
    let mut found = Mismatches::default();
    let (tokenizer, text) = (shapes.tokenizer, shapes.text_encoder.as_ref());
    let clip = family.clip.unwrap_or_default();
    let tokens = value(clip.tokenizer, tokenizer.map(|t| t.vocab_size));
    let length = value(clip.tokenizer, tokenizer.map(|t| t.context_length));
    found.at_most(TOKENS, tokens, value(clip.text_encoder, text.map(|t| t.vocab_size)));
    found.at_most(LENGTH, length, value(clip.text_encoder, text.map(|t| t.context_length)));

    let embedding = value(clip.text_encoder, text.map(|t| t.embedding));
    let state = value(clip.text_encoder, text.map(|t| t.width));
    let stages = || family.stages.iter().chain(&family.inpainting_stages).zip(&shapes.stages);
    let conditioned: Vec<Value> = stages().filter_map(conditioned_embedding).collect();
    let diffusion = shapes.prior.as_ref().map(|p| [p.context_length, p.embedding, p.text_width]);
    let autoregressive = shapes.autoregressive_prior.as_ref();
    let autoregressive = autoregressive.map(|p| [p.context_length, p.embedding, p.text_width]);
    let priors = [
        (family.prior.map(|prior| prior.network), diffusion),
        (family.autoregressive_prior, autoregressive),
    ];
    for (component, shape) in priors.into_iter().filter_map(|(name, shape)| name.zip(shape)) {
        let [prior_length, prior_embedding, prior_state] =
            shape.map(|number| value(component, Some(number)));
        found.equal(LENGTH, length, prior_length);
        found.equal(EMBEDDING, embedding, prior_embedding);
        found.equal(STATE, state, prior_state);
        conditioned.iter().for_each(|c| found.equal(EMBEDDING, prior_embedding, *c));
    }

    let image = shapes.image_encoder.as_ref();
    let side = value(clip.image_encoder, image.map(|i| i.image_size()));
    let size = shapes.image_processor;
    let [width, height] = [size.map(|s| s.width), size.map(|s| s.height)];
    found.equal(SIDES[0], value(clip.image_processor, width), side);
    found.equal(SIDES[1], value(clip.image_processor, height), side);
    let image_embedding = value(clip.image_encoder, image.map(|i| i.embedding()));
    conditioned.iter().for_each(|c| found.equal(EMBEDDING, image_embedding, *c));

    if let (Some(names), Some(prior)) = (family.prior, &shapes.prior) {
        let scheduler = shapes.prior_scheduler.as_ref();
        let outputs = scheduler.map(|scheduler| outputs(scheduler, prior.embedding));
        let embedding = value(names.network, Some(prior.embedding));
        found.equal(OUTPUTS, value(names.scheduler, outputs), embedding);
    }
    let mut previous = None;
    for (stage, shapes) in stages() {
        let before = previous.take().filter(|_| stage.upsampling.is_some());
        found.stage(stage, shapes, Text { embedding, state }, before);
        let network = shapes.network.as_ref();
        let of = |number| value(stage.network, number);
        previous = Some(Previous {
            channels: of(shapes.image_channels(stage)),
            size: of(network.map(|network| network.sample_size)),
        });
    }
    found.equal(EMBEDDING, embedding, image_embedding);
    found.noised_clip(shapes, family);
    found.0
}

/// A quantity's value in a component, where that is there.
#[derive(Clone, Copy)]
struct Value {
    component: &'static str,
    number: Option<i64>,
}

fn value(component: &'static str, number: Option<i64>) -> Value {
    Value { component, number }
}

/// The images that the stage before gives.
struct Previous {
    channels: Value,
    size: Value,
}

/// The widths that the text encoder gives.
struct Text {
    embedding: Value,
    state: Value,
}

/// The embedding that a decoder is conditioned on.
fn conditioned_embedding((stage, shapes): (&Stage, &StageShapes)) -> Option<Value> {
    match stage.condition {
        Condition::Embedding { projection } => {
            Some(value(projection, shapes.conditioning.as_ref().map(|c| c.embedding)))
        }
        Condition::ImageEmbedding => {
            Some(value(stage.network, shapes.image_conditioning.as_ref().map(|c| c.embedding)))
        }
        _ => None,
    }
}

#[derive(Default)]
struct Mismatches(Vec<Mismatch>);

impl Mismatches {
    fn equal(&mut self, quantity: &'static str, first: Value, second: Value) {
        self.compare(quantity, first, second, i64::eq);
    }

    fn at_most(&mut self, quantity: &'static str, first: Value, second: Value) {
        self.compare(quantity, first, second, i64::le);
    }

    fn compare(
        &mut self,
        quantity: &'static str,
        first: Value,
        second: Value,
        fits: fn(&i64, &i64) -> bool,
    ) {
        if let (Some(one), Some(other)) = (first.number, second.number)
            && !fits(&one, &other)
        {
            let (first, second) = (first.component, second.component);
            self.0.push(Mismatch { first, second, quantity, one, other });
        }
    }

    /// Compares a stage's components with each other, with the text encoder, and with the channels of the stage before.
    fn stage(
        &mut self,
        stage: &Stage,
        shapes: &StageShapes,
        text: Text,
        previous: Option<Previous>,
    ) {
        let network = shapes.network.as_ref();
        let channels = shapes.image_channels(stage);
        let scheduled = shapes.scheduler.as_ref().zip(channels);
        let scheduled = scheduled.map(|(scheduler, channels)| outputs(scheduler, channels));
        let scheduled = value(stage.scheduler, scheduled);
        let of = |number| value(stage.network, number);
        let attended = |n: &decoder::UNetConfig| {
            n.attention.as_ref().map_or(0, |attention| attention.context_width)
        };
        let (time, context) = (of(network.map(|n| n.time_width())), of(network.map(attended)));
        match stage.condition {
            Condition::None | Condition::ImageEmbedding => {}
            Condition::Embedding { projection } => {
                let conditioning = shapes.conditioning.as_ref();
                let width = |number| value(projection, number);
                let embedding = width(conditioning.map(|c| c.embedding));
                self.equal(EMBEDDING, text.embedding, embedding);
                self.equal(STATE, text.state, width(conditioning.map(|c| c.text_width)));
                self.equal(TIME, width(conditioning.map(|c| c.time_width)), time);
                self.equal(CONTEXT, width(conditioning.map(|c| c.context_width)), context);
            }
            Condition::Caption { tokenizer, text_encoder } => {
                let text = shapes.text_encoder.as_ref();
                let width = |number| value(text_encoder, number);
                let tokens = shapes.tokenizer.map(|t| t.vocab_size);
                self.at_most(TOKENS, value(tokenizer, tokens), width(text.map(|t| t.vocab_size)));
                self.equal(TIME, width(text.map(|t| t.time_width)), time);
                self.equal(CONTEXT, width(text.map(|t| t.width)), context);
            }
        }
        let outputs = network.zip(scheduled.number).map(|(network, scheduled)| {
            // A variance that the scheduler does not ask for is passed over.
            let unread = stage.sampler == PublishedSampler::LeadingDdpm
                && network.out_channels == 2 * scheduled;
            if unread { scheduled } else { network.out_channels }
        });
        self.equal(OUTPUTS, scheduled, of(outputs));
        match stage.autoencoder {
            Some(autoencoder) => {
                let latents = shapes.autoencoder.as_ref().map(|movq| movq.latent_channels);
                self.equal(CHANNELS, of(channels), value(autoencoder, latents));
            }
            None if stage.upsampling.is_none() => {
                self.equal(CHANNELS, value("a picture", Some(3)), of(channels));
            }
            None => {}
        }
        let inputs = of(network.map(|n| n.in_channels));
        if let Some(last_network) = stage.last_network {
            let last = shapes.last_network.as_ref();
            let of_last = |number| value(last_network, number);
            self.equal(OUTPUTS, scheduled, of_last(last.map(|n| n.out_channels)));
            self.equal(CHANNELS, inputs, of_last(last.map(|n| n.in_channels)));
            let size = of(network.map(|n| n.sample_size));
            self.equal(SIZE, size, of_last(last.map(|n| n.sample_size)));
        }
        if let Some(Previous { channels: Value { component, number }, size: before }) = previous {
            let size = of(network.map(|n| n.sample_size));
            self.at_most(SIZE, before, size);
            let inpaints = network.is_some_and(|network| stage.inpaints(network));
            let taken = number.map(|channels| stage.in_channels(channels, inpaints));
            let taken = value(component, taken);
            self.equal(TWO_IMAGES, taken, inputs);
        }
    }

    /// Compares the CLIP of noised images with the images that it guides.
    fn noised_clip(&mut self, shapes: &Shapes, family: &Family) {
        let Some(clip) = family.noised_clip else { return };
        let (text, image) =
            (shapes.noised_text_encoder.as_ref(), shapes.noised_image_encoder.as_ref());
        let of_text = |number| value(clip.text_encoder, number);
        let of_image = |number| value(clip.image_encoder, number);
        let tokens = value(clip.tokenizer, shapes.noised_tokenizer.map(|t| t.vocab_size));
        self.at_most(TOKENS, tokens, of_text(text.map(|t| t.vocab_size)));
        let embedding = of_text(text.map(|t| t.embedding));
        self.equal(EMBEDDING, embedding, of_image(image.map(|i| i.embedding)));
        for (stage, shapes) in family.stages.iter().zip(&shapes.stages).take(1) {
            let network = shapes.network.as_ref();
            let size = value(stage.network, network.map(|n| n.sample_size));
            self.equal(SIZE, size, of_image(image.map(|i| i.image_size)));
            let scheduler = shapes.scheduler.as_ref();
            let timesteps = scheduler.map(|scheduler| scheduler.train_timesteps as i64);
            let known = of_image(image.map(|i| i.timesteps));
            self.at_most(TIMESTEPS, value(stage.scheduler, timesteps), known);
        }
    }
}

/// The outputs that a scheduler reads for so many values: a learned variance comes beside the prediction.
fn outputs(scheduler: &SchedulerConfig, values: i64) -> i64 {
    match scheduler.variance {
        Variance::LearnedRange => 2 * values,
        Variance::FixedSmallLog | Variance::FixedSmall => values,
    }
}
