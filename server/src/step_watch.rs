//! Steps as watchers see them: progress, and previews as many as are wanted and worth their time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pipeline::{Settings, Step};

use crate::app::App;
use crate::job::{Job, Preview, Progress};
use crate::shelf::Id;
use crate::work::Previews;

/// The shortest time between two live previews.
const PREVIEW_PAUSE: Duration = Duration::from_millis(200);

/// Previews may take this share of the time.
const PREVIEW_SHARE: u32 = 10;

/// Tells watchers of steps.
pub(crate) struct StepWatch<'a> {
    app: &'a App,
    /// The name of the stage that samples base images.
    base: &'a str,
    last_step: Instant,
    next_preview: Instant,
    /// The previews that were asked for by number and are sent: of which job, picture and number.
    sent: BTreeSet<(Id, usize, usize)>,
}

impl<'a> StepWatch<'a> {
    pub(crate) fn new(app: &'a App, settings: &'a Settings) -> Self {
        let now = Instant::now();
        let base = settings.base().map_or("", |base| &base.name);
        Self { app, base, last_step: now, next_preview: now, sent: BTreeSet::new() }
    }

    /// A step of pictures, each of a job, at its place there.
    pub(crate) fn step(&mut self, step: &Step<'_>, images: &[(&Job, usize, Previews)]) {
        let now = Instant::now();
        self.app.metrics.observe_step(step.stage, (now - self.last_step).as_secs_f64());
        self.last_step = now;
        let mut before = None;
        for &(job, image, _) in images {
            if before.replace(job.id) != Some(job.id) {
                let progress = Progress {
                    stage: step.stage.to_owned(),
                    index: step.index,
                    done: step.done,
                    steps: step.steps,
                    image,
                };
                job.update(|state| state.progress = Some(progress));
            }
        }
        let number = |&(job, image, previews): &(&Job, usize, Previews)| match previews {
            Previews::Live => (job.is_viewed() && now >= self.next_preview).then_some(0),
            Previews::Count(count) if step.stage == self.base => {
                let number = preview_number(count, step)?;
                // Candidates go through the same steps again.
                (!self.sent.contains(&(job.id, image, number))).then_some(number)
            }
            Previews::Count(_) => None,
        };
        let numbers: Vec<Option<usize>> = images.iter().map(number).collect();
        if numbers.iter().all(Option::is_none) {
            return;
        }
        // More pictures than are asked for where candidates are drawn: the first of each stands for all.
        let Some(pixels) = step.preview().filter(|pixels| pixels.len() % images.len() == 0) else {
            return;
        };
        let each = (pixels.len() / images.len()).max(1);
        let pixels = pixels.into_iter().step_by(each);
        for ((&(job, image, _), number), pixels) in images.iter().zip(numbers).zip(pixels) {
            if let Some(number) = number {
                self.sent.insert((job.id, image, number));
                let before = self.sent.range((job.id, image, 0)..(job.id, image, number)).count();
                let preview = Preview::new(image, before, pixels);
                job.update(|state| {
                    if let Some(place) = state.previews.get_mut(image) {
                        *place = Some(preview);
                    }
                });
            }
        }
        let cost = now.elapsed();
        self.next_preview = now + PREVIEW_PAUSE.max(cost * PREVIEW_SHARE);
    }
}

/// The number of the preview after a step, of so many that lie evenly over the steps.
fn preview_number(count: usize, step: &Step<'_>) -> Option<usize> {
    (0..count).find(|number| step.done == (number + 1) * step.steps / (count + 1))
}
