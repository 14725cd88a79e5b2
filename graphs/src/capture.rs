//! Graphs of a function of tensors, captured over static memory, and the cache that decides when to capture.

use std::cell::RefCell;

use tch::Tensor;

use crate::Error;

/// A backend that captures graphs.
pub trait GraphCapture: Send {
    /// Runs `f` where it will be captured: libraries choose and load their kernels then.
    fn warm_up(&self, f: &dyn Fn() -> Tensor) -> Result<Tensor, Error>;

    /// Captures what `f` launches, and the tensor that each replay writes its output to. `f` computes on the device alone,
    /// reads no tensors but such as stay where they are, and was warmed up at the same shapes.
    fn capture(&self, f: &dyn Fn() -> Tensor) -> Result<(Tensor, Box<dyn Graph>), Error>;
}

/// The launches of a function, to be replayed.
pub trait Graph: Send {
    /// Computes what `f`, the captured function, computes, over the same memory.
    fn replay(&mut self, f: &dyn Fn() -> Tensor) -> Result<(), Error>;
}

/// A captured function of tensors with its static inputs and output.
pub struct CapturedGraph {
    /// The tensors that the graph reads.
    inputs: Vec<Tensor>,
    /// The tensors last copied there. Holding them keeps their memory from becoming another tensor's.
    sources: Vec<Tensor>,
    output: Tensor,
    graph: Box<dyn Graph>,
}

impl CapturedGraph {
    /// Captures `f` at the shapes of `inputs`, at which it was warmed up.
    pub fn capture(
        backend: &dyn GraphCapture,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Result<Self, Error> {
        let sources = inputs.iter().map(Tensor::shallow_clone).collect();
        let inputs: Vec<Tensor> = inputs.iter().map(Tensor::copy).collect();
        let (output, graph) = backend.capture(&|| f(&inputs))?;
        Ok(Self { inputs, sources, output, graph })
    }

    /// The output of `f`, the captured function, at `inputs` of the captured shapes. An input that is the very tensor of
    /// the replay before is not copied again: it must not have been written to.
    pub fn replay(
        &mut self,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Result<Tensor, Error> {
        for (n, input) in inputs.iter().enumerate() {
            if !is_same(input, &self.sources[n]) {
                self.inputs[n].copy_(input);
                self.sources[n] = input.shallow_clone();
            }
        }
        self.graph.replay(&|| f(&self.inputs))?;
        Ok(self.output.copy())
    }
}

/// The graph of one function that runs many times, at the same shapes as a rule.
#[derive(Default)]
pub struct GraphCache(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    Empty,
    /// Warmed up at these shapes.
    Warm(Vec<Shape>),
    Captured(Vec<Shape>, CapturedGraph),
    /// The capture failed: the function runs eagerly.
    Eager,
}

impl GraphCache {
    /// The output of `f` at `inputs`: eagerly the first time that they have these shapes, from the second time on by the
    /// graph that `backend` captures. `f` must be the same function every time, and [`CapturedGraph::replay`] says what
    /// inputs must be. Where the capture fails, a warning says why, and `f` runs eagerly from then on.
    pub fn run(
        &self,
        backend: &dyn GraphCapture,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Tensor {
        let mut state = self.0.borrow_mut();
        let shapes: Vec<Shape> = inputs.iter().map(Shape::of).collect();
        let (next, output) = match std::mem::take(&mut *state) {
            State::Eager => (State::Eager, Ok(f(inputs))),
            State::Captured(at, mut graph) if at == shapes => {
                let output = graph.replay(inputs, f);
                (State::Captured(at, graph), output)
            }
            State::Warm(at) if at == shapes => match CapturedGraph::capture(backend, inputs, f) {
                Ok(mut graph) => {
                    let output = graph.replay(inputs, f);
                    (State::Captured(at, graph), output)
                }
                Err(error) => (State::Eager, Err(error)),
            },
            other => {
                // A graph of other shapes gives its memory back first.
                drop(other);
                (State::Warm(shapes), backend.warm_up(&|| f(inputs)))
            }
        };
        match output {
            Ok(output) => {
                *state = next;
                output
            }
            Err(error) => {
                tracing::warn!("{error}: each step is launched kernel by kernel");
                *state = State::Eager;
                f(inputs)
            }
        }
    }
}

#[derive(PartialEq)]
struct Shape(Vec<i64>, tch::Kind, tch::Device);

impl Shape {
    fn of(tensor: &Tensor) -> Self {
        Self(tensor.size(), tensor.kind(), tensor.device())
    }
}

/// Whether two tensors of one shape are the same numbers in memory.
fn is_same(one: &Tensor, other: &Tensor) -> bool {
    one.data_ptr() == other.data_ptr() && one.stride() == other.stride()
}
