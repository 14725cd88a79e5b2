//! The objective of progressive distillation (2202.00512), over any U-Net: a student's one step from x_t arrives where a teacher's
//! several do, guided where the student is to draw without (2210.03142).

use decoder::{Conditions, UNet};
use diffusion::{
    Distillation, DistillationProcess, DpmSolver, NoiseLevel, Output, SchedulerConfig, guide,
};
use layers::{Initialiser, Params};
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use crate::init_from::{Component, InitialWeights};
use crate::recipe::DistillationRecipe;
use crate::run::Loss;
use crate::sample_generators::SampleGenerators;
use crate::{AdamW, Error};

/// A teacher, its student, and the steps that the one takes for one of the other.
pub struct Distiller<'a> {
    /// The network that teaches.
    pub teacher: UNet,
    /// The network that is trained.
    pub student: UNet,
    /// Their steps.
    pub process: DistillationProcess,
    /// The scheduler of both.
    pub scheduler: SchedulerConfig,
    /// The objective's numbers.
    pub recipe: &'a DistillationRecipe,
    /// The dtype that the networks compute in.
    pub kind: Kind,
}

/// A batch of clean images, and all that the networks take beside them.
pub struct DistillationBatch<'a> {
    /// The images `[B, C, H, W]` from -1 to 1.
    pub clean: &'a Tensor,
    /// Normal noise of the same shape.
    pub eps: &'a Tensor,
    /// Further channels `[B, .., H, W]` of the networks' input.
    pub channels: Option<&'a Tensor>,
    /// The conditions, in networks that take any.
    pub conditions: Option<&'a Conditions>,
    /// The conditions that guidance starts from, and the conditions after them; none without guidance.
    pub guided_conditions: Option<&'a Conditions>,
}

impl<'a> Distiller<'a> {
    /// A student of `teacher`, both over the same scheduler. An error where the schedule has too few timesteps for their steps.
    pub fn new(
        teacher: UNet,
        student: UNet,
        scheduler: SchedulerConfig,
        recipe: &'a DistillationRecipe,
        kind: Kind,
        device: Device,
    ) -> Result<Self, Error> {
        let solver = settings(recipe).solver(&scheduler);
        let counts = [recipe.steps, recipe.teacher_steps];
        let process =
            DistillationProcess::new(&solver, &DpmSolver::new(&scheduler), counts, device);
        let process = process.map_err(|error| {
            let [steps, teacher_steps] = counts;
            Error::Recipe(format!(
                "a student of {steps} steps with {teacher_steps} of its teacher's in each does not fit the schedule: {error}"
            ))
        })?;
        Ok(Self { teacher, student, process, scheduler, recipe, kind })
    }

    /// Adds the gradients of a batch's loss, times `weight`. Each row is in a step of the student's that its generator draws.
    pub fn backward(
        &self,
        batch: &DistillationBatch,
        generators: &mut SampleGenerators,
        weight: f64,
    ) -> Loss {
        let DistillationBatch { clean, eps, channels, conditions, .. } = *batch;
        let steps = generators.below(self.process.steps() as u64);
        let steps = Tensor::from_slice(&steps).to_device(clean.device()); // [B]
        let x_t = self.process.q_sample(clean, &steps, eps);
        let target = no_grad(|| {
            let x = self.process.teach(&steps, &x_t, |x, timesteps, level| {
                self.taught_x_0(batch, x, timesteps, level)
            });
            self.process.target(&steps, &x_t, &x)
        });
        let timesteps = self.process.timesteps(&steps);
        let (output, checkpoints) = self.student.forward_training(
            &self.input(&x_t, channels),
            &timesteps,
            conditions,
            self.recipe.gradient_checkpointing,
        );
        let output = prediction(&output, &x_t).to_kind(Kind::Float);
        let level = self.process.level(&steps, &x_t);
        let x_0 = self.scheduler.prediction.x_0(&output, &x_t, &level);
        let error = (x_0 - target).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float); // [B]
        let weights = self.process.weight(&steps, self.recipe.weight_limit);
        let loss = (&error * weights).mean(Kind::Float);
        (&loss * weight).backward();
        checkpoints.backward();
        let error = error.mean(Kind::Float).double_value(&[]);
        Loss { value: loss.double_value(&[]), metrics: vec![("teacher_error", error)] }
    }

    /// The teacher's x_0 `[B, C, H, W]`, guided where it is, and clipped.
    fn taught_x_0(
        &self,
        batch: &DistillationBatch,
        x: &Tensor,
        timesteps: &Tensor,
        level: &NoiseLevel<Tensor>,
    ) -> Tensor {
        let input = self.input(x, batch.channels);
        let output = match (self.recipe.guidance_scale, batch.guided_conditions) {
            (Some(scale), Some(conditions)) => {
                let (twice, timesteps) = (input.repeat([2, 1, 1, 1]), timesteps.repeat([2]));
                let output = self.teacher.forward(&twice, &timesteps, Some(conditions));
                let [unconditional, conditional] = <[Tensor; 2]>::try_from(output.chunk(2, 0))
                    .expect("a batch that is there twice")
                    .map(|output| Output::plain(prediction(&output, x).to_kind(Kind::Float)));
                guide(conditional, &unconditional, &[scale]).prediction
            }
            _ => {
                let output = self.teacher.forward(&input, timesteps, batch.conditions);
                prediction(&output, x).to_kind(Kind::Float)
            }
        };
        self.scheduler.clip(self.scheduler.prediction.x_0(&output, x, level))
    }

    fn input(&self, x: &Tensor, channels: Option<&Tensor>) -> Tensor {
        match channels {
            Some(channels) => Tensor::cat(&[x, channels], 1),
            None => x.shallow_clone(),
        }
        .to_kind(self.kind)
    }
}

/// The prediction `[B, C, H, W]` in a network's output, beside which there may be a variance.
fn prediction(output: &Tensor, like: &Tensor) -> Tensor {
    output.narrow(1, 0, like.size()[1])
}

/// The settings that a student of this recipe samples with.
pub(crate) fn settings(recipe: &DistillationRecipe) -> Distillation {
    let &DistillationRecipe { steps, min_lambda, guidance_scale, .. } = recipe;
    Distillation { steps, min_lambda, guidance_scale }
}

/// A student with the weights that its teacher has in `component` of `model`, and the optimiser of those that it trains.
pub(crate) fn build_student(
    model: &Folder,
    component: Component,
    recipe: &DistillationRecipe,
    (device, kind): (Device, Kind),
    build: impl Fn(&Params) -> UNet,
) -> Result<(UNet, AdamW), Error> {
    let initialiser = Initialiser::new(recipe.run.seed, device, kind);
    let student = build(&Params::root(&initialiser));
    let initial = InitialWeights::open(model, &[component])?;
    build(&Params::root(&initial));
    let (mut parameters, mut weights) = (Vec::new(), Vec::new());
    for ((name, mut own), (_, teachers)) in
        initialiser.into_parameters().into_iter().zip(initial.finish()?)
    {
        match recipe.trains(&name) {
            true => {
                parameters.push((name, own));
                weights.push(teachers);
            }
            false => no_grad(|| own.copy_(&teachers)),
        }
    }
    if parameters.is_empty() {
        let frozen = recipe.frozen.join(", ");
        return Err(Error::Recipe(format!(
            "every tensor of the student begins with one of frozen, {frozen}: none is left to train"
        )));
    }
    let mut optimizer = AdamW::new(parameters, recipe.run.optimizer.clone());
    optimizer.init_from(&weights);
    Ok((student, optimizer))
}
