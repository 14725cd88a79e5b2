//! A choice among candidates by CLIP (2204.06125, section 2.2; 2102.12092, section 2.6).

use tch::{Tensor, no_grad};

/// Of candidates, row by row, the one whose CLIP embedding has the largest cosine with a target.
#[derive(Default)]
pub(crate) struct Reranker {
    /// Cosines `[B]`, and the candidates `[B, ..]` that they are of.
    best: Option<(Tensor, Tensor)>,
}

impl Reranker {
    /// Compares one more candidate `[B, ..]`, whose embedding is `embedding [B, E]`, with the best one for `target [B, E]`.
    pub(crate) fn offer(&mut self, candidate: Tensor, embedding: &Tensor, target: &Tensor) {
        self.best = Some(no_grad(|| {
            let cosine = Tensor::cosine_similarity(embedding, target, 1, 1e-8); // [B]
            match self.best.take() {
                None => (cosine, candidate),
                Some((before, best)) => {
                    let closer = cosine.gt_tensor(&before);
                    let mut rows = vec![1; candidate.dim()];
                    rows[0] = -1;
                    (
                        cosine.where_self(&closer, &before),
                        candidate.where_self(&closer.view(&rows[..]), &best),
                    )
                }
            }
        }));
    }

    /// The best ones `[B, ..]`.
    pub(crate) fn into_best(self) -> Tensor {
        self.best.expect("there is at least one candidate").1
    }
}
