//! Ways: the frames of interpolations and text diffs.

use std::cell::Cell;
use std::ops::ControlFlow;

use images::RgbImage;
use pipeline::{Interpolation, InterpolationEnd, Latent, Pipeline, Settings, Step, Task};

use crate::app::App;
use crate::job::Job;
use crate::step_watch::StepWatch;
use crate::work::{Previews, Way};

/// How often the decoder is asked to invert a picture, as the command's default.
const INVERSION_CALLS: usize = 100;

/// Draws the frames of a way and hands each on with the settings that it was drawn with.
#[expect(clippy::too_many_arguments)]
pub(crate) fn draw_way(
    app: &App,
    pipeline: &Pipeline,
    job: &Job,
    way: &Way,
    frames: usize,
    seed: u64,
    settings: &Settings,
    mut finish: impl FnMut(&Settings, usize, f64, RgbImage),
) -> Result<(), pipeline::Error> {
    let mut watch = StepWatch::new(app, settings);
    let place = &Cell::new(0);
    let observer = &mut |step: Step<'_>| {
        if job.is_over() {
            return ControlFlow::Break(());
        }
        watch.step(&step, &[(job, place.get(), Previews::Live)]);
        ControlFlow::Continue(())
    };
    let t = |frame: usize| match frames {
        1 => 1.0,
        frames => frame as f64 / (frames - 1) as f64,
    };
    match way {
        Way::Interpolation { ends, shared_noise } => {
            let is_caption = |end: &InterpolationEnd| matches!(end, InterpolationEnd::Caption(_));
            let task = Task {
                prior: ends.iter().any(is_caption),
                image_encoder: !ends.iter().all(is_caption),
                ..Task::MIXED
            };
            let mut settings = settings.clone();
            if !task.prior {
                settings = settings.without_prior();
            }
            pipeline.prepare(task, &settings)?;
            let latents = match (ends, shared_noise) {
                ([InterpolationEnd::Image(from), InterpolationEnd::Image(to)], false) => {
                    let steps = pipeline.steps_of_calls(INVERSION_CALLS)?;
                    settings = pipeline.inversion_settings(settings, steps, 1.0)?;
                    (settings.guidance_interval, settings.thresholding) = (None, None);
                    let mut invert = |image: &RgbImage| {
                        pipeline
                            .invert(std::slice::from_ref(image), steps, observer)
                            .map(Latent::Inversion)
                    };
                    [invert(from)?, invert(to)?]
                }
                ([from, to], _) => [
                    pipeline.encode_end(from, seed, &settings, observer)?,
                    pipeline.encode_end(to, seed, &settings, observer)?,
                ],
            };
            let settings = settings.without_prior();
            let [from, to] = latents;
            let way = Interpolation::new(from, to, seed, &settings);
            for frame in 0..frames {
                place.set(frame);
                let image = way.frame(pipeline, t(frame), observer)?;
                finish(&settings, frame, t(frame), image);
            }
        }
        Way::TextDiff { image, from, to, strength, guidance_scale } => {
            let steps = pipeline.steps_of_calls(INVERSION_CALLS)?;
            let settings = settings.clone().without_prior();
            let settings = pipeline.inversion_settings(settings, steps, *guidance_scale)?;
            pipeline.prepare(Task::EDIT, &settings)?;
            let diff = pipeline.text_diff(image, from, to, steps, observer)?;
            let diff = diff.with_strength(*strength).with_guidance_scale(*guidance_scale);
            for frame in 0..frames {
                place.set(frame);
                let images = diff.frames(pipeline, t(frame), &[seed], &settings, observer)?;
                for image in images {
                    finish(&settings, frame, t(frame), image);
                }
            }
        }
    }
    Ok(())
}
