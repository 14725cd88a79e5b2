//! A choice among candidates by CLIP.

use tch::{Tensor, no_grad};

/// Of candidates, row by row, the one that is the closest to what was asked for.
#[derive(Default)]
pub(crate) struct Nearest {
    /// Cosines `[B]`, and the candidates `[B, ..]` that they are of.
    best: Option<(Tensor, Tensor)>,
}

impl Nearest {
    /// One more candidate `[B, ..]`, which CLIP sees as `seen [B, E]`, where `asked [B, E]` was asked for.
    pub(crate) fn take(&mut self, candidate: Tensor, seen: &Tensor, asked: &Tensor) {
        self.best = Some(no_grad(|| {
            let closeness = Tensor::cosine_similarity(seen, asked, 1, 1e-8); // [B]
            match self.best.take() {
                None => (closeness, candidate),
                Some((before, kept)) => {
                    let closer = closeness.gt_tensor(&before);
                    let mut rows = vec![1; candidate.dim()];
                    rows[0] = -1;
                    (
                        closeness.where_self(&closer, &before),
                        candidate.where_self(&closer.view(&rows[..]), &kept),
                    )
                }
            }
        }));
    }

    /// The closest ones `[B, ..]`.
    pub(crate) fn kept(self) -> Tensor {
        self.best.expect("there is at least one candidate").1
    }
}
