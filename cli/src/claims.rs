//! `unclip evaluate --claims`: what the papers claim, tested with two models that are trained for it.

use std::path::Path;

use anyhow::{Result, ensure};
use evaluation::claims::plots;
use evaluation::evaluate::EvaluationProgress;
use evaluation::{ClaimsReport, Counts, evaluate_claims};

use crate::destinations::check_room;
use crate::model::ModelArgs;

/// Tests the claims with the models `stack` and `captions` in `folder`, which gets a folder of the pictures and `claims.svg`.
/// Fewer pictures than the documentation's, to try something, are `at_most` a setting.
pub fn run(
    folder: &Path,
    model: &ModelArgs,
    at_most: Option<u64>,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<ClaimsReport> {
    let models = ["stack", "captions"].map(|name| {
        let path = folder.join(name);
        (model.with_model(&path), path)
    });
    for (_, path) in &models {
        ensure!(
            path.is_dir(),
            "--claims: there is no model in {}: docs/claims.md says how the two models are trained",
            path.display()
        );
    }
    check_room("--claims", folder)?;
    // The pictures of other models are others, and so are those of another data type.
    let fingerprint = |n: usize| -> Result<String> {
        let print = models[n].0.folder()?.fingerprint()?;
        Ok(print[..8].to_owned())
    };
    let (stack, captions, dtype) = (fingerprint(0)?, fingerprint(1)?, model.dtype());
    let pictures = folder.join(format!("pictures-{stack}-{captions}-{dtype}"));
    let [stack, captions] = [0, 1].map(|n: usize| models[n].0.open(None, None));
    let counts = match at_most {
        None => Counts::STANDARD,
        Some(most) => Counts::STANDARD.limited(most),
    };
    let report = evaluate_claims((&stack?, &captions?), &pictures, counts, batch, progress)?;
    plots::draw(&report, &pictures.join("claims.svg"))?;
    Ok(report)
}
