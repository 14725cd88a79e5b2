//! Inpainting: whether what is asked for is painted in the place of a scene's thing, and whether the border of the mask shows
//! (2112.10741, section 4.3).

use image::RgbImage;
use judge::markdown::table;
use judge::network::HIDDEN;
use judge::{Judge, Prediction, Proportion, Question};
use pipeline::repaint::RESAMPLE;
use pipeline::{Edit, Request, Settings, Silent, Task};
use serde::{Deserialize, Serialize};

use crate::edit_examples::{EditExample, edit_examples, originals, truths};
use crate::edit_masks::{MaskShape, SIZES};
use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::examples::{CaptionedScene, Example};
use crate::frechet::{check, frechet};
use crate::statistics::{Estimate, ratio_of_sums};

/// Scenes with a caption of another thing or colour, and the number of the first.
const SCENES: u64 = 1000;
const FIRST: u64 = 600_000;
/// Scenes with an empty caption, and the number of the first.
const EMPTY_CAPTIONS: u64 = 300;
const FIRST_EMPTY: u64 = 800_000;
/// The first scenes of which a fresh image of the caption is pasted into the mask.
const FRESH: usize = 200;

/// Inpainting by one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InpaintingReport {
    /// How the model paints.
    pub method: String,
    /// The pipeline's settings.
    pub settings: Settings,
    /// The seed of scene 0's noise.
    pub seed: u64,
    /// The model's images: by the size and by the shape of the mask, by what is asked for, and all.
    pub rows: Vec<InpaintingRow>,
    /// Other images to compare with: the scenes untouched, fresh images of the captions pasted into the masks, and the scenes
    /// that the captions describe.
    pub references: Vec<InpaintingRow>,
    /// The model's images of empty captions, and the same scenes with another thing or colour.
    pub empty_captions: Vec<EmptyCaptionRow>,
}

/// Some images that should show something else where a mask says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InpaintingRow {
    /// The name of what they have in common.
    pub name: String,
    /// How often they show the thing that is asked for.
    pub thing: Proportion,
    /// How often they show its colour.
    pub colour: Proportion,
    /// How often they show both.
    pub both: Proportion,
    /// How often every pixel outside of the mask is that of the scene.
    pub unchanged: Proportion,
    /// The difference of neighbours across the masks' borders over that of the scenes that the captions describe.
    pub seam: Estimate,
    /// The same of pixels a 64th of the side apart.
    pub wide_seam: Estimate,
}

/// Images whose masks are filled without a caption.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmptyCaptionRow {
    /// Their name.
    pub name: String,
    /// The number of images.
    pub images: u64,
    /// The difference of neighbours across the masks' borders over the scenes' own.
    pub seam: Estimate,
    /// The Frechet distance from the scenes over the judge's features; none of fewer images than features.
    pub fid_j: Option<f64>,
}

/// A report, and samples to look at.
pub struct InpaintingEvaluation {
    /// The numbers.
    pub report: InpaintingReport,
    /// The examples of captions with what the model made of them, in order.
    pub samples: Vec<(EditExample, RgbImage)>,
}

/// The measurements of one image.
struct Measurement {
    thing: bool,
    colour: bool,
    unchanged: bool,
    /// The difference of neighbours across the mask's border, and that of the scene that the caption describes.
    seams: [f64; 2],
    /// The same of pixels further apart.
    wide_seams: [f64; 2],
}

/// Has a model paint over the things of fresh scenes, by captions of another thing or colour and without captions.
pub fn evaluate_inpainting(evaluator: &Evaluator) -> Result<InpaintingEvaluation, Error> {
    let Evaluator { pipeline, settings, .. } = evaluator;
    let task = Task { inpaints: true, ..Task::GENERATE };
    pipeline.prepare(task, &settings.drawing)?;
    let side = pipeline.side()?;
    let examples = edit_examples(FIRST, evaluator.limited(SCENES), side);
    let painted = paint_all(evaluator, "inpainting", &examples, captions)?;
    let rows = rows(&examples, &measure(evaluator.judge, &examples, &painted));
    let references = references(evaluator, &examples)?;
    let report = InpaintingReport {
        method: match pipeline.repaints()? {
            true => {
                let times = settings.drawing.resample.unwrap_or(RESAMPLE);
                format!("by RePaint, each step {times} times")
            }
            false => "by networks that were trained for it".to_owned(),
        },
        settings: settings.drawing.clone(),
        seed: settings.seed,
        rows,
        references,
        empty_captions: evaluate_empty_captions(evaluator, side)?,
    };
    Ok(InpaintingEvaluation { report, samples: examples.into_iter().zip(painted).collect() })
}

/// The captions of examples.
fn captions(examples: &[EditExample]) -> Vec<&str> {
    examples.iter().map(|example| &*example.target.caption.text).collect()
}

/// As many empty captions.
fn empty_captions(examples: &[EditExample]) -> Vec<&str> {
    vec![""; examples.len()]
}

/// The images that the model makes of examples, with these captions.
fn paint_all(
    evaluator: &Evaluator,
    label: &str,
    examples: &[EditExample],
    captions: fn(&[EditExample]) -> Vec<&str>,
) -> Result<Vec<RgbImage>, Error> {
    evaluator.sample_batches(label, examples.len(), &|batch| {
        let batch = &examples[batch];
        paint(evaluator, batch, &captions(batch))
    })
}

/// A batch of these: [`pipeline::Pipeline::inpaint`] of scenes of the size that the model samples, each with a mask of its own.
pub fn paint(
    evaluator: &Evaluator,
    examples: &[EditExample],
    captions: &[&str],
) -> Result<Vec<RgbImage>, Error> {
    let Evaluator { pipeline, settings, .. } = evaluator;
    let originals = originals(examples, pipeline.side()?);
    let all = examples.iter().zip(originals).zip(captions);
    let edits = all.map(|((example, image), &caption)| {
        let seed = settings.seed.wrapping_add(example.target.number);
        let edit = Edit::new(image, example.mask.to_paint_mask()).expect("a mask of its size");
        (edit, [Request::new(caption, seed, settings.drawing.clone())])
    });
    let edits: Vec<_> = edits.collect();
    let edits: Vec<_> = edits.iter().map(|(edit, request)| (edit, &request[..])).collect();
    Ok(pipeline.inpaint_all(&edits, &mut Silent)?)
}

/// The measurements of images of examples.
fn measure(judge: &Judge, examples: &[EditExample], images: &[RgbImage]) -> Vec<Measurement> {
    let predictions = judge.predict(images);
    let all = examples.iter().zip(images).zip(&predictions);
    all.map(|((example, image), prediction)| Measurement::of(example, image, prediction)).collect()
}

impl Measurement {
    fn of(example: &EditExample, image: &RgbImage, prediction: &Prediction) -> Self {
        let side = image.width();
        let shows = |question| example.target.is_right(&[question], prediction) == Some(true);
        let truth = example.target.scene.to_image(side);
        Self {
            thing: shows(Question::Thing),
            colour: shows(Question::Colour),
            unchanged: example.mask.changes_outside(&example.scene.to_image(side), image) == 0,
            seams: [image, &truth].map(|image| example.mask.seam(image)),
            wide_seams: [image, &truth].map(|image| example.mask.wide_seam(image)),
        }
    }
}

impl InpaintingRow {
    /// The row of images of examples, one each, of one size.
    pub fn measure(
        name: &str,
        judge: &Judge,
        examples: &[EditExample],
        images: &[RgbImage],
    ) -> Self {
        Self::of(name, &measure(judge, examples, images))
    }

    fn of<'a>(name: &str, measurements: impl IntoIterator<Item = &'a Measurement>) -> Self {
        let all: Vec<&Measurement> = measurements.into_iter().collect();
        let share = |is: fn(&Measurement) -> bool| all.iter().map(|one| is(one)).collect();
        Self {
            name: name.to_owned(),
            thing: share(|one| one.thing),
            colour: share(|one| one.colour),
            both: share(|one| one.thing && one.colour),
            unchanged: share(|one| one.unchanged),
            seam: seam_ratio(all.iter().map(|one| one.seams)),
            wide_seam: seam_ratio(all.iter().map(|one| one.wide_seams)),
        }
    }
}

/// The sum of the first differences over that of the second.
fn seam_ratio(seams: impl Iterator<Item = [f64; 2]>) -> Estimate {
    let (own, others): (Vec<f64>, Vec<f64>) = seams.map(|[own, other]| (own, other)).unzip();
    ratio_of_sums(&own, &others)
}

/// A row for each size and each shape of masks and for each kind of captions that has examples, and one for all.
fn rows(examples: &[EditExample], measurements: &[Measurement]) -> Vec<InpaintingRow> {
    let row = |name: &str, belongs: &dyn Fn(&EditExample) -> bool| {
        let own = examples.iter().zip(measurements).filter(|(example, _)| belongs(example));
        let own: Vec<&Measurement> = own.map(|(_, measurement)| measurement).collect();
        (!own.is_empty()).then(|| InpaintingRow::of(name, own))
    };
    let sizes = SIZES.iter().enumerate().map(|(n, [low, high])| {
        let name = format!("{:.0} to {:.0}% painted anew", 100.0 * low, 100.0 * high);
        row(&name, &|example| example.size == n)
    });
    let shapes = MaskShape::ALL.map(|shape| row(shape.name(), &|example| example.shape == shape));
    let questions = [(Question::Thing, "another thing"), (Question::Colour, "another colour")];
    let questions =
        questions.map(|(question, name)| row(name, &|example| example.question == question));
    sizes.chain(shapes).chain(questions).chain([row("all", &|_| true)]).flatten().collect()
}

/// Rows of images that no model painted: two floors, and the ceiling.
fn references(
    evaluator: &Evaluator,
    examples: &[EditExample],
) -> Result<Vec<InpaintingRow>, Error> {
    let side = evaluator.pipeline.side()?;
    let row = |name: &str, examples: &[EditExample], images: &[RgbImage]| {
        InpaintingRow::measure(name, evaluator.judge, examples, images)
    };
    let some = &examples[..examples.len().min(FRESH)];
    let fresh = evaluator.sample_batches("fresh pictures", some.len(), &|batch| {
        let batch = &some[batch];
        let targets: Vec<Example> = batch.iter().map(|example| example.target.clone()).collect();
        let (texts, seeds) = (captions(batch), evaluator.seeds(&targets));
        evaluator.sample(&texts, None, &seeds, &evaluator.settings.drawing)
    })?;
    let both = some.iter().zip(originals(some, side)).zip(&fresh);
    let pasted: Vec<RgbImage> =
        both.map(|((example, scene), fresh)| example.mask.paste(&scene, fresh)).collect();
    Ok(vec![
        row("the pictures untouched", examples, &originals(examples, side)),
        row("fresh pictures pasted in", some, &pasted),
        row("true pictures", examples, &truths(examples, side)),
    ])
}

/// The seam, and the distance from the scenes, of images whose masks are filled without a caption.
fn evaluate_empty_captions(
    evaluator: &Evaluator,
    side: u32,
) -> Result<Vec<EmptyCaptionRow>, Error> {
    let examples = edit_examples(FIRST_EMPTY, evaluator.limited(EMPTY_CAPTIONS), side);
    let painted = paint_all(evaluator, "empty captions", &examples, empty_captions)?;
    let originals = originals(&examples, side);
    let features = evaluator.judge.features(&originals);
    let row = |name: &str, images: &[RgbImage]| {
        let all = examples.iter().zip(&originals).zip(images);
        let seams = all.map(|((example, own), image)| [image, own].map(|i| example.mask.seam(i)));
        let is_enough = check(images.len() as i64, HIDDEN).is_ok();
        let distance = is_enough.then(|| frechet(&evaluator.judge.features(images), &features));
        Ok(EmptyCaptionRow {
            name: name.to_owned(),
            images: images.len() as u64,
            seam: seam_ratio(seams),
            fid_j: distance.transpose()?,
        })
    };
    let rows = [
        row("painted", &painted),
        row("true pictures of another thing or colour", &truths(&examples, side)),
    ];
    rows.into_iter().collect()
}

impl Report for InpaintingReport {
    /// Percentages with their 95% intervals, and the seam's ratio with that of the bootstrap.
    fn to_markdown(&self) -> String {
        let header = format!(
            "inpainting {} | thing | colour | both: what was asked for | unmasked part unchanged \
             | seam, over true pictures' (95%) | the same, 4 pixels of 256 apart",
            self.method
        );
        let rows = self.rows.iter().chain(&self.references).map(|row| {
            let shares = [row.thing, row.colour, row.both, row.unchanged];
            let mut line = vec![row.name.clone()];
            line.extend(shares.map(|share| share.to_string()));
            line.extend([row.seam, row.wide_seam].map(|seam| seam.to_string()));
            line
        });
        let edits = table(&header, rows);
        let header = "without a caption | pictures | seam, over true pictures' (95%) | FID-J";
        let rows = self.empty_captions.iter().map(|row| {
            let distance = row.fid_j.map(|value| format!("{value:.2}")).unwrap_or_default();
            vec![row.name.clone(), row.images.to_string(), row.seam.to_string(), distance]
        });
        format!("{edits}\n{}", table(header, rows))
    }
}
