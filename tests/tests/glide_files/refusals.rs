//! Refusals of files that are not as published, in one sentence each.

use super::*;

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
            "its tensor positional_embedding is [240], and must have 2 dimensions",
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
