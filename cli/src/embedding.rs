//! `unclip embed`: CLIP embeddings of images and captions, and embeddings in files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;
use noise::Generator;
use pipeline::{Pipeline, SettingsOverrides, Silent, Task};
use tch::{Kind, Tensor};

use crate::destinations::Files;
use crate::drawing::{SeedArgs, seeds};
use crate::input::{Input, check_named_once, encode_image, open_image};
use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::output::write_whole;
use crate::settings_args::{PresetArgs, PriorSettingsArgs};
use crate::shard_args::ShardArgs;
use crate::stdout::print_path;

/// The name of the tensor in a safetensors file.
const NAME: &str = "embedding";

/// The arguments of `unclip embed`.
#[derive(Args)]
pub(crate) struct Embed {
    /// Pictures' files, - for standard input, and captions; each becomes a row of the file
    #[arg(required_unless_present = "data")]
    inputs: Vec<OsString>,
    /// Of a caption, the image embedding that the prior draws instead of the text embedding
    #[arg(long = "drawn")]
    sample: bool,
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
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_settings: PriorSettingsArgs,
}

impl Embed {
    /// Computes the embedding and writes it.
    pub(crate) fn run(&self) -> Result<()> {
        let Some(out) = &self.out else {
            #[cfg(feature = "lab")]
            return self.shards.run(&self.model, &self.encoders);
            #[cfg(not(feature = "lab"))]
            return crate::absent::absent("embed --data");
        };
        Format::of(out)?;
        check_named_once(&self.inputs)?;
        let inputs: Vec<Input> =
            self.inputs.iter().map(|input| Input::new(input)).collect::<Result<_>>()?;
        let images: Vec<&Path> = inputs.iter().filter_map(Input::file).collect();
        Files::new(&images).add("--out", out, self.force)?;
        let images = images.len();
        ensure!(
            !self.sample || images == 0,
            "--drawn: the prior draws for captions, and {images} of the inputs are pictures"
        );
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let captions = inputs.len() - images;
        match (captions > 0, images > 0) {
            _ if self.sample => return self.draw(&pipeline, &inputs, out),
            (true, true) => pipeline.prepare_clip()?,
            (true, false) => pipeline.prepare_text_encoder()?,
            (false, _) => pipeline.prepare_image_encoder()?,
        }
        self.model.warn_of_idle_processors()?;
        let mut rows = Vec::new();
        for input in &inputs {
            rows.push(match input {
                Input::File(path) => encode_image(&pipeline, path, open_image(path)?)?,
                Input::Caption(caption) => pipeline.encode_text(&[caption])?.embedding,
            });
        }
        save(&Tensor::cat(&rows, 0), out)?; // [N, E]
        print_path(out)
    }

    /// Draws the embedding of each caption and writes all of them.
    fn draw(&self, pipeline: &Pipeline, captions: &[Input], out: &Path) -> Result<()> {
        let settings = self.model.prepare(
            pipeline,
            Task::EMBEDDING,
            &self.preset,
            &self.prior_settings.add_to(SettingsOverrides::default()),
            |settings| settings,
        )?;
        let seeds = seeds("--seed", self.seed.resolve(), captions.len() as u64)?;
        let mut rows = Vec::new();
        for (caption, seed) in captions.iter().zip(seeds) {
            let Input::Caption(caption) = caption else { unreachable!("pictures were refused") };
            let text = pipeline.encode_text(&[caption])?;
            let streams = &mut [Generator::new(seed)];
            rows.push(pipeline.sample_embedding(&text, &settings, streams, &mut Silent)?);
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
            _ => bail!("{}: an embedding's file ends in .safetensors or .npy", path.display()),
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
        Format::Npy => write_whole(path, &weights::npy(&embedding), true),
    }
}

/// Reads one embedding `[1, E]` for `pipeline`, whatever wrote it: a vector or a row, of any kind of floats.
pub(crate) fn read(path: &Path, pipeline: &Pipeline) -> Result<Tensor> {
    let embeddings = read_all(path, pipeline)?;
    let count = embeddings.size()[0];
    ensure!(count == 1, "{} holds {count} embeddings, and one is wanted", path.display());
    Ok(embeddings)
}

/// Reads embeddings `[N, E]` for `pipeline`.
pub(crate) fn read_all(path: &Path, pipeline: &Pipeline) -> Result<Tensor> {
    let shown = path.display();
    let tensor = weights::load_embeddings(path)?;
    let width = pipeline.embedding_width()?;
    let shape = tensor.size();
    let found = match shape[..] {
        [found] => Some(found),
        [count, found] if count > 0 => Some(found),
        _ => None,
    };
    let Some(found) = found.filter(|_| tensor.is_floating_point()) else {
        bail!(
            "{shown} holds {shape:?} of {:?}, and embeddings are [N, {width}] of floats",
            tensor.kind()
        );
    };
    ensure!(
        found == width,
        "{shown} holds embeddings of {found} numbers, and this model's have {width}: they are another CLIP's"
    );
    Ok(tensor.to_kind(Kind::Float).view([-1, width]))
}
