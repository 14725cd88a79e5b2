//! Progressive distillation (2202.00512): one step of a student arrives where several of a teacher's do.

use crate::process::rows;
use crate::{DpmSolver, NoiseLevel, Sampler, Schedule, SchedulerConfig, Step, StepsError};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// The settings that a distilled network samples with: the only ones that it was trained for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Its steps.
    pub steps: usize,
    /// The lambda of the timestep that it begins at; see [`DpmSolver::min_lambda`].
    pub min_lambda: f64,
    /// The guidance scale that it learned from a guided teacher (2210.03142), and is not guided by again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
}

impl Distillation {
    /// The solver of the network's steps, whose order is 1.
    pub fn solver(&self, config: &SchedulerConfig) -> DpmSolver {
        DpmSolver { min_lambda: self.min_lambda, order: 1, ..DpmSolver::new(config) }
    }

    /// The same as a sampler.
    pub fn sampler(&self, config: &SchedulerConfig) -> Sampler {
        Sampler::DpmSolver(self.solver(config))
    }
}

/// The steps of a student and those of its teacher within each, for training: each row of a batch in its own step of the student's.
///
/// The teacher begins at its own noisiest timestep. Where the student begins at a less noisy one, it sees the same noise there, so
/// that its first x_0 is divided by a larger alpha.
#[derive(Debug)]
pub struct DistillationProcess {
    /// The student's timesteps, and the timesteps that the teacher's first steps begin at, `[steps]` each.
    timesteps: Tensor,
    first: NoiseLevel<Tensor>,
    level: NoiseLevel<Tensor>,
    of_x_t: Tensor,
    of_x_0: Tensor,
    /// The teacher's steps, one after the other, each in all of the student's.
    teacher: Vec<TeacherStep>,
}

/// A teacher's step in each of the student's, `[steps]` each.
#[derive(Debug)]
struct TeacherStep {
    timesteps: Tensor,
    level: NoiseLevel<Tensor>,
    of_x_t: Tensor,
    of_x_0: Tensor,
    extrapolation: Option<Tensor>,
}

impl DistillationProcess {
    /// The steps of a `student`, and `teacher_steps` of a `teacher` of any order in each, their numbers on a device. An error
    /// where there are too many.
    pub fn new(
        student: &DpmSolver,
        teacher: &DpmSolver,
        [steps, teacher_steps]: [usize; 2],
        device: Device,
    ) -> Result<Self, StepsError> {
        let of_student = student.steps(steps)?;
        let of_teacher = of_student.iter().enumerate().map(|(n, step)| {
            let first = if n == 0 { teacher.noisiest() as i64 } else { step.timestep };
            within(first, step.previous, teacher_steps)
        });
        let of_teacher: Vec<Vec<Step>> = of_teacher.collect::<Result<_, _>>()?;
        let factors: Vec<_> = of_student.iter().map(|step| student.factors(None, *step)).collect();
        let timesteps = |steps: &[Step]| {
            let timesteps: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
            Tensor::from_slice(&timesteps).to_device(device)
        };
        let teacher_step = |k: usize| {
            let steps: Vec<Step> = of_teacher.iter().map(|steps| steps[k]).collect();
            let factors = of_teacher.iter().map(|steps| {
                let before = k.checked_sub(1).filter(|_| teacher.order > 1);
                teacher.factors(before.map(|k| steps[k].timestep), steps[k])
            });
            let factors: Vec<_> = factors.collect();
            let extrapolation = factors.iter().map(|f| f.extrapolation.unwrap_or(0.0));
            TeacherStep {
                timesteps: timesteps(&steps),
                level: levels(&teacher.schedule, &steps, device),
                of_x_t: table(factors.iter().map(|f| f.of_x_t), device),
                of_x_0: table(factors.iter().map(|f| f.of_x_0), device),
                extrapolation: (k > 0).then(|| table(extrapolation, device)),
            }
        };
        let first: Vec<Step> = of_teacher.iter().map(|steps| steps[0]).collect();
        Ok(Self {
            timesteps: timesteps(&of_student),
            first: levels(&teacher.schedule, &first, device),
            level: levels(&student.schedule, &of_student, device),
            of_x_t: table(factors.iter().map(|f| f.of_x_t), device),
            of_x_0: table(factors.iter().map(|f| f.of_x_0), device),
            teacher: (0..teacher_steps).map(teacher_step).collect(),
        })
    }

    /// How many steps the student takes.
    pub fn steps(&self) -> i64 {
        self.timesteps.size()[0]
    }

    /// The x_t [B, ...] that student and teacher begin `steps` `[B]` i64 from, each row its own: a clean `x_0` [B, ...] with noise `eps`.
    pub fn q_sample(&self, x_0: &Tensor, steps: &Tensor, eps: &Tensor) -> Tensor {
        of_rows(&self.first, steps, x_0).x_t(x_0, eps)
    }

    /// The timesteps `[B]` of the student's `steps` `[B]`.
    pub fn timesteps(&self, steps: &Tensor) -> Tensor {
        self.timesteps.index_select(0, steps)
    }

    /// The mix of x_0 and eps that the student takes its x_t `like` [B, ...] for.
    pub fn level(&self, steps: &Tensor, like: &Tensor) -> NoiseLevel<Tensor> {
        of_rows(&self.level, steps, like)
    }

    /// The x [B, ...] that the teacher arrives at from `x_t` [B, ...] in the student's `steps` `[B]`. `denoise` gives the x_0 [B,
    /// ...] of an x at timesteps `[B]` and their level.
    pub fn teach(
        &self,
        steps: &Tensor,
        x_t: &Tensor,
        mut denoise: impl FnMut(&Tensor, &Tensor, &NoiseLevel<Tensor>) -> Tensor,
    ) -> Tensor {
        let (mut x, mut before) = (x_t.shallow_clone(), None::<Tensor>);
        for step in &self.teacher {
            let timesteps = step.timesteps.index_select(0, steps);
            let x_0 = denoise(&x, &timesteps, &of_rows(&step.level, steps, &x));
            let direction = match step.extrapolation.as_ref().zip(before) {
                None => x_0.shallow_clone(),
                Some((factor, earlier)) => &x_0 + (&x_0 - earlier) * rows(factor, steps, &x),
            };
            x = &x * rows(&step.of_x_t, steps, &x) + direction * rows(&step.of_x_0, steps, &x);
            before = Some(x_0);
        }
        x
    }

    /// The x_0 [B, ...] with which one step of the student's from `x_t` arrives at `x`, both [B, ...] (2202.00512, appendix G).
    pub fn target(&self, steps: &Tensor, x_t: &Tensor, x: &Tensor) -> Tensor {
        (x - x_t * rows(&self.of_x_t, steps, x)) / rows(&self.of_x_0, steps, x)
    }

    /// The weight `[B]` of a predicted x_0's squared error, max(alpha_bar / (1 - alpha_bar), 1), the truncated signal-to-noise ratio
    /// (2202.00512, section 4), but no more than `limit`.
    pub fn weight(&self, steps: &Tensor, limit: f64) -> Tensor {
        let NoiseLevel { sqrt_alpha_bar, sqrt_one_minus_alpha_bar } = &self.level;
        let ratio = (sqrt_alpha_bar / sqrt_one_minus_alpha_bar).square();
        ratio.clamp(1.0, limit.max(1.0)).index_select(0, steps)
    }
}

/// So many steps in even strides of time from a timestep to another, or to the clean image.
fn within(first: i64, last: Option<i64>, steps: usize) -> Result<Vec<Step>, StepsError> {
    let length = first - last.unwrap_or(0);
    if steps == 0 || steps as i64 > length {
        return Err(StepsError::Count { steps, timesteps: length.max(0) as usize });
    }
    let visit =
        |n: usize| first - (n as f64 * length as f64 / steps as f64).round_ties_even() as i64;
    let step = |n: usize| Step {
        timestep: visit(n),
        previous: if n + 1 == steps { last } else { Some(visit(n + 1)) },
    };
    Ok((0..steps).map(step).collect())
}

/// The levels of steps, `[steps]` each.
fn levels(schedule: &Schedule, steps: &[Step], device: Device) -> NoiseLevel<Tensor> {
    let levels: Vec<NoiseLevel> =
        steps.iter().map(|step| schedule.level(Some(step.timestep))).collect();
    NoiseLevel {
        sqrt_alpha_bar: table(levels.iter().map(|l| l.sqrt_alpha_bar), device),
        sqrt_one_minus_alpha_bar: table(levels.iter().map(|l| l.sqrt_one_minus_alpha_bar), device),
    }
}

/// Each row's level, of `steps` `[B]`, shaped to multiply `like` [B, ...].
fn of_rows(level: &NoiseLevel<Tensor>, steps: &Tensor, like: &Tensor) -> NoiseLevel<Tensor> {
    NoiseLevel {
        sqrt_alpha_bar: rows(&level.sqrt_alpha_bar, steps, like),
        sqrt_one_minus_alpha_bar: rows(&level.sqrt_one_minus_alpha_bar, steps, like),
    }
}

fn table(values: impl Iterator<Item = f64>, device: Device) -> Tensor {
    let values: Vec<f64> = values.collect();
    Tensor::from_slice(&values).to_kind(Kind::Float).to_device(device)
}
