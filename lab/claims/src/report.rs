//! The report of all tests, as numbers and as tables.

use evaluation::Report;
use judge::Proportion;
use judge::markdown::table;
use serde::{Deserialize, Serialize};

use crate::diversity::Diversity;
use crate::features::Features;
use crate::hypothesis_tests::Claim;
use crate::systems::System;

/// The measurements of one setting's images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The system.
    pub system: System,
    /// The decoder's guidance scale, or that of CLIP where its gradient guides.
    pub scale: f64,
    /// The prior's.
    pub prior_scale: f64,
    /// The images that show everything that their captions say.
    pub everything: Proportion,
    /// The Frechet distance from as many true images over the judge's features; none of fewer images than features.
    pub fid_j: Option<f64>,
    /// The same over the embeddings of the CLIP that conditions the decoder, which is therefore no fair judge of it.
    pub fid_clip: Option<f64>,
    /// The entropy of what captions leave out over the renderer's, where it was measured.
    pub diversity: Option<f64>,
}

/// The claims, and the points of the curves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimsReport {
    /// The claims.
    pub claims: Vec<Claim>,
    /// The settings.
    pub points: Vec<Point>,
    /// The accuracy of as many true images of the base size: the ceiling of the settings.
    pub truth: Proportion,
}

/// The points of all settings, by their first `count` images; the scales of a system in order.
pub(crate) fn points(
    features: &Features,
    diversity: Option<&Diversity>,
    count: usize,
) -> Vec<Point> {
    let mut points: Vec<Point> = features
        .by_setting
        .iter()
        .map(|(setting, own)| {
            let [fid_j, fid_clip] = own.distances(&features.truth, count);
            Point {
                system: setting.system,
                scale: setting.scale,
                prior_scale: setting.prior_scale,
                everything: own.accuracy(count),
                fid_j,
                fid_clip,
                diversity: diversity.and_then(|diversity| diversity.ratio(*setting)),
            }
        })
        .collect();
    points.sort_by_key(|p| (p.system, (p.prior_scale * 100.0) as u64, (p.scale * 100.0) as u64));
    points
}

impl Report for ClaimsReport {
    fn to_markdown(&self) -> String {
        let claims = self.claims.iter().map(|claim| {
            let found = claim.found.map(|found| format!("{found:+}")).unwrap_or_default();
            vec![claim.name.clone(), claim.compared.clone(), found, claim.verdict.name().to_owned()]
        });
        let claims = table("claim | compared | found (95%) | verdict", claims);
        let header = "drawn by | decoder's scale | prior's | everything asked | FID-J | CLIP's own | diversity";
        let points = self.points.iter().map(|point| {
            let number = |value: Option<f64>| value.map(|v| format!("{v:.2}")).unwrap_or_default();
            vec![
                point.system.name().to_owned(),
                point.scale.to_string(),
                point.prior_scale.to_string(),
                point.everything.to_string(),
                number(point.fid_j),
                number(point.fid_clip.map(|distance| distance * 1000.0)),
                number(point.diversity),
            ]
        });
        let truth = self.truth.to_string();
        let truth = ["true pictures", "", "", &truth, "", "", ""].map(str::to_owned).to_vec();
        let points = table(header, [truth].into_iter().chain(points));
        format!("{claims}\n{points}")
    }
}
