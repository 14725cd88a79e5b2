//! A progress bar a stage, on standard error, and only where somebody looks at it; a training's logs get lines.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use pipeline::{Settings, Stage};
use training::{Progress, Told};

use crate::interrupt;
use crate::messages::say;

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
        Self {
            screen: MultiProgress::new(),
            bars: Vec::new(),
            pictures,
            stops: false,
        }
    }

    /// `done` steps of a stage of picture `picture` are done.
    pub fn set(&mut self, picture: usize, stage: Stage, done: usize) {
        if interrupt::asked() && !self.stops {
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

/// A bar for each leg of a training, the last one's in sight; where nobody looks at a terminal, a line now and then.
pub fn leg_progress() -> Box<Told> {
    match stderr().is_terminal() {
        true => Box::new(leg_bars()),
        false => Box::new(leg_lines()),
    }
}

/// Lines for logs: one after half a minute, and as far apart from then on, and one at a leg's end.
fn leg_lines() -> impl Fn(&Progress) {
    let begun = RefCell::new((String::new(), Instant::now()));
    move |progress| {
        let mut begun = begun.borrow_mut();
        if begun.0 != progress.leg {
            *begun = (progress.leg.to_owned(), Instant::now());
        }
        let done = progress.step == progress.steps;
        if begun.1.elapsed() < BETWEEN_LINES && !done {
            return;
        }
        begun.1 = Instant::now();
        let Progress {
            leg,
            step,
            steps,
            loss,
            pictures_per_second: rate,
            ..
        } = *progress;
        let left = (steps - step) as f64 * progress.batch as f64 / rate;
        let left = HumanDuration(Duration::from_secs_f64(left.max(0.0)));
        let left = if done {
            String::new()
        } else {
            format!(", {left} left")
        };
        say!("{leg}: step {step} of {steps}, loss {loss:.4}, {rate:.0} pictures/s{left}");
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(30);

fn leg_bars() -> impl Fn(&Progress) {
    let shown: RefCell<Option<(String, ProgressBar)>> = RefCell::default();
    move |progress| {
        let mut shown = shown.borrow_mut();
        let same = matches!(&*shown, Some((leg, _)) if leg == progress.leg);
        if !same {
            let bar = ProgressBar::new(progress.steps)
                .with_style(leg_style())
                .with_prefix(progress.leg.to_owned());
            bar.set_position(progress.step - 1);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_secs(1));
            *shown = Some((progress.leg.to_owned(), bar));
        }
        if let Some((_, bar)) = &*shown {
            let (loss, rate) = (progress.loss, progress.pictures_per_second);
            bar.set_message(format!("loss {loss:.4}, {rate:.0} pictures/s"));
            bar.set_position(progress.step);
            if progress.step == progress.steps {
                bar.finish();
            }
        }
    }
}

fn leg_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} {msg}, {eta} left")
        .expect("the template is sound")
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>9} {bar:32} {pos}/{len} steps, {elapsed} gone, {eta} to go",
    )
    .expect("the template is sound")
}
