//! `unclip evaluate --claims`: tests of what the papers claim, with two models that are trained for it.

use std::path::Path;

use ::claims::{ClaimsReport, SampleCounts, SampleStore, Systems, evaluate_claims, plots};
use anyhow::{Result, anyhow, ensure};
use evaluation::EvaluationProgress;

use crate::destinations::check_room;
use crate::model::ModelArgs;
use crate::output::write_whole;

/// Tests the claims with the models `stack` and `captions` in `folder`, which gets a folder of the images and `claims.svg`.
/// Fewer images than the documentation's, to try something, are `at_most` a setting; `batch` are sampled at once.
pub(crate) fn run(
    folder: &Path,
    model: &ModelArgs,
    at_most: Option<u64>,
    batch: usize,
    progress: &EvaluationProgress,
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
    // The images of other models are others, and so are those of another dtype.
    let fingerprint = |n: usize| -> Result<String> {
        let print = models[n].0.folder()?.fingerprint()?;
        Ok(print[..8].to_owned())
    };
    let (stack, captions, dtype) = (fingerprint(0)?, fingerprint(1)?, model.dtype());
    let images = folder.join(format!("pictures-{stack}-{captions}-{dtype}"));
    let [stack, captions] = [0, 1].map(|n: usize| models[n].0.open(None, None));
    let systems = Systems { stack: &stack?, captions: &captions? };
    let counts = match at_most {
        None => SampleCounts::STANDARD,
        Some(most) => SampleCounts::STANDARD.limited(most),
    };
    let plot = images.join("claims.svg");
    let store = SampleStore { systems: &systems, folder: images, batch, progress };
    let report = evaluate_claims(&store, counts)?;
    let svg = plots::svg(&report).map_err(|error| anyhow!(error))?;
    write_whole(&plot, svg.as_bytes(), true)?;
    Ok(report)
}
