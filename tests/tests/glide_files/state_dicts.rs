//! State dicts of the published files' layouts, of tiny networks with random tensors.

use noise::Generator;
use tch::{Kind, Tensor};

/// Tensors by their names.
pub(super) type Tensors = Vec<(String, Tensor)>;

/// The options of the reference's constructors.
pub(super) struct UNetOptions {
    pub(super) channels: i64,
    pub(super) mult: &'static [i64],
    pub(super) blocks: i64,
    /// Which levels attend.
    pub(super) attends: &'static [bool],
    pub(super) in_channels: i64,
    pub(super) text_width: i64,
    pub(super) text_layers: i64,
}

pub(super) const BASE: UNetOptions = UNetOptions {
    channels: 32,
    mult: &[1, 2],
    blocks: 2,
    attends: &[false, true],
    in_channels: 3,
    text_width: 24,
    text_layers: 2,
};

pub(super) const UPSAMPLE: UNetOptions = UNetOptions {
    channels: 32,
    mult: &[1, 1, 2],
    blocks: 1,
    attends: &[false, false, true],
    in_channels: 6,
    text_width: 16,
    text_layers: 1,
};

/// The options that no tensor has.
pub(super) const OPTIONS: &str = r#"{
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
pub(super) fn unet_file(options: &UNetOptions) -> Tensors {
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

pub(super) fn noised_text_file() -> Tensors {
    let mut file = StateDict(Vec::new(), 0);
    file.add("blocks.input.w_voc", &[30, 12]);
    file.add("blocks.input.w_pos", &[7, 12]);
    noised_blocks(&mut file, 12, 2);
    file.0
}

pub(super) fn noised_image_file() -> Tensors {
    let mut file = StateDict(Vec::new(), 0);
    file.add("blocks.input.w_t", &[11, 8]);
    file.add("blocks.input.patch_proj", &[8, 3, 4, 4]);
    file.add("blocks.input.w_pos", &[10, 8]);
    file.add("blocks.input.ln.g", &[8]);
    file.add("blocks.input.ln.b", &[8]);
    noised_blocks(&mut file, 8, 1);
    file.0
}
