//! AdamW with an exponential moving average, over one flat f32 vector.
//!
//! The layers hold working tensors, in f32 or bf16; this holds their f32 masters, the two moments and the average, each
//! as one vector in the order of the parameters. A step is then a handful of tensor operations, and the state that a
//! checkpoint holds is four tensors.

use tch::{Kind, Tensor, no_grad};

/// Loshchilov & Hutter (1711.05101), with gradient clipping and the average's decay.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWSettings {
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the squared gradient's mean.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of matrices and kernels; vectors (biases, norms) do not decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this Euclidean norm.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, reached by way of (1 + step) / (10 + step).
    pub ema_decay: f64,
}

/// The optimiser and everything it remembers.
pub struct AdamW {
    settings: AdamWSettings,
    names: Vec<String>,
    working: Vec<Tensor>,
    master: Tensor,
    mean: Tensor,
    square: Tensor,
    average: Tensor,
    decays: Tensor,
    step: u64,
}

impl AdamW {
    /// Takes over `parameters`, which become leaves that gather gradients.
    pub fn new(parameters: Vec<(String, Tensor)>, settings: AdamWSettings) -> Self {
        let (names, working): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
        let master = flat(&working);
        let decays: Vec<Tensor> = working
            .iter()
            .map(|p| {
                Tensor::full(
                    [p.numel() as i64],
                    i64::from(p.dim() > 1),
                    (Kind::Float, p.device()),
                )
            })
            .collect();
        let working = working
            .into_iter()
            .map(|p| p.set_requires_grad(true))
            .collect();
        Self {
            settings,
            names,
            working,
            mean: master.zeros_like(),
            square: master.zeros_like(),
            average: master.copy(),
            decays: Tensor::cat(&decays, 0),
            master,
            step: 0,
        }
    }

    /// Begins with `weights` instead of the parameters' own values, in the order of the parameters.
    pub fn begin_from(&mut self, weights: &[Tensor]) {
        self.master = flat(weights).to_device(self.master.device());
        self.average = self.master.copy();
        no_grad(|| self.write_working());
    }

    /// The parameters' names, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many steps were taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> i64 {
        self.master.numel() as i64
    }

    /// Uses up the gradients that a backward pass left; returns their norm before clipping. Nothing changes when that
    /// norm is not finite.
    pub fn step(&mut self, learning_rate: f64) -> f64 {
        let AdamWSettings {
            beta1,
            beta2,
            eps,
            weight_decay,
            clip_norm,
            ema_decay,
        } = self.settings;
        no_grad(|| {
            let mut gradient = self.take_gradient();
            let norm = gradient.norm().double_value(&[]);
            if !norm.is_finite() {
                return norm;
            }
            if norm > clip_norm {
                gradient *= clip_norm / norm;
            }
            self.step += 1;
            let steps = self.step as i32;
            let _ = self.mean.lerp_(&gradient, 1.0 - beta1);
            let _ = self.square.lerp_(&gradient.square(), 1.0 - beta2);
            let root = (&self.square / (1.0 - beta2.powi(steps))).sqrt() + eps;
            let update = (&self.mean / root) * (learning_rate / (1.0 - beta1.powi(steps)));
            self.master *= 1.0 - &self.decays * (learning_rate * weight_decay);
            self.master -= update;
            let decay = ema_decay.min((1 + self.step) as f64 / (10 + self.step) as f64);
            let _ = self.average.lerp_(&self.master, 1.0 - decay);
            self.write_working();
            norm
        })
    }

    /// The averaged weights, by name, in f32.
    pub fn averaged(&self) -> Vec<(String, Tensor)> {
        let views = self.views(&self.average);
        self.names
            .iter()
            .cloned()
            .zip(views.into_iter().map(|v| v.copy()))
            .collect()
    }

    /// Every tensor that a checkpoint must hold, by name.
    pub fn state(&self) -> Vec<(&'static str, Tensor)> {
        let copy = |t: &Tensor| t.detach().copy();
        vec![
            ("master", copy(&self.master)),
            ("mean", copy(&self.mean)),
            ("square", copy(&self.square)),
            ("average", copy(&self.average)),
        ]
    }

    /// The parameters' names and shapes: what makes a checkpoint fit.
    pub fn layout(&self) -> Vec<(String, Vec<i64>)> {
        self.names
            .iter()
            .cloned()
            .zip(self.working.iter().map(Tensor::size))
            .collect()
    }

    /// Goes on from `state` of another optimiser with the same layout.
    pub fn restore(&mut self, step: u64, tensors: &[(String, Tensor)]) -> Result<(), String> {
        for (name, own) in [
            ("master", &mut self.master),
            ("mean", &mut self.mean),
            ("square", &mut self.square),
            ("average", &mut self.average),
        ] {
            let (_, saved) = tensors
                .iter()
                .find(|(n, _)| n == name)
                .ok_or(format!("it has no tensor `{name}`"))?;
            if saved.size() != own.size() {
                return Err(format!(
                    "`{name}` holds {:?} numbers instead of {:?}",
                    saved.size(),
                    own.size()
                ));
            }
            own.copy_(saved);
        }
        self.step = step;
        no_grad(|| self.write_working());
        Ok(())
    }

    fn take_gradient(&mut self) -> Tensor {
        let parts: Vec<Tensor> = self
            .working
            .iter()
            .map(|p| {
                let gradient = p.grad();
                if gradient.defined() {
                    gradient.to_kind(Kind::Float).reshape([-1])
                } else {
                    Tensor::zeros([p.numel() as i64], (Kind::Float, p.device()))
                }
            })
            .collect();
        // In f32 the parts are the gradients themselves, so they may only be cleared once they are copied.
        let gradient = Tensor::cat(&parts, 0);
        self.working.iter_mut().for_each(Tensor::zero_grad);
        gradient
    }

    fn views(&self, vector: &Tensor) -> Vec<Tensor> {
        let mut start = 0;
        self.working
            .iter()
            .map(|p| {
                let count = p.numel() as i64;
                start += count;
                vector.narrow(0, start - count, count).view_as(p)
            })
            .collect()
    }

    fn write_working(&mut self) {
        let views = self.views(&self.master);
        for (working, view) in self.working.iter_mut().zip(views) {
            working.copy_(&view);
        }
    }
}

fn flat(tensors: &[Tensor]) -> Tensor {
    let parts: Vec<Tensor> = tensors
        .iter()
        .map(|t| t.detach().to_kind(Kind::Float).reshape([-1]))
        .collect();
    Tensor::cat(&parts, 0)
}
