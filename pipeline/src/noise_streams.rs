//! One stream of noise a picture, so that a picture does not depend on those beside it.

use kernels::memory::require;
use noise::Generator;
use tch::{Device, Kind, Tensor};

/// The streams of the pictures of a batch.
pub(crate) struct Streams<'a> {
    streams: &'a mut [Generator],
    device: Device,
    kind: Kind,
}

impl<'a> Streams<'a> {
    /// Noise for computing in `kind` on `device`.
    pub(crate) fn new(streams: &'a mut [Generator], device: Device, kind: Kind) -> Self {
        Self { streams, device, kind }
    }

    /// The next values of every stream, `[B, shape..]` in f32, rounded to the values that the networks' kind has.
    pub(crate) fn normal(&mut self, shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        require::<f32>(count);
        let rows: Vec<Tensor> = self
            .streams
            .iter_mut()
            .map(|stream| Tensor::from_slice(&stream.normal(count)).view(shape))
            .collect();
        Tensor::stack(&rows, 0).to_kind(self.kind).to_device(self.device).to_kind(Kind::Float)
    }
}
