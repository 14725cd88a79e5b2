//! Numbers that are not finite: in weights, in what networks compute and in files of embeddings, each named where it is seen first.

use std::fs;
use std::path::Path;

use image::RgbImage;
use layers::finite::{LARGEST, is_finite};
use noise::Generator;
use pipeline::{Error, ErrorKind, Inversion, ModelFolders, Pipeline, Quantity, Settings, Use};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::pipeline::{copy_folder, few_steps, model};

const CAPTION: &str = "a red house under a blue sky";

/// Writes `value` over the first number of a tensor in a part's weights.
pub fn damage(model: &Path, part: &str, tensor: &str, value: f32) {
    let names = ["diffusion_pytorch_model.safetensors", "model.safetensors"];
    let paths = names.map(|name| model.join(part).join(name));
    let path = paths.iter().find(|path| path.exists()).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert_eq!(header[tensor]["dtype"], "F32", "{tensor}");
    let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    let at = 8 + length + start;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

/// The parts with a tensor each, the quantity that shows its damage first, and that one's name.
pub const PARTS: [(&str, &str, Quantity); 7] = [
    ("text_encoder", "text_projection.weight", Quantity::Text),
    (
        "image_encoder",
        "visual_projection.weight",
        Quantity::ImageEmbedding,
    ),
    ("prior", "proj_in.weight", Quantity::PriorEmbedding),
    (
        "text_proj",
        "encoder_hidden_states_proj.weight",
        Quantity::Base,
    ),
    ("decoder", "conv_in.weight", Quantity::Base),
    ("super_res_first", "conv_in.weight", Quantity::Upsampled),
    ("super_res_last", "conv_in.weight", Quantity::Upsampled),
];

fn open(folder: &Path, kind: Kind) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders {
        model: Folder::open(folder).unwrap(),
        autoregressive: false,
        prior: None,
        image_encoder: None,
    };
    Pipeline::open(folders, Device::Cpu, kind).unwrap()
}

fn quiet() -> impl FnMut(pipeline::Stage, usize, usize) {
    |_, _, _| ()
}

/// Everything that the pipeline does with the part.
fn work(pipeline: &Pipeline, part: &str) -> Error {
    let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 99]));
    let error = match part {
        "image_encoder" => pipeline.vary(&picture, &[1], &few_steps(), &mut quiet()),
        _ => pipeline.generate(CAPTION, &[1], &few_steps(), &mut quiet()),
    };
    error.unwrap_err()
}

#[test]
fn a_damaged_weight_is_named_with_what_it_ruined() {
    for (part, tensor, quantity) in PARTS {
        for value in [f32::NAN, f32::INFINITY] {
            let place = tempfile::tempdir().unwrap();
            copy_folder(&model("deep"), place.path());
            damage(place.path(), part, tensor, value);
            let error = work(&open(place.path(), Kind::Float), part);
            assert_eq!(error.kind(), ErrorKind::Model, "{part}: {error}");
            let Error::NotFinite {
                quantity: found,
                cause,
            } = error
            else {
                panic!("{part}: {error}");
            };
            assert_eq!(found, quantity, "{part}: {cause}");
            for word in [part, tensor, "1 of its", "NaN or infinite"] {
                assert!(cause.contains(word), "{word} is not in: {cause}");
            }
        }
    }
}

#[test]
fn a_bit_that_flips_at_the_end_of_a_network_is_seen_although_x_0_is_clamped() {
    for (part, quantity) in [
        ("decoder", Quantity::Base),
        ("super_res_first", Quantity::Upsampled),
        ("super_res_last", Quantity::Upsampled),
    ] {
        let place = tempfile::tempdir().unwrap();
        copy_folder(&model("deep"), place.path());
        damage(place.path(), part, "conv_out.bias", 1e38);
        let error = work(&open(place.path(), Kind::Float), part);
        let Error::NotFinite {
            quantity: found,
            cause,
        } = error
        else {
            panic!("{part}: {error}");
        };
        assert_eq!(found, quantity);
        assert!(
            cause.contains("conv_out.bias") && cause.contains("e37") | cause.contains("e38"),
            "{cause}"
        );
    }
}

#[test]
fn a_checked_folder_refuses_what_no_network_computes_with() {
    for (part, tensor, _) in PARTS {
        for (value, word) in [
            (f32::NAN, "1 of its"),
            (f32::NEG_INFINITY, "infinite"),
            (-1e38, "1e38"),
        ] {
            let place = tempfile::tempdir().unwrap();
            copy_folder(&model("deep"), place.path());
            damage(place.path(), part, tensor, value);
            let folder = Folder::open(place.path()).unwrap();
            crate::components::open(part, &folder.component(part)).unwrap();
            let refused = crate::components::open(part, &folder.checked().component(part));
            let refused = refused.unwrap_err().to_string();
            for word in [part, "1 tensor damaged", tensor, word] {
                assert!(refused.contains(word), "{word} is not in: {refused}");
            }
        }
    }
    let folder = Folder::open(model("deep")).unwrap().checked();
    for (part, ..) in PARTS {
        crate::components::open(part, &folder.component(part)).unwrap();
    }
}

#[test]
fn settings_beyond_all_numbers_are_named_where_the_model_is_sound() {
    let pipeline = open(&model("deep"), Kind::Float);
    let settings = |prior: f64, decoder: f64| Settings {
        prior_guidance_scale: prior,
        decoder_guidance_scale: decoder,
        ..few_steps()
    };
    for (settings, flag) in [
        (settings(1e30, 2.0), "--prior-guidance-scale is 1e30"),
        (settings(2.0, 1e30), "--decoder-guidance-scale is 1e30"),
        (settings(2.0, -1e300), "--decoder-guidance-scale is -1e300"),
    ] {
        let error = pipeline.generate(CAPTION, &[1], &settings, &mut quiet());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(flag), "{error}");
    }
    pipeline
        .prepare(&[Use::ImageEncoder], &few_steps())
        .unwrap();
    let inversion = pipeline
        .invert(&[RgbImage::new(30, 30)], 2, &mut quiet())
        .unwrap();
    let error = pipeline.draw_inversion(
        &inversion,
        (0.0, 1e30),
        &mut [Generator::new(1)],
        &few_steps(),
        &mut quiet(),
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("--decoder-guidance-scale is 1e30"),
        "{error}"
    );
    // The same pipeline goes on.
    pipeline
        .generate(CAPTION, &[1], &few_steps(), &mut quiet())
        .unwrap();
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
        assert!(
            refused.contains("e.npy") && refused.contains(words),
            "{refused}"
        );
        let path = place.path().join("e.safetensors");
        weights::save_safetensors(&path, &[("embedding".to_owned(), rows)], Kind::Float).unwrap();
        let refused = weights::load_embeddings(&path).unwrap_err().to_string();
        assert!(
            refused.contains("e.safetensors") && refused.contains(words),
            "{refused}"
        );
    }
}

#[test]
fn an_inversion_with_numbers_beyond_all_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i.safetensors");
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let inversion = Inversion {
        embedding: ones(&[1, 20]),
        noise: ones(&[1, 3, 8, 8]) * 1e38,
        steps: 2,
    };
    inversion.save(&path).unwrap();
    let refused = Inversion::open(&path).unwrap_err().to_string();
    assert!(
        refused.contains("i.safetensors") && refused.contains("`noise`"),
        "{refused}"
    );
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
    weights::save_pca(&place.path().join("image_pca"), &pca).unwrap();
    let folder = Folder::open(place.path()).unwrap().component("image_pca");
    let refused = weights::open_pca(&folder, 4).unwrap_err().to_string();
    assert!(
        refused.contains("image_pca") && refused.contains("variances: 4 of its 4 numbers"),
        "{refused}"
    );
}
