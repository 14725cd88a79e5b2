//! What was found, as numbers and as tables.

use serde::{Deserialize, Serialize};

use super::systems::System;
use super::verdicts::Verdict;
use crate::report::{percent, table};
use crate::statistics::{Estimate, Tally};

/// What one setting's pictures show.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// What drew them.
    pub system: System,
    /// The decoder's guidance scale.
    pub scale: f64,
    /// The prior's.
    pub prior_scale: f64,
    /// Pictures that show everything that their captions say.
    pub everything: Tally,
    /// The Frechet distance from as many true pictures over the judge's features; none of fewer pictures than features.
    pub fid_j: Option<f64>,
    /// The same over the embeddings of the CLIP that conditions the decoder, which is therefore no fair judge of it.
    pub fid_clip: Option<f64>,
    /// The entropy of what captions leave out over the renderer's, where it was measured.
    pub diversity: Option<f64>,
}

/// A claim and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Its name in `docs/claims.md`.
    pub name: String,
    /// What was compared.
    pub compared: String,
    /// What was found; none where it cannot be tested here.
    pub found: Option<Estimate>,
    /// What follows.
    pub verdict: Verdict,
}

/// All that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimsReport {
    /// The claims.
    pub claims: Vec<Claim>,
    /// The settings' pictures.
    pub points: Vec<Point>,
    /// The judge on as many true pictures of the base's size: what the settings can reach.
    pub truth: Tally,
}

impl Claim {
    /// A claim that a difference is larger than a margin.
    pub(crate) fn tested(name: &str, compared: &str, found: Estimate, margin: f64) -> Self {
        Self {
            name: name.to_owned(),
            compared: compared.to_owned(),
            found: Some(found).filter(|found| !found.value.is_nan()),
            verdict: found.verdict(margin),
        }
    }
}

impl ClaimsReport {
    /// Markdown tables.
    pub fn to_markdown(&self) -> String {
        let claims = self.claims.iter().map(|claim| {
            let found = claim.found.map(|found| format!("{found:+}")).unwrap_or_default();
            vec![claim.name.clone(), claim.compared.clone(), found, claim.verdict.name().to_owned()]
        });
        let claims = table(&["claim", "compared", "found (95%)", "verdict"], claims);
        let header = [
            "drawn by",
            "decoder's scale",
            "prior's",
            "everything asked",
            "FID-J",
            "CLIP's own",
            "diversity",
        ];
        let points = self.points.iter().map(|point| {
            let number = |value: Option<f64>| value.map(|v| format!("{v:.2}")).unwrap_or_default();
            vec![
                point.system.name().to_owned(),
                point.scale.to_string(),
                point.prior_scale.to_string(),
                percent(point.everything),
                number(point.fid_j),
                number(point.fid_clip.map(|distance| distance * 1000.0)),
                number(point.diversity),
            ]
        });
        let truth = vec![
            "true pictures".to_owned(),
            String::new(),
            String::new(),
            percent(self.truth),
            String::new(),
            String::new(),
            String::new(),
        ];
        let points = table(&header, [truth].into_iter().chain(points));
        format!("{claims}\n{points}")
    }
}
