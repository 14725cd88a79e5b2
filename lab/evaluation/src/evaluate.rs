//! Draws pictures from fresh captions, has them read, and counts.

use image::RgbImage;
use noise::Generator;
use pipeline::{Pipeline, Settings, Use, to_pictures};
use tch::Tensor;

use crate::diversity::measure_diversity;
use crate::examples::{Asked, Example, render};
use crate::report::{Report, Row, Source};
use crate::{Error, Judge};

/// What is drawn for an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationSettings {
    /// Captions of seen pairs.
    pub captions: u64,
    /// Captions of held-out pairs.
    pub held_out_captions: u64,
    /// Captions whose pictures' diversity is measured; 0 leaves it out.
    pub diversity_captions: usize,
    /// Pictures for each of these.
    pub diversity_seeds: usize,
    /// Pictures that are drawn at once.
    pub batch: usize,
    /// The noise of caption `i` comes from `seed + i`.
    pub seed: u64,
    /// How they are drawn.
    pub drawing: Settings,
}

impl EvaluationSettings {
    /// The evaluation whose table the documentation shows: 500 captions of seen pairs, 200 of held-out ones, and 50
    /// captions with 20 seeds each for diversity.
    pub fn standard(drawing: Settings) -> Self {
        Self {
            captions: 500,
            held_out_captions: 200,
            diversity_captions: 50,
            diversity_seeds: 20,
            batch: 10,
            seed: 0,
            drawing,
        }
    }
}

/// Told what is being drawn, how many pictures of it are there and how many there will be.
pub type EvaluationProgress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// Captions with the pictures that were drawn for them.
pub type Drawn = Vec<(Example, RgbImage)>;

/// An evaluation's report, and the first pictures of the whole chain for a look at them.
pub struct Evaluation {
    /// The numbers.
    pub report: Report,
    /// The captions, of seen pairs where there are others too, with what the whole chain drew for them, in order.
    pub drawn: Drawn,
}

/// Fills the table for `pipeline`, and measures its diversity.
pub fn evaluate(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &EvaluationSettings,
    progress: &mut EvaluationProgress,
) -> Result<Evaluation, Error> {
    let (mut rows, drawn) =
        fill(pipeline, judge, Asked::Seen, settings.captions, settings, progress)?;
    let count = settings.held_out_captions;
    let (held_out, _) = fill(pipeline, judge, Asked::HeldOut, count, settings, progress)?;
    rows.extend(held_out);
    let diversity = match settings.diversity_captions {
        0 => None,
        _ => Some(measure_diversity(pipeline, judge, settings, progress)?),
    };
    let report = Report { diversity, ..Report::new(judge, settings, rows) };
    Ok(Evaluation { report, drawn })
}

/// Fills the table of what `asked` asks for. `judge` is one of their subject.
pub fn evaluate_asked(
    pipeline: &Pipeline,
    judge: &Judge,
    asked: Asked,
    settings: &EvaluationSettings,
    progress: &mut EvaluationProgress,
) -> Result<Evaluation, Error> {
    let (rows, drawn) = fill(pipeline, judge, asked, settings.captions, settings, progress)?;
    Ok(Evaluation { report: Report::new(judge, settings, rows), drawn })
}

/// A row a source, and what the whole chain drew.
fn fill(
    pipeline: &Pipeline,
    judge: &Judge,
    asked: Asked,
    count: u64,
    settings: &EvaluationSettings,
    progress: &mut EvaluationProgress,
) -> Result<(Vec<Row>, Drawn), Error> {
    pipeline.prepare(&[Use::Prior, Use::ImageEncoder], &settings.drawing)?;
    let (mut rows, mut drawn) = (Vec::new(), Vec::new());
    let examples = asked.examples(0..count);
    for source in [Source::True, Source::Decoder, Source::Chain] {
        let label = format!("{}, {}", source.name(), asked.name());
        let mut row = Row::new(source, asked);
        for batch in examples.chunks(settings.batch.max(1)) {
            let pictures = draw(pipeline, source, batch, settings)?;
            for (example, reading) in batch.iter().zip(judge.read(&pictures)) {
                row.add(example, &reading);
            }
            if source == Source::Chain {
                drawn.extend(batch.iter().cloned().zip(pictures));
            }
            progress(&label, row.everything.asked, count);
        }
        rows.push(row);
    }
    Ok((rows, drawn))
}

/// The pictures of a batch of examples from one source.
fn draw(
    pipeline: &Pipeline,
    source: Source,
    batch: &[Example],
    settings: &EvaluationSettings,
) -> Result<Vec<RgbImage>, Error> {
    let captions: Vec<&str> = batch.iter().map(|example| example.caption.text.as_str()).collect();
    let seeds: Vec<u64> =
        batch.iter().map(|example| settings.seed.wrapping_add(example.number)).collect();
    match source {
        Source::True => Ok(true_pictures(batch, pipeline.side()?)),
        Source::Decoder => {
            let embeddings = pipeline.encode_pictures(&true_pictures(batch, pipeline.side()?))?; // [B, E]
            draw_pictures(pipeline, &captions, Some(&embeddings), &seeds, &settings.drawing)
        }
        Source::Chain => draw_pictures(pipeline, &captions, None, &seeds, &settings.drawing),
    }
}

/// The scenes of examples, of `side` pixels.
pub(crate) fn true_pictures(examples: &[Example], side: u32) -> Vec<RgbImage> {
    let picture = |example: &Example| render(&example.scene, side);
    examples.iter().map(picture).collect()
}

/// One picture a caption, each with noise of its own: from these embeddings `[B, E]`, or else from the prior's.
pub(crate) fn draw_pictures(
    pipeline: &Pipeline,
    captions: &[&str],
    embeddings: Option<&Tensor>,
    seeds: &[u64],
    drawing: &Settings,
) -> Result<Vec<RgbImage>, Error> {
    let quiet = &mut |_, _, _| {};
    let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
    let text = pipeline.encode_text(captions)?;
    let small = pipeline.draw_small(embeddings, &text, drawing, &mut streams, quiet)?; // [B, C, h, w]
    let large = pipeline.upsample(&small, drawing, &mut streams, quiet)?; // [B, C, H, W]
    Ok(to_pictures(&large))
}
