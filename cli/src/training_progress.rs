//! The progress of a training, on standard error: a bar where somebody looks at it, lines for logs.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use training::{Progress, Told};

use crate::messages::say;

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
        let Progress { leg, step, steps, loss, pictures_per_second: rate, .. } = *progress;
        let left = (steps - step) as f64 * progress.batch as f64 / rate;
        let left = HumanDuration(Duration::from_secs_f64(left.max(0.0)));
        let left = if done { String::new() } else { format!(", {left} left") };
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
