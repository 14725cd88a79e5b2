//! Gradient checkpointing (1604.06174): a forward pass that keeps the borders of its blocks, and computes what is inside
//! them a second time when their gradients are wanted.

use tch::{Kind, Tensor, no_grad};

/// How the blocks of a network are run.
pub trait Pass<'a> {
    /// A value that blocks share, and that was computed outside them.
    fn enter(&mut self, value: Tensor) -> Tensor;

    /// What `block` makes of `inputs`.
    fn run(&mut self, inputs: Vec<Tensor>, block: impl Fn(&[Tensor]) -> Tensor + 'a) -> Tensor;
}

/// Runs each block once. Where gradients are wanted, libtorch keeps what they need.
pub struct Straight;

impl<'a> Pass<'a> for Straight {
    fn enter(&mut self, value: Tensor) -> Tensor {
        value
    }

    fn run(&mut self, inputs: Vec<Tensor>, block: impl Fn(&[Tensor]) -> Tensor + 'a) -> Tensor {
        block(&inputs)
    }
}

/// A forward pass whose blocks are to be computed again.
#[derive(Default)]
pub struct Recomputed<'a> {
    entered: Vec<(Tensor, Tensor)>,
    blocks: Vec<Block<'a>>,
}

/// From a block's inputs to its output.
type Computation<'a> = dyn Fn(&[Tensor]) -> Tensor + 'a;

/// A block, what went in and what came out; the borders gather gradients, and lie in no graph.
struct Block<'a> {
    inputs: Vec<Tensor>,
    output: Tensor,
    block: Box<Computation<'a>>,
}

impl<'a> Pass<'a> for Recomputed<'a> {
    fn enter(&mut self, value: Tensor) -> Tensor {
        if !value.requires_grad() {
            return value;
        }
        let border = value.detach().set_requires_grad(true);
        self.entered.push((value, border.shallow_clone()));
        border
    }

    fn run(&mut self, inputs: Vec<Tensor>, block: impl Fn(&[Tensor]) -> Tensor + 'a) -> Tensor {
        let output = no_grad(|| block(&inputs)).detach().set_requires_grad(true);
        self.blocks.push(Block { inputs, output: output.shallow_clone(), block: Box::new(block) });
        output
    }
}

impl Recomputed<'_> {
    /// Adds the gradients of all parameters, after the backward pass of a loss has reached the last block's output.
    pub fn backward(self) {
        for Block { inputs, output, block } in self.blocks.into_iter().rev() {
            if let Some(along) = along(&block(&inputs), &output) {
                along.backward();
            }
        }
        // These may have a graph in common, which can be gone through once.
        let entered = self.entered.iter();
        let along = entered.filter_map(|(value, border)| along(value, border));
        if let Some(along) = along.reduce(|sum, one| sum + one) {
            along.backward();
        }
    }
}

/// What has the gradient of the loss, as far as it depends on `value`, given the border that gathered it; none if the loss
/// does not depend on it.
fn along(value: &Tensor, border: &Tensor) -> Option<Tensor> {
    let gradient = border.grad();
    gradient.defined().then(|| (value * gradient).sum(Kind::Float))
}
