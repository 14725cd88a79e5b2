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
use noise::Generator;
use tch::{Device, Kind, Tensor};

type Tensors = Vec<(String, Tensor)>;

/// The options of the reference's constructors.
struct UNetOptions {
    channels: i64,
    mult: &'static [i64],
    blocks: i64,
    /// Which levels attend.
    attends: &'static [bool],
    in_channels: i64,
    text_width: i64,
    text_layers: i64,
}

const BASE: UNetOptions = UNetOptions {
    channels: 32,
    mult: &[1, 2],
    blocks: 2,
    attends: &[false, true],
    in_channels: 3,
    text_width: 24,
    text_layers: 2,
};

const UPSAMPLE: UNetOptions = UNetOptions {
    channels: 32,
    mult: &[1, 1, 2],
    blocks: 1,
    attends: &[false, false, true],
    in_channels: 6,
    text_width: 16,
    text_layers: 1,
};

/// The options that no tensor has.
const OPTIONS: &str = r#"{
    "base": {"image_size": 16, "num_head_channels": 8, "xf_heads": 3},
    "upsample": {"image_size": 32, "num_head_channels": 16, "xf_heads": 2},
    "upsample_inpaint": {"image_size": 64, "num_head_channels": 32, "xf_heads": 4},
    "clip_text_enc": {"n_head_text": 3},
    "clip_image_enc": {"n_head_image": 2}
}"#;

/// A state dict that is being written down, with the seed of its next tensor.
struct StateDict(Tensors, u64);

impl StateDict {
    fn add(&mut self, name: impl Into<String>, shape: &[i64]) {
        let count = shape.iter().product::<i64>() as usize;
        self.1 += 1;
        let values = Tensor::from_slice(&Generator::new(self.1).normal(count));
        // Published files are of f32 and of f16.
        let kind = if self.1.is_multiple_of(2) { Kind::Half } else { Kind::Float };
        self.0.push((name.into(), values.view(shape).to_kind(kind)));
    }

    /// A weight of this shape and its bias.
    fn map(&mut self, name: impl std::fmt::Display, shape: &[i64]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    /// `ResBlock`
    fn resnet(&mut self, name: &str, inputs: i64, outputs: i64, time: i64) {
        self.map(format!("{name}.in_layers.0"), &[inputs]);
        self.map(format!("{name}.in_layers.2"), &[outputs, inputs, 3, 3]);
        self.map(format!("{name}.emb_layers.1"), &[2 * outputs, time]);
        self.map(format!("{name}.out_layers.0"), &[outputs]);
        self.map(format!("{name}.out_layers.3"), &[outputs, outputs, 3, 3]);
        if inputs != outputs {
            self.map(format!("{name}.skip_connection"), &[outputs, inputs, 1, 1]);
        }
    }

    /// `AttentionBlock`
    fn attention(&mut self, name: &str, channels: i64, context: i64) {
        self.map(format!("{name}.norm"), &[channels]);
        self.map(format!("{name}.qkv"), &[3 * channels, channels, 1]);
        self.map(format!("{name}.encoder_kv"), &[2 * channels, context, 1]);
        self.map(format!("{name}.proj_out"), &[channels, channels, 1]);
    }
}

/// The state dict of `Text2ImUNet`, by the reference's own walk through its levels.
fn unet_file(options: &UNetOptions) -> Tensors {
    let mut file = StateDict(Vec::new(), 0);
    let &UNetOptions { channels, mult, blocks, attends, text_width, .. } = options;
    let time = 4 * channels;
    file.map("time_embed.0", &[time, channels]);
    file.map("time_embed.2", &[time, time]);
    file.map("input_blocks.0.0", &[channels, options.in_channels, 3, 3]);
    let (mut current, mut skips, mut n) = (channels, vec![channels], 1);
    for (level, factor) in mult.iter().enumerate() {
        for _ in 0..blocks {
            file.resnet(&format!("input_blocks.{n}.0"), current, factor * channels, time);
            current = factor * channels;
            if attends[level] {
                file.attention(&format!("input_blocks.{n}.1"), current, text_width);
            }
            skips.push(current);
            n += 1;
        }
        if level + 1 < mult.len() {
            file.resnet(&format!("input_blocks.{n}.0"), current, current, time);
            skips.push(current);
            n += 1;
        }
    }
    file.resnet("middle_block.0", current, current, time);
    file.attention("middle_block.1", current, text_width);
    file.resnet("middle_block.2", current, current, time);
    n = 0;
    for (level, factor) in mult.iter().enumerate().rev() {
        for block in 0..=blocks {
            let outputs = factor * channels;
            let inputs = current + skips.pop().unwrap();
            file.resnet(&format!("output_blocks.{n}.0"), inputs, outputs, time);
            current = outputs;
            let mut place = 1;
            if attends[level] {
                file.attention(&format!("output_blocks.{n}.1"), current, text_width);
                place = 2;
            }
            if level > 0 && block == blocks {
                file.resnet(&format!("output_blocks.{n}.{place}"), current, current, time);
            }
            n += 1;
        }
    }
    file.map("out.0", &[channels]);
    file.map("out.2", &[6, channels, 3, 3]);
    text_transformer(&mut file, options);
    file.0
}

fn text_transformer(file: &mut StateDict, options: &UNetOptions) {
    let width = options.text_width;
    file.add("positional_embedding", &[10, width]);
    file.add("padding_embedding", &[10, width]);
    for layer in 0..options.text_layers {
        let block = format!("transformer.resblocks.{layer}");
        file.map(format!("{block}.attn.c_qkv"), &[3 * width, width]);
        file.map(format!("{block}.attn.c_proj"), &[width, width]);
        file.map(format!("{block}.ln_1"), &[width]);
        file.map(format!("{block}.mlp.c_fc"), &[4 * width, width]);
        file.map(format!("{block}.mlp.c_proj"), &[width, 4 * width]);
        file.map(format!("{block}.ln_2"), &[width]);
    }
    file.map("final_ln", &[width]);
    file.add("token_embedding.weight", &[50, width]);
    file.map("transformer_proj", &[4 * options.channels, width]);
}

/// The blocks of both encoders of the noised CLIP.
fn noised_blocks(file: &mut StateDict, width: i64, layers: i64) {
    for layer in 0..layers {
        let block = format!("blocks.block_{layer}");
        for (part, maps) in [
            ("f_attn", &[("f_q", 1, 1), ("f_k", 1, 1), ("f_v", 1, 1), ("f_c", 1, 1)][..]),
            ("f_mlp", &[("f_1", 4, 1), ("f_2", 1, 4)]),
        ] {
            file.add(format!("{block}.{part}.ln.g"), &[width]);
            file.add(format!("{block}.{part}.ln.b"), &[width]);
            for (map, outputs, inputs) in maps {
                file.add(format!("{block}.{part}.{map}.w"), &[outputs * width, inputs * width]);
                if *map != "f_k" {
                    file.add(format!("{block}.{part}.{map}.b"), &[outputs * width]);
                }
            }
        }
    }
    file.add("blocks.output.ln.g", &[width]);
    file.add("blocks.output.ln.b", &[width]);
    file.add("blocks.output.f.w", &[5, width]);
}

fn noised_text_file() -> Tensors {
    let mut file = StateDict(Vec::new(), 0);
    file.add("blocks.input.w_voc", &[30, 12]);
    file.add("blocks.input.w_pos", &[7, 12]);
    noised_blocks(&mut file, 12, 2);
    file.0
}

fn noised_image_file() -> Tensors {
    let mut file = StateDict(Vec::new(), 0);
    file.add("blocks.input.w_t", &[11, 8]);
    file.add("blocks.input.patch_proj", &[8, 3, 4, 4]);
    file.add("blocks.input.w_pos", &[10, 8]);
    file.add("blocks.input.ln.g", &[8]);
    file.add("blocks.input.ln.b", &[8]);
    noised_blocks(&mut file, 8, 1);
    file.0
}

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
fn with_base(change: impl FnOnce(&mut Tensors), component: &'static str) -> String {
    let place = published();
    let mut tensors = unet_file(&BASE);
    change(&mut tensors);
    write(place.path(), "base.pt", &tensors);
    sentence(&folder(&place), component)
}

#[test]
fn every_tensor_must_fit() {
    let remove = |name: &'static str| {
        move |tensors: &mut Tensors| tensors.retain(|(other, _)| other != name)
    };
    let add = |name: &'static str| {
        move |tensors: &mut Tensors| tensors.push((name.to_owned(), Tensor::from(1.0f32)))
    };
    let reshape = |name: &'static str| {
        move |tensors: &mut Tensors| {
            let (_, tensor) = tensors.iter_mut().find(|(other, _)| other == name).unwrap();
            *tensor = Tensor::cat(&[&*tensor, &*tensor], 0);
        }
    };
    let (unet, text) = ("decoder", "decoder_text_encoder");
    for (component, sentence, expected) in [
        (
            unet,
            with_base(remove("output_blocks.1.1.qkv.bias"), unet),
            "glide/base.pt does not fit the base network: 1 tensor missing (output_blocks.1.1.qkv.bias)",
        ),
        (
            text,
            with_base(remove("transformer.resblocks.0.ln_2.bias"), text),
            "glide/base.pt does not fit the base network's text transformer: 1 tensor missing \
             (transformer.resblocks.0.ln_2.bias)",
        ),
        (unet, with_base(add("step"), unet), "1 tensor unused (step)"),
        (text, with_base(add("step"), text), "1 tensor unused (step)"),
        (unet, with_base(add("out.3.weight"), unet), "1 tensor unused (out.3.weight)"),
        (text, with_base(add("final_ln.gain"), text), "1 tensor unused (final_ln.gain)"),
        (
            unet,
            with_base(reshape("middle_block.1.qkv.bias"), unet),
            "1 tensor of another shape (middle_block.1.qkv.bias is [384] where [192] is wanted)",
        ),
        (
            unet,
            with_base(remove("middle_block.1.encoder_kv.weight"), unet),
            "glide/base.pt cannot be used for the base network: it has no tensor middle_block.1.encoder_kv.weight",
        ),
        (
            unet,
            with_base(remove("output_blocks.5.0.in_layers.0.weight"), unet),
            "its 5 output_blocks are not as many on each of 2 levels",
        ),
        (
            text,
            with_base(
                |tensors| {
                    let (_, tensor) = tensors
                        .iter_mut()
                        .find(|(name, _)| name == "positional_embedding")
                        .unwrap();
                    *tensor = tensor.view([-1]);
                },
                text,
            ),
            "its tensor positional_embedding is [240], and has 2 dimensions in GLIDE",
        ),
    ] {
        assert!(sentence.contains(expected), "{component}: {sentence}");
    }
    // What is wrong in the text transformer does not keep the U-Net from opening.
    let place = published();
    let mut tensors = unet_file(&BASE);
    tensors.retain(|(name, _)| !name.starts_with("transformer.resblocks.1"));
    write(place.path(), "base.pt", &tensors);
    open(&folder(&place), unet).unwrap();
}

#[test]
fn another_file_in_the_place_of_one_is_named() {
    let place = published();
    let swap = |from: &str, to: &str, component| {
        let kept = fs::read(place.path().join(to)).unwrap();
        fs::copy(place.path().join(from), place.path().join(to)).unwrap();
        let sentence = sentence(&folder(&place), component);
        fs::write(place.path().join(to), kept).unwrap();
        sentence
    };
    for (from, to, component, expected) in [
        (
            "base_inpaint.pt",
            "base.pt",
            "decoder",
            "glide/base.pt cannot be used for the base network: it has 7 input channels, as the inpainting base network in \
             base_inpaint.pt has, and 3 belong here",
        ),
        (
            "base.pt",
            "base_inpaint.pt",
            "inpaint_decoder",
            "it has 3 input channels, as the base network in base.pt has, and 7",
        ),
        (
            "upsample.pt",
            "base.pt",
            "decoder",
            "it has 6 input channels, as the upsampler in upsample.pt has, and 3",
        ),
        (
            "upsample.pt",
            "base.pt",
            "decoder_text_encoder",
            "it has 6 input channels, as the upsampler in upsample.pt has",
        ),
        (
            "upsample_inpaint.pt",
            "upsample.pt",
            "upsampler",
            "it has 10 input channels, as the inpainting upsampler in",
        ),
        (
            "clip_text_enc.pt",
            "base.pt",
            "decoder",
            "it has no tensor input_blocks.0.0.weight, only blocks.block_0.f_attn.",
        ),
        (
            "base.pt",
            "clip_text_enc.pt",
            "clip_text_encoder",
            "it has no tensor blocks.input.w_voc, only final_ln.bias, ",
        ),
        (
            "clip_text_enc.pt",
            "clip_image_enc.pt",
            "clip_image_encoder",
            "it has no tensor blocks.input.patch_proj, only",
        ),
        (
            "clip_image_enc.pt",
            "clip_text_enc.pt",
            "clip_text_encoder",
            "it has no tensor blocks.input.w_voc, only",
        ),
    ] {
        let sentence = swap(from, to, component);
        assert!(sentence.contains(expected), "{from}: {sentence}");
        assert!(sentence.len() < 400, "{sentence}");
    }
    let mut tensors = unet_file(&BASE);
    tensors.retain(|(name, _)| name != "input_blocks.0.0.weight");
    tensors.push((
        "input_blocks.0.0.weight".to_owned(),
        Tensor::zeros([32, 5, 3, 3], (Kind::Float, Device::Cpu)),
    ));
    write(place.path(), "base.pt", &tensors);
    let sentence = sentence(&folder(&place), "decoder");
    assert!(sentence.ends_with("it has 5 input channels, and 3 belong here"), "{sentence}");
    fs::remove_file(place.path().join("base.pt")).unwrap();
    let Err(Error::Weights(WeightsError::NoFile { file })) = open(&folder(&place), "decoder")
    else {
        panic!("it is there");
    };
    assert!(file.ends_with("base.pt"));
}

#[test]
fn names_behind_one_prefix_are_read_and_others_named() {
    let prefixed = |prefix: &str, tensors: Tensors| -> Tensors {
        tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
    };
    let place = published();
    let plain = glide::read_network(&folder(&place), "decoder").unwrap().1;
    for prefix in ["module.", "model.", "_orig_mod.", "module._orig_mod."] {
        write(place.path(), "base.pt", &prefixed(prefix, unet_file(&BASE)));
        write(place.path(), "clip_image_enc.pt", &prefixed(prefix, noised_image_file()));
        for component in ["decoder", "decoder_text_encoder", "clip_image_encoder"] {
            open(&folder(&place), component).unwrap();
        }
        let stripped = glide::read_network(&folder(&place), "decoder").unwrap().1;
        assert_eq!(stripped[3].0, plain[3].0);
        assert_eq!(stripped[3].1, plain[3].1);
    }
    let both = [prefixed("model.", unet_file(&BASE)), prefixed("ema.", unet_file(&BASE))]
        .into_iter()
        .flatten()
        .collect();
    write(place.path(), "base.pt", &both);
    assert_eq!(
        sentence(&folder(&place), "decoder"),
        "glide/base.pt cannot be used for the base network: the names of its tensors begin with ema., model.: the tensors of one \
         network must be saved by themselves"
    );
    let some =
        [prefixed("model.", unet_file(&BASE)), vec![("step".to_owned(), Tensor::from(1.0f32))]]
            .into_iter()
            .flatten()
            .collect();
    write(place.path(), "base.pt", &some);
    let expected = "the names of some tensors begin with model., and step does not: the tensors of one network must be saved";
    let sentence = sentence(&folder(&place), "decoder");
    assert!(sentence.contains(expected), "{sentence}");
}

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

#[test]
fn options_are_read_strictly() {
    let place = published();
    let with = |options: &str, component| {
        fs::write(place.path().join("glide.json"), options).unwrap();
        sentence(&folder(&place), component)
    };
    let (unet, text) = ("decoder", "decoder_text_encoder");
    for (options, component, expected) in [
        (
            "{\"bass\": {}}",
            unet,
            "glide/glide.json cannot be read: bass: unknown field `bass`, expected one of `base`, ",
        ),
        (
            "{\"base\": {\"xf_head\": 2}}",
            unet,
            "base.xf_head: unknown field `xf_head`, expected one of `image_size`, ",
        ),
        (
            "{\"base\": {\"xf_heads\": \"2\"}}",
            unet,
            "base.xf_heads: invalid type: string \"2\", expected i64",
        ),
        ("[", unet, "glide/glide.json cannot be read: it is not a JSON object: "),
        (
            "[{\"image_size\": 16}]",
            unet,
            "glide/glide.json cannot be read: it is not a JSON object: ",
        ),
        (
            "{\"base\": 3}",
            unet,
            "glide/glide.json cannot be read: base is 3, and an object is wanted",
        ),
        (
            "{\"upsample\": {\"image_size\": 4096}}",
            unet,
            "upsample.image_size is 4096: it must lie between 1 and 1024",
        ),
        (
            "{\"base\": {\"num_head_channels\": 24}}",
            unet,
            "glide/base.pt cannot be used for the base network: its block_out_channels 64 is not a multiple of its attention",
        ),
        ("{}", text, "how many heads there are, glide.json beside it must say as xf_heads"),
        ("{}", "clip_text_encoder", "glide.json beside it must say as n_head_text"),
        ("{}", "clip_image_encoder", "glide.json beside it must say as n_head_image"),
        (
            "{\"base\": {\"xf_heads\": 0}}",
            text,
            "glide/glide.json cannot be read: base.xf_heads is 0: it must lie between 1 and 4096",
        ),
        (
            "{\"base\": {\"xf_heads\": 5}}",
            text,
            "its hidden_size 24 is not a multiple of its num_attention_heads 5",
        ),
        (
            "{\"base\": {\"num_head_channels\": -8}}",
            unet,
            "base.num_head_channels is -8: it must lie between 1 and 4096",
        ),
        (
            "{\"base\": {\"num_head_channels\": 8, \"image_size\": 15}}",
            unet,
            "its sample_size 15 is not a multiple of",
        ),
        (
            "{\"base\": {\"num_head_channels\": 8, \"image_size\": 9000}}",
            unet,
            "base.image_size is 9000: it must lie between 1 and 256",
        ),
    ] {
        let sentence = with(options, component);
        assert!(sentence.contains(expected), "{options}: {sentence}");
    }
    fs::write(place.path().join("glide.json"), "{}").unwrap();
    let Err(Error::Config { problem: ConfigError::Relation(_), .. }) =
        glide::read_network(&folder(&place), "clip_text_encoder").map(drop)
    else {
        panic!("its heads are known");
    };
}
