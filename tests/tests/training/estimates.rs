//! Estimates of a dry run, against PyTorch's own counts.

use families::Shapes;
use tch::{Device, Kind};
use training::{Estimate, Recipe, estimate};

/// As `torch.utils.flop_counter` counts one forward pass of transformers' and diffusers' classes made with a preset's
/// shapes: the text encoder, the image encoder, the prior, the decoder, the upsampler on a crop.
const TINY: [f64; 5] = [197_120.0, 47_168.0, 323_072.0, 2_768_384.0, 4_484_608.0];
const KARLO: [f64; 5] =
    [13_299_683_328.0, 162_025_537_536.0, 164_417_929_216.0, 608_293_519_360.0, 531_160_432_640.0];

fn estimated(preset: &str, changes: &[&str]) -> [Estimate; 4] {
    let recipe =
        Recipe::read(Recipe::preset_text(preset).unwrap(), &Shapes::default(), changes).unwrap();
    let estimates = estimate(&recipe, Kind::Float, Device::Cpu);
    let [clip, prior, _, decoder, upsampler] = estimates[..5].try_into().unwrap();
    [clip, prior, decoder, upsampler]
}

#[test]
fn parameters_are_those_of_the_published_classes() {
    let parameters = |preset| estimated(preset, &[]).map(|model| model.parameters);
    // As counted in the same classes, without the prior's mean and deviation; CLIP has a temperature beside.
    // The tokenizers hold 514 tokens and their merges: 614 and 49,408.
    assert_eq!(parameters("tiny"), [18_561, 5_536, 58_166, 19_571]);
    assert_eq!(parameters("karlo"), [427_616_513, 1_022_028_544, 893_318_086, 691_579_523]);
    // Table 3 of 2204.06125: 1B, 3.5B of which 1.2B are a text encoder that this layout does without, 700M.
    let [_, prior, decoder, upsampler] = parameters("paper").map(|count| count as f64 / 1e9);
    assert!((1.0..1.4).contains(&prior), "{prior}");
    assert!((2.0..2.5).contains(&decoder), "{decoder}");
    assert!((0.65..0.75).contains(&upsampler), "{upsampler}");
}

/// As the published code counts them in GLIDE (filtered), the base and the one that inpaints, without the table of its tokens:
/// `create_model_and_diffusion` of glide_text2im, with `inpaint` false and true.
const GLIDE: [i64; 2] = [359_299_142, 359_306_054];
/// As `torch.utils.flop_counter` counts a forward pass of either.
const GLIDE_FLOPS: [f64; 2] = [238_289_911_808.0, 238_346_534_912.0];
/// As counted in its `TextEncoder`, without the table of its tokens, and its `ImageEncoder`, with the sizes of its config.yaml.
const NOISED_CLIP: [i64; 2] = [38_125_056, 86_443_776];

#[test]
fn the_paper_preset_is_glide_filtered_and_its_noised_clip() {
    let recipe = Recipe::preset("paper").unwrap();
    let estimates = estimate(&recipe, Kind::Float, Device::Cpu);
    let [base, inpainting, clip] = estimates[5..].try_into().unwrap();
    // The tokens are our tokenizer's; both texts are 512 wide.
    let tokens = 512 * (514 + recipe.tokenizer.merges as i64);
    let runs = [&recipe.glide().unwrap().run, &recipe.glide().unwrap().inpainting.run];
    for (n, estimate) in [base, inpainting].into_iter().enumerate() {
        assert_eq!(estimate.model, ["glide", "glide_inpainting"][n]);
        assert_eq!(estimate.parameters, GLIDE[n] + tokens);
        // Its blocks are computed a second time.
        assert_eq!(estimate.flops, 4.0 * GLIDE_FLOPS[n] * runs[n].batch as f64);
        assert_eq!((estimate.steps, estimate.frozen), (runs[n].steps, 0));
    }
    // The temperature is trained too.
    assert_eq!(clip.model, "noised_clip");
    assert_eq!(clip.parameters, NOISED_CLIP.iter().sum::<i64>() + tokens + 1);
}

#[test]
fn operations_are_those_that_pytorch_counts() {
    for (preset, counted) in [("tiny", TINY), ("karlo", KARLO)] {
        let [text, image, prior, decoder, upsampler] = counted;
        let recipe = Recipe::preset(preset).unwrap();
        let model = &recipe.prior.model;
        let (tokens, width) = ((model.context_length + 4) as f64, model.width() as f64);
        // The published prior computes every row of its last block.
        let unread = (tokens - 1.0) * (20.0 * width * width + 4.0 * tokens * width);
        let conditioning = &recipe.decoder.conditioning;
        let [embedding, text_width, time, context] = [
            conditioning.embedding,
            conditioning.text_width,
            conditioning.time_width,
            conditioning.context_width,
        ]
        .map(|width| width as f64);
        let tokens = recipe.clip.text.context_length as f64;
        let conditions = 4.0 * embedding * time
            + 8.0 * embedding * context
            + 2.0 * tokens * text_width * context;
        // Karlo's preset computes the U-Nets' blocks a second time.
        let passes = if recipe.decoder.gradient_checkpointing { 4.0 } else { 3.0 };
        let expected = [
            3.0 * (text + image),
            3.0 * (prior - unread) + text + image,
            passes * (decoder + conditions) + text + image,
            passes * upsampler,
        ];
        let runs =
            [&recipe.clip.run, &recipe.prior.run, &recipe.decoder.run, &recipe.upsampler.run];
        let models = estimated(preset, &[]);
        for ((model, expected), run) in models.iter().zip(expected).zip(runs) {
            let expected = expected * run.batch as f64;
            assert!(
                (model.flops / expected - 1.0).abs() < 1e-9,
                "{preset}: {} instead of {expected}",
                model.flops
            );
        }
    }
}

#[test]
fn parts_and_checkpointing_save_memory_and_cost_work() {
    let [clip, _, decoder, _] = estimated("small", &[]);
    let changes = [
        "clip.run.accumulate=4",
        "decoder.gradient_checkpointing=true",
        "decoder.run.accumulate=2",
    ];
    let [in_parts, _, checkpointed, _] = estimated("small", &changes);
    assert_eq!(in_parts.activations, clip.activations / 4.0);
    assert_eq!(in_parts.flops, clip.flops * 4.0 / 3.0);
    assert_eq!(in_parts.weights, clip.weights);
    assert!(checkpointed.activations < decoder.activations / 4.0);
    assert!(checkpointed.flops > 1.25 * decoder.flops && checkpointed.flops < 1.34 * decoder.flops);
}
