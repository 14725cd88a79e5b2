//! A progress bar a stage, on standard error, and only where somebody looks at it.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pipeline::{Settings, Stage};

/// The bars of a run: each stage's counts its steps over all pictures.
pub struct Bars {
    screen: MultiProgress,
    bars: Vec<(Stage, ProgressBar)>,
    steps: Settings,
    pictures: usize,
}

impl Bars {
    /// For a run that draws `pictures` pictures; a bar appears with its stage's first step.
    pub fn new(settings: &Settings, pictures: usize) -> Self {
        Self {
            screen: MultiProgress::new(),
            bars: Vec::new(),
            steps: *settings,
            pictures,
        }
    }

    /// `done` steps of a stage of picture `picture` are done.
    pub fn set(&mut self, picture: usize, stage: Stage, done: usize) {
        let steps = self.steps.steps(stage);
        let total = (steps * self.pictures) as u64;
        let bar = match self.bars.iter().find(|(known, _)| *known == stage) {
            Some((_, bar)) => bar,
            None => {
                let bar = self.screen.add(
                    ProgressBar::new(total)
                        .with_style(style())
                        .with_prefix(stage.name()),
                );
                bar.enable_steady_tick(Duration::from_millis(500));
                self.bars.push((stage, bar));
                &self.bars[self.bars.len() - 1].1
            }
        };
        bar.set_position((picture * steps + done) as u64);
        if bar.position() == total {
            bar.finish();
        }
    }

    /// Writes something with the bars out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.screen.suspend(write)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>9} {bar:32} {pos}/{len} steps, {elapsed} gone, {eta} to go",
    )
    .expect("the template is sound")
}
