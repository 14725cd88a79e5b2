//! AdamW with an exponential moving average, over one flat f32 vector.
//!
//! The layers' parameters, in f32 or bf16, and their gradients are parts of one vector each; this holds the parameters' f32
//! masters, the two moments and the average, in the same order. A step is then a handful of tensor operations, and the
//! state that a checkpoint holds is four tensors.

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

/// The tensors of the state, in checkpoints.
const STATE: [&str; 4] = ["master", "mean", "square", "average"];

/// The optimiser and its state.
pub struct AdamW {
    settings: AdamWSettings,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    /// The vector that the parameters are parts of.
    working: Tensor,
    /// The vector that their gradients are parts of, and these.
    gradient: Tensor,
    gradients: Vec<Tensor>,
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
        let (names, mut parameters): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
        let working = flatten(&parameters);
        let views = split(&working, &parameters);
        for (parameter, view) in parameters.iter_mut().zip(views) {
            parameter.set_data(&view);
        }
        let decay = |p: &Tensor| Tensor::full_like(p, i64::from(p.dim() > 1));
        let decays = flatten(&parameters.iter().map(decay).collect::<Vec<_>>());
        let (master, gradient) = (working.to_kind(Kind::Float).copy(), working.zeros_like());
        Self {
            settings,
            names,
            gradients: split(&gradient, &parameters),
            gradient,
            mean: master.zeros_like(),
            square: master.zeros_like(),
            average: master.copy(),
            decays: decays.to_kind(Kind::Float),
            parameters: parameters.into_iter().map(|p| p.set_requires_grad(true)).collect(),
            working,
            master,
            step: 0,
        }
    }

    /// Takes `weights` instead of the parameters' own values, in the order of the parameters.
    pub fn init_from(&mut self, weights: &[Tensor]) {
        let weights: Vec<Tensor> = weights.iter().map(|w| w.to_kind(Kind::Float)).collect();
        self.master = flatten(&weights).to_device(self.master.device());
        self.average = self.master.copy();
        self.working.copy_(&self.master);
    }

    /// How many steps were taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> i64 {
        self.parameters.iter().map(|p| p.numel() as i64).sum()
    }

    /// Uses up the gradients that a backward pass left; returns their norm before clipping. Nothing changes when that
    /// norm is not finite.
    pub fn step(&mut self, learning_rate: f64) -> f64 {
        let AdamWSettings { beta1, beta2, eps, weight_decay, clip_norm, ema_decay } = self.settings;
        no_grad(|| {
            self.gather_gradients();
            let mut gradient = self.gradient.to_kind(Kind::Float);
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
            self.working.copy_(&self.master);
            let _ = self.gradient.zero_();
            norm
        })
    }

    /// The averaged weights, by name, in f32.
    pub fn averaged(&self) -> Vec<(String, Tensor)> {
        let views = split(&self.average, &self.parameters);
        self.names.iter().cloned().zip(views.into_iter().map(|view| view.copy())).collect()
    }

    /// Every tensor that a checkpoint must hold, by name.
    pub fn state(&self) -> Vec<(&'static str, Tensor)> {
        let own = [&self.master, &self.mean, &self.square, &self.average];
        STATE.into_iter().zip(own.map(|tensor| tensor.detach().copy())).collect()
    }

    /// The parameters' names and shapes: what makes a checkpoint fit.
    pub fn layout(&self) -> Vec<(String, Vec<i64>)> {
        self.names.iter().cloned().zip(self.parameters.iter().map(Tensor::size)).collect()
    }

    /// Goes on from `state` of another optimiser with the same layout.
    pub fn restore(&mut self, step: u64, tensors: &[(String, Tensor)]) -> Result<(), String> {
        let own = [&mut self.master, &mut self.mean, &mut self.square, &mut self.average];
        for (name, own) in STATE.into_iter().zip(own) {
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
        self.working.copy_(&self.master);
        Ok(())
    }

    /// Moves gradients that a backward pass made anew into their vector, where the next ones are added to them.
    fn gather_gradients(&mut self) {
        for (parameter, part) in self.parameters.iter().zip(&mut self.gradients) {
            let mut gradient = parameter.grad();
            if gradient.defined() && gradient.data_ptr() != part.data_ptr() {
                part.copy_(&gradient);
                gradient.set_data(part);
            }
        }
    }
}

/// Parts of a vector begin at multiples of this, which keeps them aligned for vector units; what lies between is 0.
const ALIGNMENT: i64 = 64;

/// Tensors of one kind as one vector.
fn flatten(tensors: &[Tensor]) -> Tensor {
    let padded = |tensor: &Tensor| {
        let vector = tensor.detach().reshape([-1]);
        let short = (-vector.size()[0]).rem_euclid(ALIGNMENT);
        vector.constant_pad_nd([0, short])
    };
    Tensor::cat(&tensors.iter().map(padded).collect::<Vec<_>>(), 0)
}

/// The parts of a vector that [`flatten`] makes of tensors with the shapes of `like`.
fn split(vector: &Tensor, like: &[Tensor]) -> Vec<Tensor> {
    let mut start = 0;
    like.iter()
        .map(|tensor| {
            let (begin, count) = (start, tensor.numel() as i64);
            start += (count as u64).next_multiple_of(ALIGNMENT as u64) as i64;
            vector.narrow(0, begin, count).view_as(tensor)
        })
        .collect()
}
