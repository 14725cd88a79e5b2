//! Embeddings of pictures in shards: a prior learns from them what it learns from the pictures.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use tch::{Device, Kind};
use training::embedding_dataset::EmbeddingDataset;
use training::encoders::FrozenImageEncoder;
use training::{Data, Embed, Trainer};
use weights::Folder;

use super::shards::{open, request, tar};
use super::{Training, trainer};

#[test]
fn a_prior_learns_the_same_from_pictures_and_from_their_embeddings() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    let export = scenes::Export { count: 30, seed: 9, size: 24, held_out: false };
    crate::scenes::export(&export, &pictures).unwrap();
    let shards = folder.path().join("shards");
    let trainer = |runs: &str, data: &Path| {
        let mut trainer = trainer(folder.path(), runs, Kind::Float, None);
        trainer.data = open(&[data]).unwrap();
        for run in [&mut trainer.recipe.prior.run, &mut trainer.recipe.autoregressive.run] {
            // Into the second epoch.
            (run.steps, run.batch) = (8, 6);
        }
        trainer
    };
    let first = trainer("pictures", &pictures);
    first.train_tokenizer().unwrap();
    first.train_clip(&mut ()).unwrap();
    let encoder = Folder::open(folder.path().join("model/image_encoder")).unwrap();
    let embed = Embed {
        data: &first.data,
        synthetic: 0,
        encoder: &FrozenImageEncoder {
            image: families::open_image_encoder(&encoder, Device::Cpu, Kind::Float).unwrap(),
            kind: Kind::Float,
            device: Device::Cpu,
        },
        fingerprint: encoder.fingerprint().unwrap(),
        folder: &shards,
        shard_size: 12,
        part: (0, 1),
    };
    let reached = embed.run(&mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((reached.embeddings, reached.images), (30, 30));

    let trainings: [Training; 2] = [
        ("prior", Trainer::train_prior),
        ("prior_autoregressive", Trainer::train_autoregressive_prior),
    ];
    for (name, train) in trainings {
        train(&first, &mut ()).unwrap();
        train(&trainer("embeddings", &shards), &mut ()).unwrap();
        let [ours, theirs] = ["pictures", "embeddings"].map(|runs| {
            let run = folder.path().join(runs).join(name);
            weights::load_safetensors(run.join("step-000000008/tensors.safetensors")).unwrap()
        });
        for ((tensor, one), (_, other)) in ours.iter().zip(&theirs) {
            // Rows of another batch size are rounded otherwise.
            let apart = (one - other).abs().max().double_value(&[]);
            let size = one.abs().max().double_value(&[]);
            assert!(apart <= 1e-4 * size, "{name}: {tensor} is off by {apart} of {size}");
        }
    }
}

/// A shard of embeddings of four numbers, which are these values in turn, and the index beside it.
fn embeddings(folder: &Path, values: &[f32]) {
    let mut members = Vec::new();
    for (n, &value) in values.iter().enumerate() {
        let row = tch::Tensor::from_slice(&[0.5f32, value, 0.25, -0.5]);
        members.push((format!("{n:09}.txt"), b"a cat".to_vec()));
        members.push((format!("{n:09}.npy"), weights::npy(&row)));
    }
    let members: Vec<(&str, Vec<u8>)> =
        members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    tar(&folder.join("00000.tar"), &members);
    let index = serde_json::json!({
        "encoder": "e", "width": 4, "numbers": "f32", "data": "d", "samples": values.len(), "shard_size": 9,
        "shards": { "00000.tar": values.len() }, "count": values.len(), "complete": true,
    });
    fs::write(folder.join("embeddings.json"), index.to_string()).unwrap();
}

#[test]
fn embeddings_that_nothing_can_learn_from_are_named_when_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let largest = training::LARGEST_VALUE;
    embeddings(folder.path(), &[1.0, 1e38, f32::NAN, -largest, 3e38, largest, f32::NEG_INFINITY]);
    let data = open(&[folder.path()]).unwrap();
    let Data::Embeddings(cache) = &data else {
        panic!("they are embeddings");
    };
    let cache = EmbeddingDataset::Cache { cache: cache.clone(), device: Device::Cpu };
    let drawn = cache.draw(request(1, 1), 0, 21).unwrap().embedding;
    let found = drawn.abs().max().double_value(&[]);
    assert_eq!(found, f64::from(largest));
    let broken = data.dataset().unwrap().broken();
    let wanted = [
        ("000000001", "value 1 of 4 is 1e38"),
        ("000000002", "value 1 of 4 is NaN"),
        ("000000004", "value 1 of 4 is 3e38"),
        ("000000006", "value 1 of 4 is -inf"),
    ];
    assert_eq!(broken.len(), wanted.len(), "{broken:?}");
    for ((name, why), (key, words)) in broken.iter().zip(wanted) {
        assert!(name.ends_with(&format!("00000.tar/{key}")), "{name}");
        assert!(why.contains(words) && why.contains("65504"), "{why}");
    }
    embeddings(folder.path(), &[1e38, f32::NAN]);
    let message = open(&[folder.path()]).err().unwrap();
    for word in ["none of the 2", "00000.tar/000000000", "1e38"] {
        assert!(message.contains(word), "{word}: {message}");
    }
}
