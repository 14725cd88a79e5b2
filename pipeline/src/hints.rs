//! Hints: images, of depths say, by which a decoder draws beside an embedding (Kandinsky 2.2's ControlNet).

use decoder::HINT_SCALE;
use images::RgbImage;
use tch::{Tensor, no_grad};

use crate::image_to_image::squashed;
use crate::memory::within_memory;
use crate::stages::BASE;
use crate::{Error, Pipeline, Settings};

impl Pipeline {
    /// Whether the decoder draws by a hint, and by an embedding alone not.
    pub fn takes_hints(&self) -> Result<bool, Error> {
        Ok(self.components.hint_channels(BASE)? > 0)
    }

    /// The size of the hint that fits images of these settings, `[width, height]`; one of another size is squashed to it.
    pub fn hint_size(&self, settings: &Settings) -> Result<[u32; 2], Error> {
        let [_, height, width] = self.sample_shape(BASE, settings)?;
        Ok([width, height].map(|side| (HINT_SCALE * side) as u32))
    }

    /// Refuses a hint that the decoder does not take, and none where it does.
    pub(crate) fn check_hint(&self, is_there: bool) -> Result<(), Error> {
        let family = self.components.family().name;
        match (self.takes_hints()?, is_there) {
            (false, true) => Err(Error::UnreadHint { family }),
            (true, false) => Err(Error::NoHint { family }),
            _ => Ok(()),
        }
    }

    /// The features `[B, 4, h, w]` of hints; `None` where there are none.
    pub(crate) fn hint_features(
        &self,
        index: usize,
        hints: &[&RgbImage],
        settings: &Settings,
    ) -> Result<Option<Tensor>, Error> {
        if hints.is_empty() {
            return Ok(None);
        }
        let conditioning = self.components.image_conditioning(index)?;
        let encoder = conditioning.hint_encoder().expect("a decoder that takes hints encodes them");
        let size = self.hint_size(settings)?;
        within_memory(|| {
            let pixels = squashed(hints, size)?; // [B, 3, H, W]
            let hints = (pixels + 1.0) / 2.0;
            let hints = hints.to_device(self.device).to_kind(self.kind);
            Ok(Some(no_grad(|| encoder.forward(&hints)).to_kind(tch::Kind::Float)))
        })
    }
}
