//! A function of tensors over memory of its own.

use std::cell::RefCell;

use tch::Tensor;

use crate::Error;

/// What makes recordings.
pub trait Recorder {
    /// Runs `f` where it will be recorded: libraries pick their kernels then, and load them.
    fn warm_up(&self, f: &dyn Fn() -> Tensor) -> Result<Tensor, Error>;

    /// Records what `f` does, and the tensor that each replay writes its output to. `f` computes on the device alone, reads
    /// no tensors but such as stay where they are, and was warmed up at the same shapes.
    fn record(&self, f: &dyn Fn() -> Tensor) -> Result<(Tensor, Box<dyn Recording>), Error>;
}

/// What a function did, to be done again.
pub trait Recording {
    /// Does what `f` does, with the same memory.
    fn replay(&mut self, f: &dyn Fn() -> Tensor) -> Result<(), Error>;
}

/// A recorded function of tensors.
pub struct Step {
    /// What the function reads.
    inputs: Vec<Tensor>,
    /// What was last copied there. To hold it keeps its memory from becoming another tensor's.
    given: Vec<Tensor>,
    output: Tensor,
    recording: Box<dyn Recording>,
}

impl Step {
    /// Records `f` at the shapes of `inputs`, at which it was warmed up.
    pub fn capture(
        recorder: &dyn Recorder,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Result<Self, Error> {
        let own: Vec<Tensor> = inputs.iter().map(Tensor::copy).collect();
        let (output, recording) = recorder.record(&|| f(&own))?;
        Ok(Self {
            inputs: own,
            given: inputs.iter().map(Tensor::shallow_clone).collect(),
            output,
            recording,
        })
    }

    /// What `f`, the recorded function, makes of `inputs` of the recorded shapes. An input that is the very tensor of the
    /// time before is not copied again: it must not have been written to.
    pub fn replay(
        &mut self,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Result<Tensor, Error> {
        for (n, input) in inputs.iter().enumerate() {
            if !is_same(input, &self.given[n]) {
                self.inputs[n].copy_(input);
                self.given[n] = input.shallow_clone();
            }
        }
        self.recording.replay(&|| f(&self.inputs))?;
        Ok(self.output.copy())
    }
}

/// A function of tensors that is run many times, at the same shapes as a rule.
#[derive(Default)]
pub struct Repeated(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    New,
    /// It was warmed up at these shapes.
    Warm(Vec<Shape>),
    Recorded(Vec<Shape>, Step),
    /// It could not be recorded, and is run as it is.
    Plain,
}

impl Repeated {
    /// What `f` makes of `inputs`: by `f` itself the first time that they have these shapes, from the second time on by
    /// what `recorder` recorded of it. `f` must be the same function every time, and [`Step::replay`] says what inputs must
    /// be. Where it cannot be recorded, that is told as a warning, and `f` is run.
    pub fn run(
        &self,
        recorder: &dyn Recorder,
        inputs: &[Tensor],
        f: &dyn Fn(&[Tensor]) -> Tensor,
    ) -> Tensor {
        let mut state = self.0.borrow_mut();
        let shapes: Vec<Shape> = inputs.iter().map(Shape::of).collect();
        let (next, output) = match std::mem::take(&mut *state) {
            State::Plain => (State::Plain, Ok(f(inputs))),
            State::Recorded(at, mut step) if at == shapes => {
                let output = step.replay(inputs, f);
                (State::Recorded(at, step), output)
            }
            State::Warm(at) if at == shapes => match Step::capture(recorder, inputs, f) {
                Ok(mut step) => {
                    let output = step.replay(inputs, f);
                    (State::Recorded(at, step), output)
                }
                Err(error) => (State::Plain, Err(error)),
            },
            other => {
                // What was recorded at other shapes gives its memory back first.
                drop(other);
                (State::Warm(shapes), recorder.warm_up(&|| f(inputs)))
            }
        };
        match output {
            Ok(output) => {
                *state = next;
                output
            }
            Err(error) => {
                tracing::warn!("{error}: each step is launched kernel by kernel");
                *state = State::Plain;
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
