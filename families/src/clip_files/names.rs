//! CLIP in OpenAI's layout: its names of the tensors, where transformers' are ours.

use weights::{Operation, Packing, Rule};

/// The tensors of OpenAI's vision transformers and their text towers (openai/CLIP, `model.py`) by our names.
///
/// Queries, keys and values are packed, as torch's `MultiheadAttention` has them, and both projections stand on the right
/// of their products.
pub fn openai_clip() -> Vec<Rule> {
    let transpose = Operation::Transpose;
    let mut rules = vec![
        Rule::rename("text_model.embeddings.token_embedding.*", "token_embedding.*"),
        Rule::rename("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        Rule::rename("text_model.final_layer_norm.*", "ln_final.*"),
        Rule::rename("text_projection.weight", "text_projection").then(transpose),
        Rule::rename("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        Rule::rename("vision_model.embeddings.patch_embedding.*", "visual.conv1.*"),
        Rule::rename(
            "vision_model.embeddings.position_embedding.weight",
            "visual.positional_embedding",
        ),
        Rule::rename("vision_model.pre_layrnorm.*", "visual.ln_pre.*"),
        Rule::rename("vision_model.post_layernorm.*", "visual.ln_post.*"),
        Rule::rename("visual_projection.weight", "visual.proj").then(transpose),
    ];
    for (tower, transformer) in
        [("text_model", "transformer"), ("vision_model", "visual.transformer")]
    {
        let ours = |leaf: &str| format!("{tower}.encoder.layers.*.{leaf}.*");
        let theirs = |leaf: &str| format!("{transformer}.resblocks.*.{leaf}");
        let heads = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(ours);
        rules.extend(Rule::unpack(&heads, &theirs("attn.in_proj_*"), Packing::Stacked));
        for (ours_leaf, theirs_leaf) in [
            ("self_attn.out_proj", "attn.out_proj.*"),
            ("layer_norm1", "ln_1.*"),
            ("layer_norm2", "ln_2.*"),
            ("mlp.fc1", "mlp.c_fc.*"),
            ("mlp.fc2", "mlp.c_proj.*"),
        ] {
            rules.push(Rule::rename(ours(ours_leaf), theirs(theirs_leaf)));
        }
    }
    rules
}
