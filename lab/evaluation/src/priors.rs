//! Both priors beside each other: the bits of the autoregressive one's codes and the variance that they keep, and the accuracy
//! of images from either prior's embeddings (2204.06125, section 2.2).

use judge::markdown::table;
use pipeline::{CodeSampling, Pipeline, Settings, Silent, Task, Text};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::accuracy::{AccuracyRow, ImageSource};
use crate::error::Error;
use crate::evaluator::{Evaluator, Report, streams};
use crate::examples::{CaptionSet, Example, captions};

/// Scenes whose embeddings become codes, of seen pairs and of held-out ones each, and the number of the first.
const CODE_SCENES: u64 = 1000;
const FIRST_CODES: u64 = 60_000;
/// Captions whose embeddings are decoded, and the number of the first.
const CAPTIONS: u64 = 200;
const FIRST_CAPTION: u64 = 70_000;

/// Both priors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PriorReport {
    /// A row for each kind of pairs.
    pub codes: Vec<CodesRow>,
    /// A row for each source of embeddings.
    pub embeddings: Vec<EmbeddingsRow>,
}

/// The embeddings of fresh scenes as codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodesRow {
    /// Whether the scenes' pairs of thing and colour were held out of training.
    pub held_out: bool,
    /// The number of scenes.
    pub scenes: u64,
    /// Codes an embedding.
    pub dimensions: i64,
    /// Values of a code.
    pub buckets: i64,
    /// The share of the scenes' variance in the components that become codes.
    pub explained: f64,
    /// The share that is left once these are cut into buckets.
    pub decoded: f64,
    /// Bits a code, given the caption, the dot product of image and text, and the codes before it.
    pub bits: f64,
    /// The same of a unigram model, whose codes are all equally frequent in training.
    pub unigram_bits: f64,
}

/// Embeddings for fresh captions, from one source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmbeddingsRow {
    /// The source.
    pub name: String,
    /// The mean of their cosines with the captions' embeddings.
    pub cosine: f64,
    /// The accuracy of the images that they decode to.
    pub row: AccuracyRow,
}

/// Measures the autoregressive prior and compares it with the other. The evaluator's settings say how its codes are sampled,
/// where they name it.
pub fn evaluate_priors(evaluator: &Evaluator) -> Result<PriorReport, Error> {
    let Evaluator { pipeline, settings, .. } = evaluator;
    let sampling = settings.drawing.codes().unwrap_or_else(CodeSampling::plain);
    pipeline.prepare(Task::MIXED, &settings.drawing.clone().with_codes(Some(sampling)))?;
    let codes = [CaptionSet::Seen, CaptionSet::HeldOut];
    let codes = codes.map(|captions| evaluate_codes(evaluator, captions));
    let sources = EmbeddingSource::all(pipeline, sampling, &settings.drawing).into_iter();
    let embeddings = sources.map(|source| evaluate_embeddings(evaluator, source));
    Ok(PriorReport {
        codes: codes.into_iter().collect::<Result<_, _>>()?,
        embeddings: embeddings.collect::<Result<_, _>>()?,
    })
}

/// A source of image embeddings.
struct EmbeddingSource {
    name: &'static str,
    /// The settings of the prior; none for the true images' embeddings.
    prior: Option<Settings>,
}

impl EmbeddingSource {
    /// The true images, the diffusion prior where the model has one, and the autoregressive prior conditioned on different
    /// parts of the dot products of image and text.
    fn all(pipeline: &Pipeline, sampling: CodeSampling, drawing: &Settings) -> Vec<Self> {
        let by_diffusion = drawing.clone().with_codes(None);
        let by_codes = |name, similarity| {
            let codes = CodeSampling { similarity, ..sampling };
            Self { name, prior: Some(drawing.clone().with_codes(Some(codes))) }
        };
        let mut sources = vec![Self { name: "true pictures", prior: None }];
        if pipeline.has_prior(&by_diffusion) {
            sources.push(Self { name: "diffusion prior", prior: Some(by_diffusion) });
        }
        sources.extend([
            by_codes("autoregressive, lower half", [0.0, 0.5]),
            by_codes("autoregressive, all", [0.0, 1.0]),
            by_codes("autoregressive, upper half", [0.5, 1.0]),
        ]);
        sources
    }

    /// The embeddings of a batch of examples, `[B, E]`.
    fn sample(
        &self,
        evaluator: &Evaluator,
        text: &Text,
        batch: &[Example],
    ) -> Result<Tensor, Error> {
        match &self.prior {
            None => evaluator.true_embeddings(batch),
            Some(prior) => {
                let streams = &mut streams(&evaluator.seeds(batch));
                Ok(evaluator.pipeline.sample_embedding(text, prior, streams, &mut Silent)?)
            }
        }
    }
}

/// Quantises the embeddings of fresh scenes.
fn evaluate_codes(evaluator: &Evaluator, set: CaptionSet) -> Result<CodesRow, Error> {
    let scenes = evaluator.limited(CODE_SCENES);
    let examples = set.examples(FIRST_CODES..FIRST_CODES + scenes);
    let (mut all, mut kept, mut decoded, mut bits) = (vec![], vec![], vec![], vec![]);
    let (mut buckets, mut done) = (0, 0);
    for batch in examples.chunks(evaluator.settings.batch) {
        let embeddings = evaluator.true_embeddings(batch)?; // [B, E]
        let text = evaluator.pipeline.encode_text(&captions(batch))?;
        let codes = evaluator.pipeline.quantize(&embeddings, &text)?;
        buckets = codes.buckets;
        all.push(embeddings.to_kind(Kind::Float));
        kept.push(codes.truncated);
        decoded.push(codes.decoded);
        bits.push(codes.bits);
        done += batch.len() as u64;
        (evaluator.progress)("codes", done, scenes);
    }
    let [all, kept, decoded, bits] = [all, kept, decoded, bits].map(|rows| Tensor::cat(&rows, 0));
    Ok(CodesRow {
        held_out: set == CaptionSet::HeldOut,
        scenes,
        dimensions: bits.size()[1],
        buckets,
        explained: explained_variance(&all, &kept),
        decoded: explained_variance(&all, &decoded),
        bits: bits.mean(Kind::Double).double_value(&[]),
        unigram_bits: (buckets as f64).log2(),
    })
}

/// Decodes the embeddings of one source for fresh captions. The decoder's noise is the same for all sources.
fn evaluate_embeddings(
    evaluator: &Evaluator,
    source: EmbeddingSource,
) -> Result<EmbeddingsRow, Error> {
    let numbers = FIRST_CAPTION..FIRST_CAPTION + evaluator.limited(CAPTIONS);
    let examples = CaptionSet::Seen.examples(numbers);
    let decoding = evaluator.settings.drawing.clone().without_prior();
    let mut row = AccuracyRow::new(ImageSource::Chain, CaptionSet::Seen);
    let mut cosine = 0.0;
    for batch in examples.chunks(evaluator.settings.batch) {
        let captions = captions(batch);
        let text = evaluator.pipeline.encode_text(&captions)?;
        let embeddings = source.sample(evaluator, &text, batch)?; // [B, E]
        let float = |x: &Tensor| x.to_kind(Kind::Float).to_device(Device::Cpu);
        let cosines =
            Tensor::cosine_similarity(&float(&embeddings), &float(&text.embedding), 1, 1e-8);
        let before = row.everything.total as f64;
        let sum = cosine * before + cosines.sum(Kind::Double).double_value(&[]);
        cosine = sum / (before + batch.len() as f64);
        let seeds = evaluator.seeds(batch);
        let images = evaluator.sample(&captions, Some(&embeddings), &seeds, &decoding)?;
        row.count(batch, &evaluator.judge.predict(&images));
        (evaluator.progress)(source.name, row.everything.total, examples.len() as u64);
    }
    Ok(EmbeddingsRow { name: source.name.to_owned(), cosine, row })
}

/// The share of the variance of `all [N, E]` that `approximation [N, E]` keeps.
pub fn explained_variance(all: &Tensor, approximation: &Tensor) -> f64 {
    let squares = |x: Tensor| x.square().sum(Kind::Double).double_value(&[]);
    let mean = all.mean_dim([0i64].as_slice(), true, Kind::Float);
    1.0 - squares(all - approximation) / squares(all - mean)
}

impl Report for PriorReport {
    fn to_markdown(&self) -> String {
        let header = "codes: pairs | scenes | codes | values | variance kept | after quantising \
                      | bits a code | unigram";
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
        let codes = table(header, codes);
        let header = AccuracyRow::header(CaptionSet::Seen);
        let header = format!("embeddings from | cosine with the caption | {header}");
        let embeddings = self.embeddings.iter().map(|EmbeddingsRow { name, cosine, row }| {
            let mut line = vec![name.clone(), format!("{cosine:.3}")];
            line.extend(row.percents());
            line
        });
        format!("{codes}\n{}", table(&header, embeddings))
    }
}
