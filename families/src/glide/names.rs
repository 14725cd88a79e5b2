//! The published names of GLIDE's tensors, where diffusers' and transformers' are ours.

use weights::Rule;

use crate::guided_diffusion::{renames, unpack};

/// The beginnings of the names of the text transformer's tensors, beside the U-Net's in one file.
pub(crate) const TEXT_TRANSFORMER: &[&str] = &[
    "token_embedding.",
    "positional_embedding",
    "padding_embedding",
    "transformer.",
    "final_ln.",
    "transformer_proj.",
];

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
