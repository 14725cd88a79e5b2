//! Karlo's published names of its tensors, where diffusers' are ours. The U-Nets have guided-diffusion's.

use weights::{Operation, Packing, Rule};

use crate::guided_diffusion::renames;

/// The names of the tensors in the file of statistics, a tuple.
pub(super) const MEAN: &str = "0";
pub(super) const STD: &str = "1";

/// The beginnings of the names of the conditioning's tensors, beside the U-Net's in one file.
pub(super) const CONDITIONING: &[&str] =
    &["clip_emb.", "clip_tok_proj.", "text_feat_proj.", "text_seq_proj.", "cf_param"];

/// The prior's tensors (`xf.py`), with heads of `head_width` channels, and its statistics.
pub(super) fn prior(head_width: i64) -> Vec<Rule> {
    let mut rules = renames(
        "",
        "",
        &[
            ("time_embedding.linear_1.*", "time_embed.0.*"),
            ("time_embedding.linear_2.*", "time_embed.2.*"),
            ("proj_in.*", "clip_img_proj.*"),
            ("embedding_proj.*", "text_emb_proj.*"),
            ("encoder_hidden_states_proj.*", "text_enc_proj.*"),
            ("prd_embedding", "prd_emb"),
            ("norm_out.*", "final_ln.*"),
            ("proj_to_clip_embeddings.*", "out_proj.*"),
        ],
    );
    let (ours, theirs) = ("transformer_blocks.*.", "transformer.resblocks.*.");
    let heads = ["q", "k", "v"].map(|leaf| format!("{ours}attn1.to_{leaf}.*"));
    let packing = Packing::PerHead { head_width };
    rules.extend(Rule::unpack(&heads, &format!("{theirs}attn.c_qkv.*"), packing));
    rules.extend(renames(
        ours,
        theirs,
        &[
            ("attn1.to_out.0.*", "attn.c_proj.*"),
            ("norm1.*", "ln_1.*"),
            ("norm3.*", "ln_2.*"),
            ("ff.net.0.proj.*", "mlp.c_fc.*"),
            ("ff.net.2.*", "mlp.c_proj.*"),
        ],
    ));
    for (ours, theirs) in [("clip_mean", MEAN), ("clip_std", STD)] {
        rules.push(Rule::rename(ours, theirs).then(Operation::Unsqueeze));
    }
    rules
}

/// The tensors of the decoder's conditioning (`unet.py`), beside those of its U-Net. The image embedding's tokens are the fast
/// axis of their projection in both layouts.
pub(super) fn conditioning() -> Vec<Rule> {
    renames(
        "",
        "",
        &[
            ("learned_classifier_free_guidance_embeddings", "cf_param"),
            ("embedding_proj.*", "text_feat_proj.*"),
            ("clip_image_embeddings_project_to_time_embeddings.*", "clip_emb.*"),
            ("clip_extra_context_tokens_proj.*", "clip_tok_proj.*"),
            ("encoder_hidden_states_proj.*", "text_seq_proj.0.*"),
            ("text_encoder_hidden_states_norm.*", "text_seq_proj.1.*"),
        ],
    )
}
