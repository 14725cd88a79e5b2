//! The configurations that we write say what the reference's own say of the same model.

use std::path::Path;

use ::clip::ImageEncoderConfig;
use decoder::{AttentionConfig, ConditioningConfig, UNetConfig};
use prior::PriorConfig;
use serde_json::{Map, Value};
use tch::{Device, Kind};

use super::{data, part};

fn read(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Whether two fields say the same; files differ in how they spell numbers.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Each field of ours but for `free` is in the reference's file with the same value.
fn compare(ours: &Path, name: &str, file: &str, free: &[&str]) {
    let (written, reference) =
        (read(&ours.join(file)), read(&data().join("deep/model").join(name).join(file)));
    for (field, value) in &written {
        if !free.contains(&field.as_str()) {
            let wanted = reference
                .get(field)
                .unwrap_or_else(|| panic!("{name}: the reference has no field {field}"));
            assert!(same(value, wanted), "{name}: {field} is {value}, the reference's {wanted}");
        }
    }
    assert!(written.len() > 4, "{name}: ours says too little to compare: {written:?}");
}

#[test]
fn configs_say_what_the_references_say() {
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);

    let (device, kind) = (Device::Cpu, Kind::Float);
    let text = families::open_text_encoder(&part("deep", "text_encoder"), device, kind).unwrap();
    families::write_text_encoder_config(&folder("text_encoder"), text.config()).unwrap();
    // Which tokens start and pad a caption is for the tokenizer to say.
    let free = ["bos_token_id", "pad_token_id"];
    compare(&folder("text_encoder"), "text_encoder", "config.json", &free);

    let image = families::open_image_encoder(&part("deep", "image_encoder"), device, kind).unwrap();
    let ImageEncoderConfig::VisionTransformer(image) = image.config() else { panic!("a ResNet") };
    families::write_image_encoder_config(&folder("image_encoder"), &image).unwrap();
    compare(&folder("image_encoder"), "image_encoder", "config.json", &[]);

    let prior = PriorConfig {
        embedding: 20,
        text_width: 20,
        context_length: 24,
        heads: 3,
        head_width: 8,
        layers: 3,
    };
    families::write_prior_config(&folder("prior"), &prior).unwrap();
    compare(&folder("prior"), "prior", "config.json", &[]);

    let conditioning = ConditioningConfig {
        embedding: 20,
        text_width: 20,
        time_width: 32,
        context_width: 20,
        extra_tokens: 4,
    };
    families::write_conditioning_config(&folder("text_proj"), &conditioning).unwrap();
    compare(&folder("text_proj"), "text_proj", "config.json", &[]);

    let decoder = UNetConfig {
        sample_size: 8,
        in_channels: 3,
        out_channels: 6,
        block_out_channels: vec![8, 12, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 4, context_width: 20, finest_level: 1 }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    };
    families::write_unet_config(&folder("decoder"), &decoder).unwrap();
    compare(&folder("decoder"), "decoder", "config.json", &[]);

    let upsampler = UNetConfig {
        sample_size: 24,
        in_channels: 6,
        out_channels: 3,
        block_out_channels: vec![8, 8, 8],
        attention: None,
        scale_shift: false,
        ..decoder
    };
    families::write_unet_config(&folder("super_res_first"), &upsampler).unwrap();
    compare(&folder("super_res_first"), "super_res_first", "config.json", &[]);

    for name in ["prior_scheduler", "decoder_scheduler", "super_res_scheduler"] {
        let scheduler = families::open_scheduler(&part("deep", name)).unwrap();
        families::write_scheduler_config(&folder(name), &scheduler).unwrap();
        compare(&folder(name), name, "scheduler_config.json", &[]);
    }
}
