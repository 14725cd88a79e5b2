//! A progress bar a stage, on standard error, and only where somebody looks at it.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pipeline::{Settings, Stage};

use crate::interrupt;

const STOPS: &str = "unclip: what is being drawn is finished first; Ctrl-C again ends at once";

/// The bars of a run: each stage's counts its steps over all pictures.
pub struct Bars {
    screen: MultiProgress,
    bars: Vec<(Stage, ProgressBar)>,
    pictures: Vec<Settings>,
    /// Whether the user has been told that the run stops.
    stops: bool,
}

impl Bars {
    /// For a run that draws `pictures` pictures with the same settings; a bar appears with its stage's first step.
    pub fn new(settings: &Settings, pictures: usize) -> Self {
        Self::of(vec![*settings; pictures])
    }

    /// For a run in which each picture has settings of its own.
    pub fn of(pictures: Vec<Settings>) -> Self {
        Self { screen: MultiProgress::new(), bars: Vec::new(), pictures, stops: false }
    }

    /// `done` steps of a stage of picture `picture` are done.
    pub fn set(&mut self, picture: usize, stage: Stage, done: usize) {
        if interrupt::requested() && !self.stops {
            self.stops = true;
            // Like the bars, this is for terminals only.
            let _ = self.screen.println(STOPS);
        }
        let steps = |pictures: &[Settings]| -> usize {
            pictures.iter().map(|settings| settings.steps(stage)).sum()
        };
        let total = steps(&self.pictures) as u64;
        let bar = match self.bars.iter().find(|(known, _)| *known == stage) {
            Some((_, bar)) => bar,
            None => {
                let bar = self
                    .screen
                    .add(ProgressBar::new(total).with_style(style()).with_prefix(stage.name()));
                if !bar.is_hidden() {
                    bar.enable_steady_tick(Duration::from_millis(500));
                }
                self.bars.push((stage, bar));
                &self.bars[self.bars.len() - 1].1
            }
        };
        bar.set_position((steps(&self.pictures[..picture]) + done) as u64);
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
