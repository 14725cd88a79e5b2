//! `unclip evaluate --claims`: tests of what the papers claim, with two models that are trained for it and with GLIDE.

use std::path::{Path, PathBuf};

use ::claims::plots::{self, Page};
use ::claims::{
    ClaimsReport, Glide, SampleCounts, SampleStore, Sampler, Systems, evaluate_claims,
    evaluate_guidance, guidance,
};
use anyhow::{Result, anyhow, ensure};
use evaluation::EvaluationProgress;

use crate::destinations::check_room;
use crate::model::ModelArgs;
use crate::output::write_whole;

/// The models of the systems that are compared, in the folder.
const SYSTEMS: [&str; 2] = ["stack", "captions"];
/// The model that is guided in two ways: in the folder, or else the one inside.
const GLIDE: &str = "glide";
const BUILT_IN_GLIDE: &str = "builtin:glide";

/// Tests of claims, and what they take.
pub(crate) struct Claims<'a> {
    /// The folder of the models, which gets a folder of the images and the plots of each test.
    pub folder: &'a Path,
    pub model: &'a ModelArgs,
    /// Fewer images a setting than the documentation's, to try something.
    pub at_most: Option<u64>,
    /// Images that are sampled at once.
    pub batch: usize,
    pub progress: &'a EvaluationProgress<'a>,
}

impl Claims<'_> {
    /// The claims on the systems. None where the folder has neither of their models and GLIDE alone is tested.
    pub(crate) fn test_systems(&self) -> Result<Option<ClaimsReport>> {
        let paths = SYSTEMS.map(|name| self.folder.join(name));
        let is_left_out = self.glide().is_some() && !paths.iter().any(|path| path.is_dir());
        if is_left_out {
            return Ok(None);
        }
        for path in &paths {
            ensure!(
                path.is_dir(),
                "--claims: there is no model in {}: docs/claims.md says how the two models are trained",
                path.display()
            );
        }
        check_room("--claims", self.folder)?;
        let [stack, captions] = paths.map(|path| self.model.with_model(&path));
        let images = self.images("pictures", &[&stack, &captions])?;
        let [stack, captions] = [stack, captions].map(|model| model.open(None, None));
        let systems = Systems { stack: &stack?, captions: &captions? };
        let store = self.store(&systems, &images);
        let mut report = evaluate_claims(&systems, &store, self.counts())?;
        if self.glide().is_none() {
            report.claims.push(guidance::untested());
        }
        write_plots(&images.join("claims.svg"), &report, &plots::SYSTEMS)?;
        Ok(Some(report))
    }

    /// The claim on GLIDE's two kinds of guidance. None where there is no such model.
    pub(crate) fn test_guidance(&self) -> Result<Option<ClaimsReport>> {
        let Some(path) = self.glide() else {
            return Ok(None);
        };
        check_room("--claims", self.folder)?;
        let model = self.model.with_model(&path);
        let images = self.images("guidance", &[&model])?;
        let glide = Glide { pipeline: &model.open(None, None)? };
        let report = evaluate_guidance(&glide, &self.store(&glide, &images), self.counts())?;
        write_plots(&images.join("guidance.svg"), &report, &plots::GUIDANCE)?;
        Ok(Some(report))
    }

    fn glide(&self) -> Option<PathBuf> {
        let path = self.folder.join(GLIDE);
        let is_built_in = || unclip::built_in_models().contains(&BUILT_IN_GLIDE);
        match path.is_dir() {
            true => Some(path),
            false => is_built_in().then(|| PathBuf::from(BUILT_IN_GLIDE)),
        }
    }

    /// The folder of some models' images: those of other models are others, and so are those of another dtype.
    fn images(&self, name: &str, models: &[&ModelArgs]) -> Result<PathBuf> {
        let mut parts = vec![name.to_owned()];
        for model in models {
            parts.push(model.folder()?.fingerprint()?[..8].to_owned());
        }
        parts.push(self.model.dtype().to_owned());
        Ok(self.folder.join(parts.join("-")))
    }

    fn store<'a>(&'a self, sampler: &'a dyn Sampler, folder: &Path) -> SampleStore<'a> {
        let (batch, progress) = (self.batch, self.progress);
        SampleStore { sampler, folder: folder.to_owned(), batch, progress }
    }

    fn counts(&self) -> SampleCounts {
        match self.at_most {
            None => SampleCounts::STANDARD,
            Some(most) => SampleCounts::STANDARD.limited(most),
        }
    }
}

fn write_plots(path: &Path, report: &ClaimsReport, page: &Page) -> Result<()> {
    let svg = plots::svg(report, page).map_err(|error| anyhow!(error))?;
    write_whole(path, svg.as_bytes(), true)
}
