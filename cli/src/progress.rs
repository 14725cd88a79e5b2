//! A progress bar a stage, on standard error, and only where somebody looks at it.

use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pipeline::observer::PRIOR;
use pipeline::{Settings, Step};

use crate::interrupt;

const STOPS: &str = "unclip: what is being drawn is finished first; Ctrl-C again ends at once";

/// The bars of a run: each stage's counts its steps over all images.
pub(crate) struct Bars {
    screen: MultiProgress,
    bars: Vec<(String, ProgressBar)>,
    images: Vec<Settings>,
    /// Whether the screen says that the run stops.
    stops: bool,
}

impl Bars {
    /// For a run that samples `images` images with the same settings; a bar appears with its stage's first step.
    pub(crate) fn new(settings: &Settings, images: usize) -> Self {
        Self::of(vec![settings.clone(); images])
    }

    /// For a run in which each image has settings of its own.
    pub(crate) fn of(images: Vec<Settings>) -> Self {
        Self { screen: MultiProgress::new(), bars: Vec::new(), images, stops: false }
    }

    /// Shows a step of the images from place `first` on.
    pub(crate) fn observe(&mut self, first: usize, step: &Step<'_>) -> ControlFlow<()> {
        if interrupt::requested() && !self.stops {
            self.stops = true;
            // Like the bars, this is for terminals only.
            let _ = self.screen.println(STOPS);
        }
        let total = self.steps(self.images.len(), step.stage);
        let last = self.images.len().min(first + step.batch);
        let [before, behind] = [first, last].map(|images| self.steps(images, step.stage));
        // A stage may take more steps than the settings say: code by code, several times, in several regions.
        let position = before + (behind - before) * step.done as u64 / step.steps.max(1) as u64;
        let bar = match self.bars.iter().find(|(stage, _)| stage == step.stage) {
            Some((_, bar)) => bar,
            None => {
                let bar = ProgressBar::new(total).with_style(style());
                let bar = self.screen.add(bar.with_prefix(step.stage.to_owned()));
                if !bar.is_hidden() {
                    bar.enable_steady_tick(Duration::from_millis(500));
                }
                self.bars.push((step.stage.to_owned(), bar));
                &self.bars[self.bars.len() - 1].1
            }
        };
        bar.set_position(position);
        if bar.position() == total {
            bar.finish();
        }
        ControlFlow::Continue(())
    }

    /// The steps of a stage over the first `count` images.
    fn steps(&self, count: usize, stage: &str) -> u64 {
        let steps = |settings: &Settings| match stage {
            PRIOR => settings.prior.as_ref().map_or(0, |prior| prior.steps),
            name => settings.stage(name).map_or(0, |stage| stage.steps.count()),
        };
        self.images[..count].iter().map(steps).sum::<usize>() as u64
    }

    /// The screen that the bars are on.
    pub(crate) fn screen(&self) -> MultiProgress {
        self.screen.clone()
    }

    /// Writes something with the bars out of the way.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.screen.suspend(write)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>9} {bar:32} {pos}/{len} steps, {elapsed} gone, {eta} to go",
    )
    .expect("the template is sound")
}
