//! One stream of noise a picture, so that a picture does not depend on those beside it.

use kernels::memory::require;
use noise::Generator;
use tch::{Device, Kind, Tensor};

/// The streams of the pictures of a batch.
pub(crate) struct Streams<'a> {
    streams: &'a mut [Generator],
    twice: bool,
    rows: i64,
    device: Device,
    kind: Kind,
}

impl<'a> Streams<'a> {
    /// Noise for computing in `kind` on `device`.
    pub(crate) fn new(streams: &'a mut [Generator], device: Device, kind: Kind) -> Self {
        Self { streams, twice: false, rows: 1, device, kind }
    }

    /// The same where each image draws twice as many values and takes the first half, as GLIDE's notebook does, whose guided
    /// batch has noise for its unconditional half too.
    pub(crate) fn twice(self, twice: bool) -> Self {
        Self { twice, ..self }
    }

    /// The same where each image has so many rows of a batch, which it draws together: first come the first rows of all images.
    pub(crate) fn rows(self, rows: i64) -> Self {
        Self { rows, ..self }
    }

    /// Moves every stream on as [`Streams::normal`] does.
    pub(crate) fn skip(&mut self, shape: &[i64]) {
        drop(self.normal(shape));
    }

    /// The next values of every stream, `[rows B, shape..]` in f32, rounded to the values that the networks' kind has.
    pub(crate) fn normal(&mut self, shape: &[i64]) -> Tensor {
        let count = (self.rows * shape.iter().product::<i64>()) as usize;
        require::<f32>(2 * count);
        let drawn = if self.twice { 2 * count } else { count };
        let of_image = [&[self.rows], shape].concat();
        let values = |stream: &mut Generator| {
            Tensor::from_slice(&stream.normal(drawn)[..count]).view(&of_image[..])
        };
        let images: Vec<Tensor> = self.streams.iter_mut().map(values).collect();
        let rows = Tensor::stack(&images, 1).flatten(0, 1); // [rows B, shape..]
        rows.to_kind(self.kind).to_device(self.device).to_kind(Kind::Float)
    }
}
