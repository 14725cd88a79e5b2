//! The published names of GLIDE's tensors, where diffusers' and transformers' are ours.

use decoder::UNetConfig;
use weights::{Operation, Packing, Rule};

/// The beginnings of the names of the U-Net's tensors, and of the text transformer's beside them in one file.
pub(crate) const UNET: &[&str] =
    &["time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out."];
pub(crate) const TEXT_TRANSFORMER: &[&str] = &[
    "token_embedding.",
    "positional_embedding",
    "padding_embedding",
    "transformer.",
    "final_ln.",
    "transformer_proj.",
];

/// Tensors that differ in their names alone, by pairs of ours and theirs, below a module.
fn renames(ours: &str, theirs: &str, pairs: &[(&str, &str)]) -> Vec<Rule> {
    let rule = |(our, their): &(&str, &str)| {
        Rule::rename(format!("{ours}{our}"), format!("{theirs}{their}"))
    };
    pairs.iter().map(rule).collect()
}

/// Linear maps of ours whose weights and biases are packed head by head in one of theirs.
fn unpack(ours: &[String], theirs: &str, head_width: i64, squeeze: bool) -> Vec<Rule> {
    let packing = Packing::PerHead { head_width };
    let names = |leaf: &str| -> Vec<String> {
        ours.iter().map(|module| format!("{module}.{leaf}")).collect()
    };
    let weights = Rule::unpack(&names("weight"), &format!("{theirs}.weight"), packing);
    let weights = weights.into_iter().map(|rule| match squeeze {
        true => rule.then(Operation::Squeeze),
        false => rule,
    });
    weights.chain(Rule::unpack(&names("bias"), &format!("{theirs}.bias"), packing)).collect()
}

/// The text transformer's tensors (`xf.py` and `text2im_model.py`), with heads of `head_width` channels.
pub(crate) fn text_transformer(head_width: i64) -> Vec<Rule> {
    let mut rules = renames(
        "",
        "",
        &[
            ("position_embedding.weight", "positional_embedding"),
            ("padding_embedding.weight", "padding_embedding"),
            ("final_layer_norm.*", "final_ln.*"),
            ("time_projection.*", "transformer_proj.*"),
        ],
    );
    let (ours, theirs) = ("encoder.layers.*.", "transformer.resblocks.*.");
    let heads = ["q", "k", "v"].map(|leaf| format!("{ours}self_attn.{leaf}_proj"));
    rules.extend(unpack(&heads, &format!("{theirs}attn.c_qkv"), head_width, false));
    rules.extend(renames(
        ours,
        theirs,
        &[
            ("self_attn.out_proj.*", "attn.c_proj.*"),
            ("layer_norm1.*", "ln_1.*"),
            ("layer_norm2.*", "ln_2.*"),
            ("mlp.fc1.*", "mlp.c_fc.*"),
            ("mlp.fc2.*", "mlp.c_proj.*"),
        ],
    ));
    rules
}

/// The U-Net's tensors (guided-diffusion's `unet.py`, with the text's keys and values). Blocks are counted through all
/// levels there, so the rules are those of one shape.
pub(crate) fn unet(config: &UNetConfig) -> Vec<Rule> {
    let mut rules = renames(
        "",
        "",
        &[
            ("time_embedding.linear_1.*", "time_embed.0.*"),
            ("time_embedding.linear_2.*", "time_embed.2.*"),
            ("conv_in.*", "input_blocks.0.0.*"),
            ("conv_norm_out.*", "out.0.*"),
            ("conv_out.*", "out.2.*"),
        ],
    );
    let head_width = config.attention.as_ref().map_or(1, |attention| attention.head_width);
    let layer = |level: &str, n: i64, block: &str| {
        let mut rules = resnet(&format!("{level}.resnets.{n}"), &format!("{block}.0"));
        let attention = format!("{level}.attentions.{n}");
        rules.extend(self::attention(&attention, &format!("{block}.1"), head_width));
        rules
    };
    let (levels, layers) = (config.block_out_channels.len(), config.layers_per_block);
    let mut block = 0;
    let mut next = || {
        block += 1;
        format!("input_blocks.{block}")
    };
    for level in 0..levels {
        let name = format!("down_blocks.{level}");
        for n in 0..layers {
            rules.extend(layer(&name, n, &next()));
        }
        if level + 1 < levels {
            rules.extend(resnet(&format!("{name}.downsamplers.0"), &format!("{}.0", next())));
        }
    }
    rules.extend(layer("mid_block", 0, "middle_block"));
    rules.extend(resnet("mid_block.resnets.1", "middle_block.2"));
    for level in (0..levels).rev() {
        let up = (levels - 1 - level) as i64;
        let name = format!("up_blocks.{up}");
        let block = |n| format!("output_blocks.{}", up * (layers + 1) + n);
        for n in 0..=layers {
            rules.extend(layer(&name, n, &block(n)));
        }
        // The last block of a level ends with the upsampler, behind its attention where it has one.
        let place = if config.attention_at(level).is_some() { 2 } else { 1 };
        let theirs = format!("{}.{place}", block(layers));
        rules.extend(resnet(&format!("{name}.upsamplers.0"), &theirs));
    }
    rules
}

fn resnet(ours: &str, theirs: &str) -> Vec<Rule> {
    renames(
        &format!("{ours}."),
        &format!("{theirs}."),
        &[
            ("norm1.*", "in_layers.0.*"),
            ("conv1.*", "in_layers.2.*"),
            ("time_emb_proj.*", "emb_layers.1.*"),
            ("norm2.*", "out_layers.0.*"),
            ("conv2.*", "out_layers.3.*"),
            ("conv_shortcut.*", "skip_connection.*"),
        ],
    )
}

/// An attention's tensors; its linear maps are convolutions over single positions there.
fn attention(ours: &str, theirs: &str, head_width: i64) -> Vec<Rule> {
    let modules = |leaves: &[&str]| -> Vec<String> {
        leaves.iter().map(|leaf| format!("{ours}.{leaf}")).collect()
    };
    let pixels = modules(&["to_q", "to_k", "to_v"]);
    let context = modules(&["add_k_proj", "add_v_proj"]);
    let mut rules = unpack(&pixels, &format!("{theirs}.qkv"), head_width, true);
    rules.extend(unpack(&context, &format!("{theirs}.encoder_kv"), head_width, true));
    rules.extend([
        Rule::rename(format!("{ours}.group_norm.*"), format!("{theirs}.norm.*")),
        Rule::rename(format!("{ours}.to_out.0.weight"), format!("{theirs}.proj_out.weight"))
            .then(Operation::Squeeze),
        Rule::rename(format!("{ours}.to_out.0.bias"), format!("{theirs}.proj_out.bias")),
    ]);
    rules
}

/// The tensors of the text encoder that CLIP guidance compares noised images with (`clip/encoders.py`).
pub(crate) fn noised_text_encoder() -> Vec<Rule> {
    let mut rules = noised_transformer("text_model");
    rules.extend(renames(
        "text_model.",
        "blocks.",
        &[
            ("embeddings.token_embedding.weight", "input.w_voc"),
            ("embeddings.position_embedding.weight", "input.w_pos"),
            ("final_layer_norm.weight", "output.ln.g"),
            ("final_layer_norm.bias", "output.ln.b"),
        ],
    ));
    rules.push(Rule::rename("text_projection.weight", "blocks.output.f.w"));
    rules
}

/// The tensors of the image encoder that knows the timestep of its images.
pub(crate) fn noised_image_encoder() -> Vec<Rule> {
    let mut rules = noised_transformer("vision_model");
    rules.extend(renames(
        "vision_model.",
        "blocks.",
        &[
            ("embeddings.patch_embedding.weight", "input.patch_proj"),
            ("embeddings.position_embedding.weight", "input.w_pos"),
            ("embeddings.timestep_embedding.weight", "input.w_t"),
            ("pre_layer_norm.weight", "input.ln.g"),
            ("pre_layer_norm.bias", "input.ln.b"),
            ("post_layernorm.weight", "output.ln.g"),
            ("post_layernorm.bias", "output.ln.b"),
        ],
    ));
    rules.push(Rule::rename("visual_projection.weight", "blocks.output.f.w"));
    rules
}

fn noised_transformer(tower: &str) -> Vec<Rule> {
    let leaves = |(ours, theirs): (&str, &str), names: [&str; 2]| {
        let names = ["weight", "bias"].into_iter().zip(names);
        let rule = |(our, their)| {
            let ours = format!("{tower}.encoder.layers.*.{ours}.{our}");
            Rule::rename(ours, format!("blocks.block_*.{theirs}.{their}"))
        };
        names.map(rule).collect::<Vec<_>>()
    };
    let norms = [("layer_norm1", "f_attn.ln"), ("layer_norm2", "f_mlp.ln")];
    let maps = [
        ("self_attn.q_proj", "f_attn.f_q"),
        ("self_attn.k_proj", "f_attn.f_k"),
        ("self_attn.v_proj", "f_attn.f_v"),
        ("self_attn.out_proj", "f_attn.f_c"),
        ("mlp.fc1", "f_mlp.f_1"),
        ("mlp.fc2", "f_mlp.f_2"),
    ];
    let norms = norms.into_iter().flat_map(|names| leaves(names, ["g", "b"]));
    norms.chain(maps.into_iter().flat_map(|names| leaves(names, ["w", "b"]))).collect()
}
