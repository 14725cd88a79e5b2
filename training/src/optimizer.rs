//! AdamW with an exponential moving average, over one flat f32 vector.
//!
//! The layers' parameters, in f32 or bf16, and their gradients are parts of one vector each; this holds the parameters' f32
//! masters, the two moments and the average, in the same order. A step is then a handful of tensor operations, and the
//! state that a checkpoint holds is four tensors.

use collectives::{Group, Reduction};
use tch::{Kind, Tensor, no_grad};

use crate::Error;

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

/// The optimiser and its state, which may be spread over the processes of a group: each then holds the state of a part of the
/// vector, and all hold the parameters (ZeRO-1, 1910.02054).
pub struct AdamW {
    settings: AdamWSettings,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    /// The vector that the parameters are parts of.
    working: Tensor,
    /// The vector that their gradients are parts of, and these.
    gradient: Tensor,
    gradients: Vec<Tensor>,
    /// The state: of the whole vector, or of this process's part.
    master: Tensor,
    mean: Tensor,
    square: Tensor,
    average: Tensor,
    decays: Tensor,
    /// The processes that train together.
    group: Group,
    /// Whether the state is spread over them.
    is_sharded: bool,
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
            group: Group::alone(),
            is_sharded: false,
            step: 0,
        }
    }

    /// Trains with the processes of a group, each of which has the gradients of its own images: they are averaged. With `shard`
    /// each holds only its part of the state. To be called before any step, by all of them.
    pub fn distribute(&mut self, group: &Group, shard: bool) -> Result<(), Error> {
        self.group = group.clone();
        group.broadcast(&mut self.master, 0)?;
        self.average.copy_(&self.master);
        self.working.copy_(&self.master);
        self.is_sharded = shard && !group.is_alone();
        if self.is_sharded {
            // As long as all parts are equal, and begin where vector units like it.
            for whole in [&mut self.working, &mut self.gradient] {
                *whole = padded(whole, group.world());
            }
            let views = split(&self.working, &self.parameters);
            for (parameter, view) in self.parameters.iter_mut().zip(views) {
                no_grad(|| parameter.set_data(&view));
            }
            self.gradients = split(&self.gradient, &self.parameters);
            for state in [
                &mut self.master,
                &mut self.mean,
                &mut self.square,
                &mut self.average,
                &mut self.decays,
            ] {
                *state = part(&padded(state, group.world()), group);
            }
        }
        Ok(())
    }

    /// Takes `weights` instead of the parameters' own values, in the order of the parameters.
    pub fn init_from(&mut self, weights: &[Tensor]) {
        debug_assert!(!self.is_sharded, "initial weights come before the state is spread");
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
    /// norm is not finite. An error where another process is missing.
    pub fn step(&mut self, learning_rate: f64) -> Result<f64, Error> {
        let AdamWSettings { beta1, beta2, eps, weight_decay, clip_norm, ema_decay } = self.settings;
        no_grad(|| {
            self.gather_gradients();
            let mut gradient = self.average_gradient()?;
            let norm = self.norm(&gradient)?;
            if !norm.is_finite() {
                return Ok(norm);
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
            self.publish()?;
            let _ = self.gradient.zero_();
            Ok(norm)
        })
    }

    /// The mean of all processes' gradients, in f32: the whole vector, or this process's part.
    fn average_gradient(&self) -> Result<Tensor, Error> {
        if self.is_sharded {
            let part = self.group.reduce_scatter(&self.gradient, Reduction::Mean)?;
            return Ok(part.to_kind(Kind::Float));
        }
        // In pieces, so that the first is summed while the next is sent.
        let pieces = self.gradient.split(PIECE, 0);
        self.group.all_reduce_many(&pieces.iter().collect::<Vec<_>>(), Reduction::Mean)?;
        Ok(self.gradient.to_kind(Kind::Float))
    }

    /// The norm of a gradient whose parts the processes have.
    fn norm(&self, gradient: &Tensor) -> Result<f64, Error> {
        if !self.is_sharded {
            // Rank 0's: others may have rounded otherwise.
            let mut norm = gradient.norm();
            self.group.broadcast(&mut norm, 0)?;
            return Ok(norm.double_value(&[]));
        }
        let square = gradient.to_kind(Kind::Double).square().sum(Kind::Double);
        self.group.all_reduce(&square, Reduction::Sum)?;
        Ok(square.double_value(&[]).sqrt())
    }

    /// Puts the masters into the parameters of all processes.
    fn publish(&mut self) -> Result<(), Error> {
        match self.is_sharded {
            true => {
                let part = self.master.to_kind(self.working.kind());
                self.working.copy_(&self.group.all_gather_into(&part)?);
            }
            false => self.working.copy_(&self.master),
        }
        Ok(())
    }

    /// A vector of which the processes have the parts, as a whole.
    fn whole(&self, vector: &Tensor) -> Result<Tensor, Error> {
        Ok(match self.is_sharded {
            true => self.group.all_gather_into(vector)?,
            false => vector.shallow_clone(),
        })
    }

    /// The averaged weights, by name, in f32. To be called by all processes.
    pub fn averaged(&self) -> Result<Vec<(String, Tensor)>, Error> {
        let views = split(&self.whole(&self.average)?, &self.parameters);
        Ok(self.names.iter().cloned().zip(views.into_iter().map(|view| view.copy())).collect())
    }

    /// The dtype of the parameters.
    pub fn kind(&self) -> Kind {
        self.working.kind()
    }

    /// Whether each process holds a part of the state.
    pub fn is_sharded(&self) -> bool {
        self.is_sharded
    }

    /// Every tensor that a checkpoint must hold, by name: the whole, or this process's part, the last with zeros behind it.
    pub fn state(&self) -> Vec<(&'static str, Tensor)> {
        let own = [&self.master, &self.mean, &self.square, &self.average];
        STATE.into_iter().zip(own.map(|tensor| tensor.detach().copy())).collect()
    }

    /// The parameters' names and shapes: what makes a checkpoint fit.
    pub fn layout(&self) -> Vec<(String, Vec<i64>)> {
        self.names.iter().cloned().zip(self.parameters.iter().map(Tensor::size)).collect()
    }

    /// An error unless these tensors are the state of an optimiser with the same layout.
    pub fn check(&self, tensors: &[(String, Tensor)]) -> Result<(), String> {
        let length = self.length();
        for name in STATE {
            let saved = find(tensors, name).ok_or(format!("it has no tensor `{name}`"))?;
            // More is padding.
            if saved.dim() != 1 || saved.size()[0] < length {
                let found = saved.size();
                return Err(format!("`{name}` holds {found:?} numbers instead of [{length}]"));
            }
        }
        Ok(())
    }

    /// Goes on from a state that fits, which rank 0 has; the others get it. To be called by all processes.
    pub fn restore(&mut self, step: u64, tensors: &[(String, Tensor)]) -> Result<(), Error> {
        let (length, group, is_sharded) = (self.length(), self.group.clone(), self.is_sharded);
        let own = [&mut self.master, &mut self.mean, &mut self.square, &mut self.average];
        for (name, own) in STATE.into_iter().zip(own) {
            let mut whole = match find(tensors, name) {
                Some(saved) => saved.narrow(0, 0, length).to_device(own.device()),
                None => Tensor::zeros([length], (own.kind(), own.device())),
            };
            group.broadcast(&mut whole, 0)?;
            own.copy_(&match is_sharded {
                true => part(&padded(&whole, group.world()), &group),
                false => whole,
            });
        }
        self.step = step;
        no_grad(|| self.publish())
    }

    /// Numbers of the vector, without padding at its end.
    fn length(&self) -> i64 {
        self.parameters.iter().map(padded_length).sum()
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

/// The numbers that are reduced at a time: 25 MiB of f32, as in DDP (2006.15704, section 5).
const PIECE: i64 = 25 << 18;

/// The numbers that a tensor takes of a vector.
fn padded_length(tensor: &Tensor) -> i64 {
    (tensor.numel() as u64).next_multiple_of(ALIGNMENT as u64) as i64
}

/// A vector as long as so many parts of equal length, each aligned.
fn padded(vector: &Tensor, parts: usize) -> Tensor {
    let short = (-vector.size()[0]).rem_euclid(ALIGNMENT * parts as i64);
    vector.constant_pad_nd([0, short])
}

/// A process's part of a padded vector.
fn part(vector: &Tensor, group: &Group) -> Tensor {
    vector.chunk(group.world() as i64, 0)[group.rank()].copy()
}

fn find<'a>(tensors: &'a [(String, Tensor)], name: &str) -> Option<&'a Tensor> {
    tensors.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor)
}

/// Tensors of one kind as one vector.
fn flatten(tensors: &[Tensor]) -> Tensor {
    let padded = |tensor: &Tensor| {
        let vector = tensor.detach().reshape([-1]);
        let short = padded_length(tensor) - vector.size()[0];
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
            start += padded_length(tensor);
            vector.narrow(0, begin, count).view_as(tensor)
        })
        .collect()
}
