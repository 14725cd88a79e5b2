//! A folder with tiny files as Kakao Brain publishes theirs. Their weights are drawn as golden/record_karlo_files.py draws them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::weights::{Checkpoint, save_safetensors};
use noise::Generator;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

pub(super) type Tensors = Vec<(String, Tensor)>;

/// The names under which the files are published; programs save `=` as `%3D` at times.
pub(super) const CLIP: &str = "ViT-L-14.pt";
pub(super) const STATISTICS: &str = "ViT-L-14_stats.th";
pub(super) const PRIOR: &str = "prior-ckpt-step=01000000-of-01000000.ckpt";
pub(super) const DECODER: &str = "decoder-ckpt-step%3D01000000-of-01000000.ckpt";
pub(super) const UPSAMPLER: &str = "improved-sr-ckpt-step=1.2M.ckpt";
pub(super) const MERGES: &str = "bpe_simple_vocab_16e6.txt.gz";

/// The numbers of these networks that no tensor has.
pub(super) const OPTIONS: &str = r#"{
  "prior": {"xf_heads": 3},
  "decoder": {"image_size": 8, "num_head_channels": 16},
  "improved_sr": {"image_size": 16}
}"#;

/// A tensor of the reference's state dict, and the seed that it is drawn from.
#[derive(Deserialize)]
struct Drawing {
    name: String,
    shape: Vec<i64>,
    seed: u64,
}

pub(super) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/karlo_files").join(name)
}

/// The state dict of a file: "prior", "decoder" or "improved_sr".
pub(super) fn state_dict(file: &str) -> Tensors {
    let shapes = fs::read(golden("shapes.json")).unwrap();
    let mut shapes: BTreeMap<String, Vec<Drawing>> = serde_json::from_slice(&shapes).unwrap();
    let draw = |Drawing { name, shape, seed }: Drawing| {
        let count = shape.iter().product::<i64>();
        let noise = Tensor::from_slice(&Generator::new(seed).normal(count as usize)).view(&*shape);
        let drawn = match shape.len() {
            1 if name.ends_with(".weight") => 1 + 0.2 * noise,
            1 => 0.2 * noise,
            _ => noise * (2.0 / (count / shape[0]) as f64).sqrt(),
        };
        (name, drawn.to_kind(Kind::Half))
    };
    shapes.remove(file).unwrap().into_iter().map(draw).collect()
}

/// A CLIP by OpenAI's names whose embeddings are as wide as its text states: the tiny archive's, with other projections.
fn clip() -> Tensors {
    let archive = golden("../clip_files/openai/vit.pt");
    let archive = Checkpoint::open(archive, "CLIP", Device::Cpu, Kind::Float).unwrap();
    let mut tensors = archive.tensors().unwrap();
    for (name, seed) in [("text_projection", 1), ("visual.proj", 2)] {
        let (_, tensor) = tensors.iter_mut().find(|(found, _)| found == name).unwrap();
        let width = tensor.size()[0];
        let noise = Generator::new(seed).normal(64 * width as usize);
        let scale = (width as f64).powf(-0.5);
        *tensor = Tensor::from_slice(&noise).view([width, 64]) * scale;
    }
    tensors
}

/// Writes a file, which is read by its first bytes, whatever its name promises.
pub(super) fn write(folder: &Path, name: &str, tensors: &Tensors) {
    save_safetensors(folder.join(name), tensors, None).unwrap();
}

/// The folder of all files, under their published names.
pub(super) fn published() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    write(folder, CLIP, &clip());
    write(folder, DECODER, &state_dict("decoder"));
    write(folder, UPSAMPLER, &state_dict("improved_sr"));
    for (name, from) in [
        (PRIOR, "prior.ckpt".to_owned()),
        (STATISTICS, "stats.th".to_owned()),
        (MERGES, format!("../clip_files/openai/{MERGES}")),
    ] {
        fs::copy(golden(&from), folder.join(name)).unwrap();
    }
    fs::write(folder.join("karlo.json"), OPTIONS).unwrap();
    place
}
