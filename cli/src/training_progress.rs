//! The progress of a training, on standard error: a bar where somebody looks at it, lines for logs.

use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use training::{Observer, TrainingStep};

use crate::interrupt;
use crate::messages::say;

const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Shows the progress of one model after the other, and stops at a signal.
pub(crate) struct TrainingProgress {
    /// Whether this process shows it.
    is_shown: bool,
    current: Option<(String, Display)>,
}

impl TrainingProgress {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { is_shown, current: None }
    }
}

/// The display of one model's training.
enum Display {
    /// At a terminal.
    Bar(ProgressBar),
    /// Lines for logs: one after half a minute, and as far apart from then on, and one at the end.
    Lines { last: Instant },
}

impl Observer for TrainingProgress {
    fn before_step(&mut self) -> ControlFlow<()> {
        match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn step(&mut self, step: &TrainingStep) {
        if !self.is_shown {
            return;
        }
        for (rank, speed) in step.uneven_speeds.iter().enumerate() {
            say!("rank {rank}: {speed:.1} pictures/s while it computes");
        }
        let same = self.current.as_ref().is_some_and(|(model, _)| model == step.model);
        if !same {
            self.current = Some((step.model.to_owned(), Display::new(step)));
        }
        if let Some((_, display)) = &mut self.current {
            display.show(step);
        }
    }
}

impl Display {
    fn new(first: &TrainingStep) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines { last: Instant::now() };
        }
        let style =
            ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} {msg}, {eta} left");
        let bar = ProgressBar::new(first.steps)
            .with_style(style.expect("the template is sound"))
            .with_prefix(first.model.to_owned());
        bar.set_position(first.step - 1);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_secs(1));
        Self::Bar(bar)
    }

    fn show(&mut self, step: &TrainingStep) {
        let TrainingStep { model, step, steps, batch, loss, images_per_second: rate, .. } = *step;
        let done = step == steps;
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("loss {loss:.4}, {rate:.0} pictures/s"));
                bar.set_position(step);
                if done {
                    bar.finish();
                }
            }
            Self::Lines { last } if done || last.elapsed() >= BETWEEN_LINES => {
                *last = Instant::now();
                let left = (steps - step) as f64 * batch as f64 / rate;
                let left = HumanDuration(Duration::from_secs_f64(left.max(0.0)));
                let left = if done { String::new() } else { format!(", {left} left") };
                say!("{model}: step {step} of {steps}, loss {loss:.4}, {rate:.0} pictures/s{left}");
            }
            Self::Lines { .. } => {}
        }
    }
}
