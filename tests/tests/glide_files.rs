//! GLIDE's published files: every shape is read off the tensors, every tensor is taken, what is no such file is refused in one
//! sentence, and our own layout has the same tensors.

use std::fs;
use std::path::Path;

use ::clip::{NoisedImageConfig, NoisedTextConfig};
use ::decoder::{AttentionConfig, TextTransformerConfig, UNetConfig};
use ::diffusion::{BetaSchedule, Prediction, SchedulerConfig, TimestepSpacing, Variance};
use ::weights::{Error as WeightsError, Folder, load_safetensors, save_safetensors};
use families::glide::{self, NetworkConfig};
use families::{ConfigError, Error};
use tch::{Device, Kind, Tensor};

mod refusals;
mod state_dicts;

use self::state_dicts::{
    BASE, OPTIONS, Tensors, UNetOptions, UPSAMPLE, noised_image_file, noised_text_file, unet_file,
};

/// The components with weights.
const COMPONENTS: [&str; 10] = [
    "decoder",
    "decoder_text_encoder",
    "upsampler",
    "upsampler_text_encoder",
    "inpaint_decoder",
    "inpaint_decoder_text_encoder",
    "inpaint_upsampler",
    "inpaint_upsampler_text_encoder",
    "clip_text_encoder",
    "clip_image_encoder",
];

/// A folder with all published files.
fn published() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: &Tensors| write(place.path(), name, tensors);
    write("base.pt", &unet_file(&BASE));
    write("upsample.pt", &unet_file(&UPSAMPLE));
    write("base_inpaint.pt", &unet_file(&UNetOptions { in_channels: 7, ..BASE }));
    write("upsample_inpaint.pt", &unet_file(&UNetOptions { in_channels: 10, ..UPSAMPLE }));
    write("clip_text_enc.pt", &noised_text_file());
    write("clip_image_enc.pt", &noised_image_file());
    fs::write(place.path().join("glide.json"), OPTIONS).unwrap();
    place
}

/// A file is read by its first bytes, whatever its name promises.
fn write(folder: &Path, name: &str, tensors: &Tensors) {
    save_safetensors(folder.join(name), tensors, None).unwrap();
}

fn folder(place: &tempfile::TempDir) -> Folder {
    Folder::open(place.path()).unwrap()
}

/// Opens a component to draw with, for its error only.
fn open(folder: &Folder, component: &'static str) -> Result<(), Error> {
    let (device, kind) = (Device::Cpu, Kind::Float);
    match component {
        "clip_text_encoder" => glide::open_noised_text_encoder(folder, device, kind).map(drop),
        "clip_image_encoder" => glide::open_noised_image_encoder(folder, device, kind).map(drop),
        _ if component.ends_with("text_encoder") => {
            glide::open_text_transformer(folder, component, device, kind).map(drop)
        }
        _ => glide::open_unet(folder, component, device, kind).map(drop),
    }
}

fn sentence(folder: &Folder, component: &'static str) -> String {
    let error = open(folder, component).expect_err(component).to_string();
    error.replace(&folder.path().unwrap().display().to_string(), "glide")
}

#[test]
fn published_files_say_what_they_hold() {
    for component in COMPONENTS {
        assert!(glide::published_file(component).unwrap().ends_with(".pt"));
    }
    assert_eq!(glide::published_file("inpaint_upsampler"), Some("upsample_inpaint.pt"));
    assert_eq!(glide::published_file("inpaint_decoder_text_encoder"), Some("base_inpaint.pt"));
    for component in ["decoder_scheduler", "tokenizer", "clip_tokenizer", "text_encoder"] {
        assert_eq!(glide::published_file(component), None);
    }
    let place = tempfile::tempdir().unwrap();
    assert!(!glide::is_published(&folder(&place)));
    fs::write(place.path().join("clip_image_enc.pt"), "").unwrap();
    assert!(glide::is_published(&folder(&place)));
}

#[test]
fn shapes_are_read_off_the_tensors() {
    let place = published();
    let folder = folder(&place);
    let config = |component| glide::read_network(&folder, component).unwrap().0;
    let attention = |head_width, context_width, finest_level| {
        Some(AttentionConfig { head_width, context_width, finest_level })
    };
    let base = UNetConfig {
        sample_size: 16,
        in_channels: 3,
        out_channels: 6,
        block_out_channels: vec![32, 64],
        layers_per_block: 2,
        attention: attention(8, 24, 1),
        scale_shift: true,
        norm_groups: 32,
        norm_eps: 1e-5,
    };
    let upsampler = UNetConfig {
        sample_size: 32,
        in_channels: 6,
        block_out_channels: vec![32, 32, 64],
        layers_per_block: 1,
        attention: attention(16, 16, 2),
        ..base.clone()
    };
    let unet = |component, expected| assert_eq!(config(component), NetworkConfig::UNet(expected));
    unet("decoder", base.clone());
    unet("upsampler", upsampler.clone());
    // An inpainting network's options are those of the one it was made of, unless it has its own.
    unet("inpaint_decoder", UNetConfig { in_channels: 7, ..base });
    let attention = attention(32, 16, 2);
    unet(
        "inpaint_upsampler",
        UNetConfig { in_channels: 10, sample_size: 64, attention, ..upsampler },
    );
    let text = |component, width, layers, heads| {
        let expected = TextTransformerConfig {
            vocab_size: 50,
            context_length: 10,
            width,
            layers,
            heads,
            time_width: 128,
        };
        assert_eq!(config(component), NetworkConfig::TextTransformer(expected));
    };
    text("decoder_text_encoder", 24, 2, 3);
    text("upsampler_text_encoder", 16, 1, 2);
    text("inpaint_decoder_text_encoder", 24, 2, 3);
    text("inpaint_upsampler_text_encoder", 16, 1, 4);
    let text = NoisedTextConfig {
        vocab_size: 30,
        context_length: 7,
        width: 12,
        layers: 2,
        heads: 3,
        embedding: 5,
    };
    assert_eq!(config("clip_text_encoder"), NetworkConfig::NoisedText(text));
    let image = NoisedImageConfig {
        image_size: 12,
        patch_size: 4,
        width: 8,
        layers: 1,
        heads: 2,
        embedding: 5,
        timesteps: 11,
    };
    assert_eq!(config("clip_image_encoder"), NetworkConfig::NoisedImage(image));
}

#[test]
fn without_options_heads_are_64_wide_and_pictures_have_the_published_sizes() {
    let place = tempfile::tempdir().unwrap();
    let wide = UNetOptions { channels: 64, text_width: 128, ..BASE };
    write(place.path(), "base.pt", &unet_file(&wide));
    let wide = UNetOptions { channels: 64, text_width: 128, ..UPSAMPLE };
    write(place.path(), "upsample.pt", &unet_file(&wide));
    let folder = folder(&place);
    for (component, size) in [("decoder", 64), ("upsampler", 256)] {
        let (NetworkConfig::UNet(config), _) = glide::read_network(&folder, component).unwrap()
        else {
            panic!("{component} is a U-Net");
        };
        assert_eq!((config.sample_size, config.attention.unwrap().head_width), (size, 64));
    }
    let (NetworkConfig::TextTransformer(config), _) =
        glide::read_network(&folder, "decoder_text_encoder").unwrap()
    else {
        panic!("it is a text transformer");
    };
    assert_eq!(config.heads, 2);
}

#[test]
fn packed_tensors_are_unpacked_head_by_head() {
    let place = published();
    let theirs = unet_file(&BASE);
    let packed = |name: &str| {
        let (_, tensor) = theirs.iter().find(|(other, _)| other == name).unwrap();
        tensor.shallow_clone()
    };
    let (_, tensors) = glide::read_network(&folder(&place), "decoder").unwrap();
    let (_, text) = glide::read_network(&folder(&place), "decoder_text_encoder").unwrap();
    let ours = |name: &str| {
        let tensor = tensors.iter().chain(&text).find(|(other, _)| other == name);
        tensor.unwrap_or_else(|| panic!("{name}")).1.shallow_clone()
    };
    // [heads, parts, head width, inputs]
    let qkv = packed("middle_block.1.qkv.weight").view([8, 3, 8, 64]);
    let context = packed("output_blocks.2.1.encoder_kv.weight").view([8, 2, 8, 24]);
    let c_qkv = packed("transformer.resblocks.1.attn.c_qkv.weight").view([3, 3, 8, 24]);
    let bias = packed("middle_block.1.qkv.bias").view([8, 3, 8]);
    for (part, letter) in (0..).zip(["q", "k", "v"]) {
        let pixels = ours(&format!("mid_block.attentions.0.to_{letter}.weight"));
        assert_eq!(pixels, qkv.select(1, part).reshape([64, 64]));
        let pixels = ours(&format!("mid_block.attentions.0.to_{letter}.bias"));
        assert_eq!(pixels, bias.select(1, part).reshape([64]));
        let text = ours(&format!("encoder.layers.1.self_attn.{letter}_proj.weight"));
        assert_eq!(text, c_qkv.select(1, part).reshape([24, 24]));
    }
    for (part, letter) in (0..).zip(["k", "v"]) {
        let tokens = ours(&format!("up_blocks.0.attentions.2.add_{letter}_proj.weight"));
        assert_eq!(tokens, context.select(1, part).reshape([64, 24]));
    }
    for (our, their) in [
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("down_blocks.0.resnets.1.conv1.weight", "input_blocks.2.0.in_layers.2.weight"),
        ("down_blocks.0.downsamplers.0.conv2.bias", "input_blocks.3.0.out_layers.3.bias"),
        ("down_blocks.1.resnets.0.time_emb_proj.weight", "input_blocks.4.0.emb_layers.1.weight"),
        ("mid_block.resnets.1.norm2.weight", "middle_block.2.out_layers.0.weight"),
        ("up_blocks.0.upsamplers.0.norm1.bias", "output_blocks.2.2.in_layers.0.bias"),
        ("up_blocks.1.resnets.0.conv_shortcut.bias", "output_blocks.3.0.skip_connection.bias"),
        ("conv_out.bias", "out.2.bias"),
        ("time_embedding.linear_2.weight", "time_embed.2.weight"),
        ("padding_embedding.weight", "padding_embedding"),
        ("encoder.layers.0.mlp.fc2.bias", "transformer.resblocks.0.mlp.c_proj.bias"),
        ("time_projection.bias", "transformer_proj.bias"),
    ] {
        assert_eq!(ours(our), packed(their), "{our}");
    }
}

#[test]
fn our_own_layout_has_the_same_tensors() {
    let place = published();
    let ours = tempfile::tempdir().unwrap();
    for component in COMPONENTS {
        open(&folder(&place), component).unwrap_or_else(|error| panic!("{component}: {error}"));
        let (config, tensors) = glide::read_network(&folder(&place), component).unwrap();
        let kinds: Vec<Kind> = tensors.iter().map(|(_, tensor)| tensor.kind()).collect();
        assert!(kinds.contains(&Kind::Half) && kinds.contains(&Kind::Float), "{kinds:?}");
        let path = ours.path().join(component);
        glide::save_network(&path, &config, &tensors, None).unwrap();
        let own = Folder::open(&path).unwrap();
        open(&own, component).unwrap_or_else(|error| panic!("{component}: {error}"));
        let (again, same) = glide::read_network(&own, component).unwrap();
        assert_eq!(again, config, "{component}");
        assert_eq!(same.len(), tensors.len());
        for ((name, tensor), (other, ours)) in tensors.iter().zip(&same) {
            assert_eq!((name, tensor.kind()), (other, ours.kind()));
            assert_eq!(tensor, ours, "{component}: {name}");
        }
    }
    // In one kind where one is wished.
    let (config, tensors) = glide::read_network(&folder(&place), "clip_text_encoder").unwrap();
    glide::save_network(ours.path(), &config, &tensors, Kind::BFloat16).unwrap();
    let weights = load_safetensors(ours.path().join("model.safetensors")).unwrap();
    assert!(weights.iter().all(|(_, tensor)| tensor.kind() == Kind::BFloat16));
    // One component's folder is no other's.
    let text = Folder::open(ours.path().join("clip_text_encoder")).unwrap();
    for component in ["decoder", "decoder_text_encoder", "clip_image_encoder"] {
        assert!(open(&text, component).is_err(), "{component}");
    }
}

#[test]
fn schedulers_are_those_of_the_reference() {
    let place = tempfile::tempdir().unwrap();
    let config = |beta_schedule| SchedulerConfig {
        train_timesteps: 1000,
        timestep_spacing: TimestepSpacing::Linspace,
        beta_schedule,
        prediction: Prediction::Epsilon,
        variance: Variance::LearnedRange,
        clip_range: Some(1.0),
    };
    for (component, class, betas) in [
        ("decoder_scheduler", "DDPMScheduler", BetaSchedule::Cosine),
        ("upsampler_scheduler", "DDIMScheduler", BetaSchedule::Linear { start: 1e-4, end: 0.02 }),
    ] {
        let published = glide::open_scheduler(&folder(&place), component).unwrap();
        assert_eq!(published, config(betas));
        let path = place.path().join(component);
        glide::write_scheduler(&path, component).unwrap();
        let file = path.join("scheduler_config.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(class));
        let own = Folder::open(&path).unwrap();
        assert_eq!(glide::open_scheduler(&own, component).unwrap(), published);
        for (field, other) in [
            ("\"linspace\"", "\"leading\""),
            ("\"learned_range\"", "\"fixed_small\""),
            ("1000", "0"),
            ("\"timestep_spacing\"", "\"timestep_spaces\""),
            (class, "PNDMScheduler"),
        ] {
            fs::write(&file, text.replace(field, other)).unwrap();
            assert!(glide::open_scheduler(&own, component).is_err(), "{other}");
        }
    }
    assert!(glide::open_scheduler(&folder(&place), "scheduler").is_err());
    assert!(glide::read_network(&folder(&place), "scheduler").is_err());
}

/// Opens `component` of a folder whose `base.pt` was changed.
/// GPT-2's table in small: every byte's letter, one merge and the end.
fn caption_files() -> (String, &'static str) {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let bytes = (0..=255u32).filter(printable).chain(256..=323).map(|c| char::from_u32(c).unwrap());
    let tokens = bytes.map(String::from).chain(["an", "<|endoftext|>"].map(str::to_owned));
    let table = tokens.zip(0..).map(|(token, n)| (token, serde_json::json!(n)));
    let table = serde_json::Value::Object(table.collect());
    (table.to_string(), "#version: 0.2\na n\n")
}

/// A gzip file (RFC 1952) of one stored block.
fn gzip(text: &str) -> Vec<u8> {
    let length = text.len() as u16;
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(text.as_bytes());
    packed.extend(crc32fast::hash(text.as_bytes()).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

#[test]
fn tokenizers_lie_beside_the_networks_packed_or_not() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place);
    let (table, merges) = caption_files();
    let caption = |expected: &str| {
        let error = glide::open_caption_tokenizer(&folder).map(drop).unwrap_err().to_string();
        let sentence = format!(
            " has no {expected}, which reading captions needs: the reference's repository (openai/glide-text2im) has it in \
             glide_text2im/tokenizer, packed by gzip, as it may stay"
        );
        assert!(error.ends_with(&sentence), "{error}");
    };
    let write = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
    caption("encoder.json and vocab.bpe");
    write("vocab.bpe.gz", &gzip(merges));
    caption("encoder.json");
    write("encoder.json.gz", &gzip(&table));
    let packed = glide::open_caption_tokenizer(&folder).unwrap();
    assert_eq!((packed.vocab_size(), packed.context_length()), (258, 128));
    fs::remove_file(place.path().join("vocab.bpe.gz")).unwrap();
    caption("vocab.bpe");
    write("vocab.bpe", merges.as_bytes());
    write("encoder.json.gz", b"\x1f\x8b and no more");
    let error = glide::open_caption_tokenizer(&folder).map(drop).unwrap_err().to_string();
    assert!(
        error.contains("encoder.json.gz: it is packed by gzip, and cannot be unpacked"),
        "{error}"
    );
    write("encoder.json", table.as_bytes());
    let plain = glide::open_caption_tokenizer(&folder).unwrap();
    let ids = |tokenizer: &::clip::Gpt2Tokenizer| tokenizer.encode(&["An ant"]).unwrap().ids;
    assert_eq!(ids(&plain), ids(&packed));
    // The noised CLIP's own, which is no GPT-2's.
    write("base.pt", b"");
    let error = glide::open_noised_clip_tokenizer(&folder).map(drop).unwrap_err().to_string();
    assert!(
        error.contains(" has no bpe_simple_vocab_16e6.txt, which reading captions needs: "),
        "{error}"
    );
    write("bpe_simple_vocab_16e6.txt.gz", &gzip("#version: 0.2\na n\n"));
    let packed = glide::open_noised_clip_tokenizer(&folder).unwrap();
    assert_eq!((packed.vocab_size(), packed.context_length()), (515, Some(77)));
}
