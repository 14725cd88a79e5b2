//! Which parts of a model a task works with: no other is opened.

use families::PriorKind;

use crate::Settings;

/// A need of a task beyond the decoder and the upsamplers, which every task needs that draws pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Captions become image embeddings.
    Prior,
    /// Pictures become image embeddings.
    ImageEncoder,
}

impl Settings {
    /// The prior that these settings draw with.
    pub(crate) fn prior_kind(&self) -> PriorKind {
        match self.prior_codes {
            Some(_) => PriorKind::Autoregressive,
            None => PriorKind::Diffusion,
        }
    }
}
