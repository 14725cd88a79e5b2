//! Numbers that are not finite: in weights, in what networks compute and in files of embeddings, each named where it is seen first.

use std::fs;
use std::path::Path;

use families::ModelFolders;
use image::RgbImage;
use layers::finite::{LARGEST, is_finite};
use noise::Generator;
use pipeline::{Decoding, Error, ErrorKind, Inversion, Pipeline, Quantity, Silent, Task};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::pipeline::{copy_folder, few_steps, model};

const CAPTION: &str = "a red house under a blue sky";

/// Writes `value` over the first `count` numbers of a tensor in a part's weights.
fn overwrite(model: &Path, part: &str, tensor: &str, count: usize, value: f32) {
    let names = ["diffusion_pytorch_model.safetensors", "model.safetensors"];
    let paths = names.map(|name| model.join(part).join(name));
    let path = paths.iter().find(|path| path.exists()).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert_eq!(header[tensor]["dtype"], "F32", "{tensor}");
    let [start, end] = [0, 1].map(|n| header[tensor]["data_offsets"][n].as_u64().unwrap() as usize);
    let numbers = &mut bytes[8 + length + start..8 + length + end];
    for number in numbers.chunks_exact_mut(4).take(count) {
        number.copy_from_slice(&value.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// Writes `value` over the first number of a tensor in a part's weights.
pub(crate) fn damage(model: &Path, part: &str, tensor: &str, value: f32) {
    overwrite(model, part, tensor, 1, value);
}

/// The parts of a model with weights, and a tensor of each.
const PARTS: [(&str, &str); 7] = [
    ("text_encoder", "text_projection.weight"),
    ("image_encoder", "visual_projection.weight"),
    ("prior", "proj_in.weight"),
    ("text_proj", "encoder_hidden_states_proj.weight"),
    ("decoder", "conv_in.weight"),
    ("super_res_first", "conv_in.weight"),
    ("super_res_last", "conv_out.bias"),
];

/// A part, values of its tensors, and the quantity that they spoil.
type Overflow = (&'static str, &'static [(&'static str, f32)], Quantity);

/// Tensors whose numbers may each be sound, and from which the quantity is not: a part, the tensors with the value that is written
/// over their numbers, and the quantity.
const OVERFLOWS: [Overflow; 5] = [
    ("text_encoder", &[("text_model.final_layer_norm.weight", 3e18)], Quantity::Text),
    (
        "image_encoder",
        &[("vision_model.post_layernorm.weight", 3e18), ("visual_projection.weight", 1e3)],
        Quantity::ImageEmbedding,
    ),
    (
        "prior",
        &[("norm_out.weight", 3e18), ("proj_to_clip_embeddings.weight", 1e3)],
        Quantity::PriorEmbedding,
    ),
    ("decoder", &[("conv_out.bias", 6e18)], Quantity::Base),
    ("super_res_first", &[("conv_out.bias", 6e18)], Quantity::Upsampled(1)),
];

fn open(folder: &Path, kind: Kind) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders::new(Folder::open(folder).unwrap());
    Pipeline::open(folders, Device::Cpu, kind).unwrap()
}

/// Everything that the pipeline does with the part.
fn work(pipeline: &Pipeline, part: &str) -> Error {
    let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 99]));
    let error = match part {
        "image_encoder" => pipeline.vary(&picture, &[1], &few_steps(), &mut Silent),
        _ => pipeline.generate(CAPTION, &[1], &few_steps(), &mut Silent),
    };
    error.unwrap_err()
}

#[test]
fn what_networks_compute_is_looked_at_and_the_weight_that_ruined_it_is_named() {
    for (part, tensors, quantity) in OVERFLOWS {
        let place = tempfile::tempdir().unwrap();
        copy_folder(&model("deep"), place.path());
        for &(tensor, value) in tensors {
            // Of a projection three numbers alone: the sum of all that a norm gives is 0.
            let count = if value < 1e18 { 3 } else { usize::MAX };
            overwrite(place.path(), part, tensor, count, value);
        }
        let error = work(&open(place.path(), Kind::Float), part);
        assert_eq!(error.kind(), ErrorKind::Model, "{part}: {error}");
        let Error::NotFinite { quantity: found, cause } = error else {
            panic!("{part}: {error}");
        };
        assert_eq!(found, quantity, "{part}: {cause}");
        let cause = cause.to_string();
        for word in [part, tensors[0].0, "e18"] {
            assert!(cause.contains(word), "{word} is not in: {cause}");
        }
    }
}

#[test]
fn weights_that_no_network_computes_with_are_refused_when_they_are_opened() {
    let pattern = [(f32::NAN, "1 of its"), (f32::NEG_INFINITY, "infinite"), (-1e38, "1e38")];
    for (part, tensor) in PARTS {
        for (value, number) in pattern {
            let place = tempfile::tempdir().unwrap();
            copy_folder(&model("deep"), place.path());
            damage(place.path(), part, tensor, value);
            let folder = Folder::open(place.path()).unwrap().component(part);
            let refused = crate::components::open(part, &folder).unwrap_err();
            let refused = refused.to_string();
            for word in [part, "1 tensor damaged", tensor, number] {
                assert!(refused.contains(word), "{word} is not in: {refused}");
            }
        }
    }
}

#[test]
fn large_files_are_looked_through_where_that_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("decoder");
    fs::create_dir(&path).unwrap();
    let large = Tensor::zeros([1 << 22, 2], (Kind::Float, Device::Cpu));
    let _ = large.get(7).fill_(1e38);
    let tensors = [("large".to_owned(), large.shallow_clone())];
    let file = path.join("model.safetensors");
    weights::save_safetensors(&file, &tensors, Kind::Float).unwrap();
    let folder = Folder::open(place.path()).unwrap();
    let take = |folder: &Folder| {
        let folder = folder.component("decoder");
        let checkpoint = folder.checkpoint("the decoder", Device::Cpu, Kind::Float).unwrap();
        let _ = layers::Params::root(&checkpoint).take("large", &large.size(), layers::Init::Zeros);
        checkpoint.finish()
    };
    take(&folder).unwrap();
    let refused = take(&folder.checked()).unwrap_err().to_string();
    for word in ["decoder", "1 tensor damaged", "large: one of its 8388608 numbers is 1e38"] {
        assert!(refused.contains(word), "{word} is not in: {refused}");
    }
}

#[test]
fn settings_beyond_all_numbers_are_named_where_the_model_is_sound() {
    let pipeline = open(&model("deep"), Kind::Float);
    let settings = |prior: f64, decoder: f64| settings!(few_steps(), prior_guidance_scale: prior, decoder_guidance_scale: decoder);
    for (settings, flag) in [
        (settings(1e30, 2.0), "prior_guidance_scale is 1e30"),
        (settings(2.0, 1e30), "decoder_guidance_scale is 1e30"),
        (settings(2.0, -1e300), "decoder_guidance_scale is -1e300"),
    ] {
        let error = pipeline.generate(CAPTION, &[1], &settings, &mut Silent);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(flag), "{error}");
    }
    pipeline.prepare(Task::VARY, &few_steps()).unwrap();
    let inversion = pipeline.invert(&[RgbImage::new(30, 30)], 2, &mut Silent).unwrap();
    let error = pipeline.sample_inversion(
        &inversion,
        Decoding { eta: 0.0, guidance_scale: 1e30 },
        &mut [Generator::new(1)],
        &few_steps(),
        &mut Silent,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the decoder guidance scale is 1e30"), "{error}");
    // The same pipeline goes on.
    pipeline.generate(CAPTION, &[1], &few_steps(), &mut Silent).unwrap();
}

#[test]
fn numbers_are_finite_as_far_as_their_squares_are() {
    let with = |value: f64| {
        let tensor = Tensor::ones([3, 5], (Kind::Double, Device::Cpu));
        let _ = tensor.get(1).get(2).fill_(value);
        is_finite(&tensor.to_kind(Kind::Float))
    };
    assert!([0.0, -1e18, 1e-300].into_iter().all(with));
    assert!(with(LARGEST) && !with(1.1 * LARGEST));
    for value in [f64::NAN, f64::INFINITY, -1e38] {
        assert!(!with(value), "{value}");
    }
    // Sums of f16 are beyond f16 where none of its numbers is.
    let many = Tensor::ones([100, 100], (Kind::Half, Device::Cpu)) * 6e4;
    assert!(is_finite(&many) && is_finite(&Tensor::zeros([0], (Kind::Float, Device::Cpu))));
}

#[test]
fn embeddings_name_the_row_that_is_damaged() {
    let place = tempfile::tempdir().unwrap();
    let rows = Tensor::ones([4, 20], (Kind::Float, Device::Cpu));
    for (value, words) in [
        (f64::NAN, "row 2 has numbers that are not finite"),
        (1e38, "row 2 has numbers of 1.8e19 or more"),
    ] {
        let rows = rows.copy();
        let _ = rows.get(2).get(7).fill_(value);
        let path = place.path().join("e.npy");
        rows.write_npy(&path).unwrap();
        let refused = weights::load_embeddings(&path).unwrap_err().to_string();
        assert!(refused.contains("e.npy") && refused.contains(words), "{refused}");
        let path = place.path().join("e.safetensors");
        weights::save_safetensors(&path, &[("embedding".to_owned(), rows)], Kind::Float).unwrap();
        let refused = weights::load_embeddings(&path).unwrap_err().to_string();
        assert!(refused.contains("e.safetensors") && refused.contains(words), "{refused}");
    }
}

#[test]
fn an_inversion_with_numbers_beyond_all_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i.safetensors");
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let inversion =
        Inversion { embedding: ones(&[1, 20]), noise: ones(&[1, 3, 8, 8]) * 1e38, steps: 2 };
    inversion.save(&path).unwrap();
    let refused = Inversion::open(&path).unwrap_err().to_string();
    assert!(refused.contains("i.safetensors") && refused.contains("`noise`"), "{refused}");
}

#[test]
fn principal_components_that_are_damaged_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let pca = prior::Pca {
        mean: ones(&[4]),
        components: Tensor::eye(4, (Kind::Float, Device::Cpu)),
        variances: ones(&[4]) * f64::NAN,
    };
    families::save_pca(&place.path().join("image_pca"), &pca).unwrap();
    let folder = Folder::open(place.path()).unwrap().component("image_pca");
    let refused = families::open_pca(&folder, 4).unwrap_err().to_string();
    assert!(
        refused.contains("image_pca") && refused.contains("variances: 4 of its 4 numbers"),
        "{refused}"
    );
}
