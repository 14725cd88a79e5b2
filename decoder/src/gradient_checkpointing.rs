//! Gradient checkpointing (1604.06174): the forward pass stores the inputs and outputs of blocks only, and the backward
//! pass computes each block a second time for what lies between.

use tch::{Kind, Tensor, no_grad};

use crate::unet::{Block, BlockConditions};

/// The blocks of a forward pass that is not yet differentiated.
///
/// Each output is a leaf of autograd, which gathers the gradient of what comes after; [`GradientCheckpointing::backward`]
/// carries it through the block, from the last to the first.
#[derive(Default)]
pub struct GradientCheckpointing<'a> {
    blocks: Vec<Checkpoint<'a>>,
    /// Values from outside the blocks, each with the leaf that stands for it.
    values: Vec<(Tensor, Tensor)>,
}

/// A block with its inputs and its output.
struct Checkpoint<'a> {
    block: &'a Block,
    inputs: Vec<Tensor>,
    conditions: BlockConditions,
    output: Tensor,
}

impl<'a> GradientCheckpointing<'a> {
    /// A leaf that stands for `value`, which was computed with gradients outside the blocks.
    pub(crate) fn leaf(&mut self, value: &Tensor) -> Tensor {
        if !value.requires_grad() {
            return value.shallow_clone();
        }
        let leaf = value.detach().set_requires_grad(true);
        self.values.push((value.shallow_clone(), leaf.shallow_clone()));
        leaf
    }

    /// The output of `block` as a leaf.
    pub(crate) fn run(
        &mut self,
        block: &'a Block,
        inputs: &[&Tensor],
        conditions: &BlockConditions,
    ) -> Tensor {
        let output = no_grad(|| block.forward(inputs, conditions)).set_requires_grad(true);
        self.blocks.push(Checkpoint {
            block,
            inputs: inputs.iter().map(|input| input.shallow_clone()).collect(),
            conditions: conditions.map(Tensor::shallow_clone),
            output: output.shallow_clone(),
        });
        output
    }

    /// Adds the gradients of the parameters before and in the blocks, after the loss's own backward pass has reached the
    /// last block's output.
    pub fn backward(self) {
        for Checkpoint { block, inputs, conditions, output } in self.blocks.into_iter().rev() {
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            if let Some(product) = vector_jacobian(&block.forward(&inputs, &conditions), &output) {
                product.backward();
            }
        }
        // The values may share a graph, which can be differentiated once.
        let products = self.values.iter().filter_map(|(value, leaf)| vector_jacobian(value, leaf));
        if let Some(product) = products.reduce(|sum, one| sum + one) {
            product.backward();
        }
    }
}

/// The scalar whose backward pass carries the gradient that `leaf` gathered into `value`; none if it gathered none.
fn vector_jacobian(value: &Tensor, leaf: &Tensor) -> Option<Tensor> {
    let gradient = leaf.grad();
    gradient.defined().then(|| (value * gradient).sum(Kind::Float))
}
