//! Both priors beside each other: what the autoregressive one's codes take and lose, what its closeness does, and what
//! the captions' pictures show when either prior drew their embeddings (2204.06125, section 2.2).

use noise::Generator;
use pipeline::{CodeSampling, Pipeline, Settings, Use};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::evaluate::{EvaluationProgress, EvaluationSettings, draw_pictures, true_pictures};
use crate::examples::{Asked, Example};
use crate::report::{Row, Source, table};
use crate::{Error, Judge};

/// The numbers of the first scenes.
const FIRST_CODED: u64 = 60_000;
const FIRST_DRAWN: u64 = 70_000;
/// Scenes that are coded, of seen pairs and of held-out ones each, and captions that are drawn.
const CODED: u64 = 1000;
const DRAWN: u64 = 200;

/// What was found about both priors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PriorReport {
    /// A row for each kind of pairs.
    pub codes: Vec<CodesRow>,
    /// A row for each way to come by an embedding.
    pub embeddings: Vec<EmbeddingsRow>,
}

/// The embeddings of fresh scenes as codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodesRow {
    /// Whether the scenes' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// How many scenes there were.
    pub scenes: u64,
    /// How many codes an embedding has.
    pub dimensions: i64,
    /// How many values a code has.
    pub buckets: i64,
    /// The share of the scenes' variance in the components that become codes.
    pub explained: f64,
    /// The share that is left once these are cut into buckets.
    pub decoded: f64,
    /// Bits that a code takes, given the caption, the closeness and the codes before it.
    pub bits: f64,
    /// Bits that it takes of a model that knows each code's frequencies in training alone, which are all the same.
    pub unigram_bits: f64,
}

/// What comes of embeddings for fresh captions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmbeddingsRow {
    /// Where the embeddings came from.
    pub name: String,
    /// The mean of their cosines with the captions' embeddings.
    pub cosine: f64,
    /// What the judge saw in the pictures that the decoder drew from them.
    pub row: Row,
}

/// Measures the autoregressive prior and compares it with the other. `settings` say how pictures are drawn, and how its
/// codes are sampled where they name it; fewer scenes than the tables' own numbers, to try something, are `at_most`.
pub fn evaluate_priors(
    pipeline: &Pipeline,
    judge: &Judge,
    settings: &EvaluationSettings,
    at_most: Option<u64>,
    progress: &mut EvaluationProgress,
) -> Result<PriorReport, Error> {
    let sampling = settings.drawing.prior_codes;
    let by_codes = Settings {
        prior_codes: Some(sampling.unwrap_or_else(CodeSampling::plain)),
        ..settings.drawing
    };
    pipeline.prepare(&[Use::Prior, Use::ImageEncoder], &by_codes)?;
    let limited = |count: u64| at_most.unwrap_or(count).min(count);
    let codes = [false, true].map(|held_out| {
        let batch = settings.batch.max(1);
        measure_codes(pipeline, held_out, limited(CODED), batch, progress)
    });
    let codes = codes.into_iter().collect::<Result<_, _>>()?;
    let numbers = FIRST_DRAWN..FIRST_DRAWN + limited(DRAWN);
    let examples = Asked::Seen.examples(numbers);
    let mut embeddings = Vec::new();
    for (name, drawing) in ways(pipeline, &by_codes) {
        let mut row = EmbeddingsRow::new(name);
        for some in examples.chunks(settings.batch.max(1)) {
            row.add(pipeline, judge, some, settings, drawing.as_ref())?;
            let done = row.row.everything.asked;
            progress(name, done, examples.len() as u64);
        }
        embeddings.push(row);
    }
    Ok(PriorReport { codes, embeddings })
}

/// The ways to come by an embedding: from the true picture, by diffusion where the model can, and by codes that are told
/// different parts of the closenesses.
fn ways(pipeline: &Pipeline, by_codes: &Settings) -> Vec<(&'static str, Option<Settings>)> {
    let by_diffusion = Settings { prior_codes: None, ..*by_codes };
    let told = |closeness: [f64; 2]| {
        let sampling = by_codes.prior_codes.expect("codes are drawn");
        Some(Settings { prior_codes: Some(CodeSampling { closeness, ..sampling }), ..*by_codes })
    };
    let mut ways = vec![("true pictures", None)];
    if pipeline.has_prior(&by_diffusion) {
        ways.push(("diffusion prior", Some(by_diffusion)));
    }
    ways.extend([
        ("autoregressive, lower half", told([0.0, 0.5])),
        ("autoregressive, all", told([0.0, 1.0])),
        ("autoregressive, upper half", told([0.5, 1.0])),
    ]);
    ways
}

/// Codes the embeddings of fresh scenes.
fn measure_codes(
    pipeline: &Pipeline,
    held_out: bool,
    scenes: u64,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<CodesRow, Error> {
    let asked = match held_out {
        true => Asked::HeldOut,
        false => Asked::Seen,
    };
    let examples = asked.examples(FIRST_CODED..FIRST_CODED + scenes);
    let (mut all, mut kept, mut decoded, mut bits) = (vec![], vec![], vec![], vec![]);
    let (mut buckets, mut done) = (0, 0);
    for some in examples.chunks(batch) {
        let embeddings = pipeline.encode_pictures(&true_pictures(some, pipeline.side()?))?; // [B, E]
        let text = pipeline.encode_text(&captions(some))?;
        let coded = pipeline.code(&embeddings, &text)?;
        buckets = coded.buckets;
        all.push(embeddings.to_kind(Kind::Float));
        kept.push(coded.kept);
        decoded.push(coded.decoded);
        bits.push(coded.bits);
        done += some.len() as u64;
        progress("codes", done, scenes);
    }
    let [all, kept, decoded, bits] = [all, kept, decoded, bits].map(|rows| Tensor::cat(&rows, 0));
    Ok(CodesRow {
        held_out,
        scenes,
        dimensions: bits.size()[1],
        buckets,
        explained: explained(&all, &kept),
        decoded: explained(&all, &decoded),
        bits: bits.mean(Kind::Double).double_value(&[]),
        unigram_bits: (buckets as f64).log2(),
    })
}

/// The share of the variance of `all [N, E]` that `approximation [N, E]` keeps.
pub fn explained(all: &Tensor, approximation: &Tensor) -> f64 {
    let squares = |x: Tensor| x.square().sum(Kind::Double).double_value(&[]);
    let mean = all.mean_dim([0i64].as_slice(), true, Kind::Float);
    1.0 - squares(all - approximation) / squares(all - mean)
}

fn captions(examples: &[Example]) -> Vec<&str> {
    examples.iter().map(|e| &*e.caption.text).collect()
}

impl EmbeddingsRow {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cosine: 0.0, row: Row::new(Source::Chain, Asked::Seen) }
    }

    /// Counts what comes of a batch of captions: by a prior as `drawing` says, or from the true pictures.
    fn add(
        &mut self,
        pipeline: &Pipeline,
        judge: &Judge,
        batch: &[Example],
        settings: &EvaluationSettings,
        drawing: Option<&Settings>,
    ) -> Result<(), Error> {
        let seed = |example: &Example| settings.seed.wrapping_add(example.number);
        let seeds: Vec<u64> = batch.iter().map(seed).collect();
        let captions = captions(batch);
        let text = pipeline.encode_text(&captions)?;
        let embeddings = match drawing {
            None => pipeline.encode_pictures(&true_pictures(batch, pipeline.side()?))?,
            Some(drawing) => {
                let mut streams: Vec<_> = seeds.iter().map(|&s| Generator::new(s)).collect();
                pipeline.draw_embedding(&text, drawing, &mut streams, &mut |_, _, _| {})?
            }
        }; // [B, E]
        let float = |x: &Tensor| x.to_kind(Kind::Float).to_device(Device::Cpu);
        let cosines =
            Tensor::cosine_similarity(&float(&embeddings), &float(&text.embedding), 1, 1e-8);
        let before = self.row.everything.asked as f64;
        let sum = self.cosine * before + cosines.sum(Kind::Double).double_value(&[]);
        self.cosine = sum / (before + batch.len() as f64);
        // The decoder's noise is the same for all rows, whatever their priors drew.
        let decoding = settings.drawing.without_prior();
        let pictures = draw_pictures(pipeline, &captions, Some(&embeddings), &seeds, &decoding)?;
        for (example, reading) in batch.iter().zip(judge.read(&pictures)) {
            self.row.add(example, &reading);
        }
        Ok(())
    }
}

impl PriorReport {
    /// Markdown tables.
    pub fn to_markdown(&self) -> String {
        let header = [
            "codes: pairs",
            "scenes",
            "codes",
            "values",
            "variance kept",
            "after quantising",
            "bits a code",
            "unigram",
        ];
        let codes = self.codes.iter().map(|row| {
            let share = |share: f64| format!("{:.2}%", 100.0 * share);
            vec![
                if row.held_out { "held-out" } else { "seen" }.to_owned(),
                row.scenes.to_string(),
                row.dimensions.to_string(),
                row.buckets.to_string(),
                share(row.explained),
                share(row.decoded),
                format!("{:.2}", row.bits),
                format!("{:.2}", row.unigram_bits),
            ]
        });
        let codes = table(&header, codes);
        let mut header = vec!["embeddings from", "cosine with the caption"];
        header.extend(Row::header(Asked::Seen));
        let embeddings = self.embeddings.iter().map(|EmbeddingsRow { name, cosine, row }| {
            let mut line = vec![name.clone(), format!("{cosine:.3}")];
            line.extend(row.percents());
            line
        });
        format!("{codes}\n{}", table(&header, embeddings))
    }
}
