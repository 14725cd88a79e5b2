//! `unclip embed`, and embeddings in files.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use noise::Generator;
use pipeline::{Pipeline, Use};
use tch::{Kind, Tensor};

use crate::destinations::Files;
use crate::drawing::{PresetArgs, PriorWishes, SeedArgs, seeds};
use crate::input::{Given, open_picture};
use crate::model::{ImageEncoderArgs, ModelArgs, PriorArgs};
use crate::output::save_through;
use crate::shard_args::ShardArgs;
use crate::stdout::print_path;

/// The name of the tensor in a safetensors file.
const NAME: &str = "embedding";

/// The largest file that is read: ten thousand embeddings of any published width.
const MOST_BYTES: u64 = 1 << 26;

/// What `unclip embed` is told.
#[derive(Args)]
pub struct Embed {
    /// Pictures' files and captions; each becomes a row of the file
    #[arg(required_unless_present = "data")]
    inputs: Vec<OsString>,
    /// Of a caption, the image embedding that the prior draws instead of the text embedding
    #[arg(long)]
    drawn: bool,
    /// The file: .safetensors or .npy
    #[arg(long, short, value_name = "FILE", required_unless_present = "data")]
    out: Option<PathBuf>,
    /// Overwrite a file that is there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    shards: ShardArgs,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    image_encoder: ImageEncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    wishes: PriorWishes,
}

impl Embed {
    /// Computes the embedding and writes it.
    pub fn run(&self) -> Result<()> {
        let Some(out) = &self.out else {
            #[cfg(feature = "lab")]
            return self.shards.run(&self.model, &self.image_encoder);
            #[cfg(not(feature = "lab"))]
            return crate::lab::absent("embed --data");
        };
        Format::of(out)?;
        let inputs: Vec<Given> = self
            .inputs
            .iter()
            .map(|input| Given::new(input))
            .collect::<Result<_>>()?;
        let pictures = inputs.iter().filter_map(|input| match input {
            Given::File(path) => Some(path.as_path()),
            Given::Caption(_) => None,
        });
        let pictures: Vec<&Path> = pictures.collect();
        Files::new(&pictures).add("--out", out, self.force)?;
        let pictures = pictures.len();
        ensure!(
            !self.drawn || pictures == 0,
            "--drawn: the prior draws for captions, and {pictures} of the inputs are pictures"
        );
        let pipeline = self
            .model
            .open(Some(&self.prior), Some(&self.image_encoder))?;
        let makers = pipeline.defaults()?;
        let settings = self.wishes.over(self.preset.over(makers, &makers))?;
        let uses: &[Use] = match (pictures > 0, self.drawn) {
            (true, _) => &[Use::ImageEncoder],
            (_, true) => &[Use::Prior],
            _ => &[],
        };
        pipeline.prepare(uses, &settings)?;
        let seeds = match self.drawn {
            true => seeds(self.seed.told(), inputs.len() as u64)?,
            false => vec![0; inputs.len()],
        };
        let mut rows = Vec::new();
        for (input, seed) in inputs.iter().zip(seeds) {
            rows.push(match input {
                Given::File(path) => pipeline.encode_pictures(&[open_picture(path)?])?,
                Given::Caption(caption) => {
                    let text = pipeline.encode_text(&[caption])?;
                    let streams = &mut [Generator::new(seed)];
                    match self.drawn {
                        true => {
                            pipeline.draw_embedding(&text, &settings, streams, &mut |_, _, _| ())?
                        }
                        false => text.embedding,
                    }
                }
            });
        }
        save(&Tensor::cat(&rows, 0), out)?; // [N, E]
        print_path(out)
    }
}

/// How an embedding is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    Npy,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            _ => bail!(
                "{}: an embedding's file ends in .safetensors or .npy",
                path.display()
            ),
        }
    }
}

fn save(embedding: &Tensor, path: &Path) -> Result<()> {
    let embedding = embedding.to_kind(Kind::Float).to_device(tch::Device::Cpu);
    match Format::of(path)? {
        Format::Safetensors => {
            let tensors = [(NAME.to_owned(), embedding)];
            Ok(weights::save_safetensors(path, &tensors, Kind::Float)?)
        }
        Format::Npy => save_through(path, |partial| Ok(embedding.write_npy(partial)?)),
    }
}

/// Reads one embedding `[1, E]` for `pipeline`, whatever wrote it: a vector or a row, of any kind of floats.
pub fn read(path: &Path, pipeline: &Pipeline) -> Result<Tensor> {
    let embeddings = read_all(path, pipeline)?;
    let count = embeddings.size()[0];
    ensure!(
        count == 1,
        "{} holds {count} embeddings, and one is wanted",
        path.display()
    );
    Ok(embeddings)
}

/// Reads embeddings `[N, E]` for `pipeline`.
pub fn read_all(path: &Path, pipeline: &Pipeline) -> Result<Tensor> {
    let shown = path.display();
    let length = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    ensure!(
        length <= MOST_BYTES,
        "{shown} has {length} bytes, and embeddings no more than {MOST_BYTES}"
    );
    let tensor = match Format::of(path)? {
        Format::Safetensors => {
            let mut tensors = weights::load_safetensors(path)?;
            ensure!(
                tensors.len() == 1,
                "{shown} holds {} tensors, and one of embeddings is wanted",
                tensors.len()
            );
            tensors.remove(0).1
        }
        Format::Npy => {
            let file = BufReader::new(File::open(path)?);
            let read = weights::read_npy(file, length);
            read.with_context(|| format!("{shown} is no array of numbers"))?
        }
    };
    let width = pipeline.embedding_width()?;
    let shape = tensor.size();
    let fits = match shape[..] {
        [found] => found == width,
        [count, found] => count > 0 && found == width,
        _ => false,
    };
    ensure!(
        tensor.is_floating_point() && fits,
        "{shown} holds {shape:?} of {:?}, and the model's embeddings are [N, {width}] of floats",
        tensor.kind()
    );
    let embeddings = tensor.to_kind(Kind::Float).view([-1, width]);
    let finite = bool::try_from(embeddings.isfinite().all())?;
    ensure!(finite, "{shown} holds values that are not finite");
    Ok(embeddings)
}
