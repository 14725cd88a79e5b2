//! A compact GLIDE: its base learns to draw and then to paint, its noised CLIP beside it, and what either begins with.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use decoder::{Conditions, UNet};
use families::{Shapes, compact_glide, glide, summarize_model};
use noise::Generator;
use pipeline::{Request, Silent};
use scenes::SceneDataset;
use tch::{Device, Kind, Tensor, no_grad};
use training::{
    CaptionedImages, Data, Recipe, SampleGenerators, SampleRequest, SyntheticDataset, Trainer,
};
use weights::Folder;

use super::{checkpoint, trainer};
use crate::compact_glide::open_at;
use crate::diffusion::normal;
use crate::inpainting::{assert_known, inpainting};
use crate::pipeline::{contents, model};

/// The models of the base's two trainings.
const BASE: [&str; 2] = ["glide", "glide_inpainting"];
const UNET: &str = "decoder/diffusion_pytorch_model.safetensors";
const TEXT_TRANSFORMER: &str = "decoder_text_encoder/model.safetensors";

/// The base's two trainings, in their order.
fn train_base(trainer: &Trainer) {
    trainer.train_glide(&mut ()).unwrap();
    trainer.train_glide_inpainting(&mut ()).unwrap();
}

/// The contents of a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The weights of the convolution of the base's input: `[C, 3 or 7, 3, 3]`.
fn input_weights(model: &Path) -> Tensor {
    let tensors = Tensor::read_safetensors(model.join(UNET)).unwrap();
    let found = tensors.into_iter().find(|(name, _)| name == "conv_in.weight");
    found.unwrap().1.to_kind(Kind::Float)
}

/// The largest absolute value.
fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

#[test]
fn trainings_that_stop_and_go_on_are_those_that_never_stopped() {
    tch::set_num_threads(1);
    for kind in [Kind::Float, Kind::BFloat16] {
        let place = tempfile::tempdir().unwrap();
        let run = |runs: &str, stop_at| trainer(place.path(), runs, kind, stop_at);
        let model = place.path().join("model");
        run("halves", None).train_tokenizer().unwrap();
        // Half a base is not taught to paint.
        train_base(&run("halves", Some(2)));
        assert!(!place.path().join("halves/glide_inpainting").exists());
        assert_eq!(input_weights(&model).size()[1], 3);
        run("halves", None).train_glide(&mut ()).unwrap();
        train_base(&run("halves", Some(2)));
        run("halves", Some(2)).train_noised_clip(&mut ()).unwrap();
        let stopped = BASE.map(|name| checkpoint(place.path(), "halves", name));

        let all = |runs| {
            train_base(&run(runs, None));
            run(runs, None).train_noised_clip(&mut ()).unwrap();
            contents(&model)
        };
        let halves = all("halves");
        assert!(all("halves") == halves, "a training that is repeated changes nothing");
        assert!(all("whole") == halves, "in {kind:?} the models differ after a resume");
        for name in ["glide", "glide_inpainting", "noised_clip"] {
            let [halves, whole] =
                ["halves", "whole"].map(|runs| checkpoint(place.path(), runs, name));
            assert!(halves == whole, "{name} in {kind:?} differs after a resume");
        }
        let whole = BASE.map(|name| checkpoint(place.path(), "whole", name));
        assert!(stopped[0] == whole[0], "a base of all steps is not trained");
        assert!(stopped[1] != whole[1], "the second half trains nothing");
    }
}

#[test]
fn an_unclip_brings_its_upsampler_and_the_base_draws_and_paints() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    let unclip = model("karlo");
    let mut trainer = trainer(place.path(), "runs", Kind::Float, None);
    (trainer.init, trainer.samples_every) = (Some(Folder::open(unclip.clone()).unwrap()), 4);
    trainer.complete_from_init(&BASE).unwrap();
    let parts = ["tokenizer", "upsampler", "upsampler_scheduler"];
    assert_eq!(names(&trainer.model), parts);
    for (ours, theirs) in
        parts.into_iter().zip(["tokenizer", "super_res_first", "super_res_scheduler"])
    {
        assert!(contents(&trainer.model.join(ours)) == contents(&unclip.join(theirs)), "{ours}");
    }

    train_base(&trainer);
    for training in BASE {
        let samples = place.path().join("runs").join(training).join("samples");
        assert_eq!(names(&samples).len(), 1, "{training} is shown at its end");
    }
    let folder = Folder::open(&trainer.model).unwrap();
    let summary = summarize_model(&folder).unwrap();
    assert_eq!((summary.family, summary.problems), (Some("compact GLIDE"), Vec::new()));
    let able = |trainer: &Trainer| {
        let summary = summarize_model(&Folder::open(&trainer.model).unwrap()).unwrap();
        let whole = summary.abilities.into_iter().filter(|ability| ability.missing.is_empty());
        whole.map(|ability| ability.ability.to_string()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(able(&trainer), "generate, inpaint");
    trainer.train_noised_clip(&mut ()).unwrap();
    assert_eq!(able(&trainer), "generate, CLIP guidance, inpaint");
    let index = fs::read(trainer.model.join("model_index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["_class_name"], "CompactGlidePipeline");
    let defaults = serde_json::json!({"decoder_steps": 4, "upsampler_steps": 3, "decoder_guidance_scale": 2.0});
    assert_eq!(index["unclip_defaults"], defaults);

    let pipeline = open_at(&trainer.model);
    let request = || Request::new("a red house", 1, pipeline.defaults().unwrap());
    let sample = |request| pipeline.sample(&[request], &mut Silent).unwrap().remove(0);
    assert_eq!(sample(request()).dimensions(), (32, 32));
    let picture = sample(request().with_inpainting(inpainting(32, 8, 0)));
    assert_known(&picture, 8, 0, "a base that was trained to paint");
}

#[test]
fn what_is_known_counts_for_nothing_before_the_first_step_of_inpainting() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    let mut trainer = trainer(place.path(), "runs", Kind::Float, None);
    trainer.train_tokenizer().unwrap();
    trainer.train_glide(&mut ()).unwrap();
    let model = trainer.model.clone();
    let open = || -> UNet {
        let folder = Folder::open(&model).unwrap().component("decoder");
        glide::open_unet(&folder, "decoder", Device::Cpu, Kind::Float).unwrap()
    };
    let (drawing, weights) = (open(), input_weights(&model));
    trainer.recipe.glide.as_mut().unwrap().inpainting.run.steps = 0;
    trainer.train_glide_inpainting(&mut ()).unwrap();
    let painting = open();
    assert_eq!((drawing.config().in_channels, painting.config().in_channels), (3, 7));
    let widened = input_weights(&model);
    assert!(widened.narrow(1, 0, 3) == weights, "the image's own weights stay");
    assert_eq!(largest(&widened.narrow(1, 3, 4)), 0.0);

    let generator = &mut Generator::new(3);
    let image = normal(generator, &[2, 3, 8, 8]);
    let conditions = Conditions {
        added: normal(generator, &[2, 32]),
        context: normal(generator, &[2, 32, 16]),
        mask: None,
    };
    let timesteps = Tensor::from_slice(&[20i64, 700]);
    let forward = |unet: &UNet, further: Tensor| {
        let x = Tensor::cat(&[&image, &further], 1);
        no_grad(|| unet.forward(&x, &timesteps, Some(&conditions)))
    };
    let zeros = |channels| Tensor::zeros([2, channels, 8, 8], (Kind::Float, Device::Cpu));
    let plain = forward(&drawing, zeros(0));
    let of_nothing = forward(&painting, zeros(4));
    let of_anything = forward(&painting, normal(generator, &[2, 4, 8, 8]) * 9.0);
    assert!(of_nothing == of_anything);
    // Sums of more channels may be rounded in another order.
    let (apart, scale) = (largest(&(&of_nothing - &plain)), largest(&plain));
    assert!(scale > 0.0 && apart <= 1e-5 * scale, "{apart} of {scale}");

    trainer.recipe.glide.as_mut().unwrap().inpainting.run.steps = 4;
    train_base(&trainer);
    assert!(largest(&input_weights(&model).narrow(1, 3, 4)) > 0.0, "they are trained");
}

#[test]
fn a_compact_glide_is_trained_on_in_its_shapes_and_goes_on_painting() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    let tiny = Recipe::preset_text("tiny").unwrap();
    let mut first = trainer(place.path(), "first", Kind::Float, None);
    let wider = [
        "glide.unet.block_out_channels=[8, 24]",
        "glide.unet.sample_size=16",
        "noised_clip.image.image_size=16",
    ];
    first.recipe = Recipe::read(tiny, &Shapes::default(), &wider).unwrap();
    first.train_tokenizer().unwrap();
    train_base(&first);

    let shapes = Shapes::read(&Folder::open(&first.model).unwrap(), &compact_glide()).unwrap();
    let mut second = trainer(place.path(), "second", Kind::Float, Some(0));
    let exact = ["glide.run.optimizer.weight_decay=0.0"];
    second.recipe = Recipe::read(tiny, &shapes, &exact).unwrap();
    let unet = &second.recipe.glide().unwrap().unet;
    assert_eq!((unet.in_channels, &unet.block_out_channels[..]), (7, &[8, 24][..]));
    let image = &second.recipe.noised_clip().unwrap().image;
    assert_eq!(image.image_size, 16, "a new noised CLIP fits its base");
    (second.init, second.model) =
        (Some(Folder::open(first.model.clone()).unwrap()), place.path().join("mine"));
    second.complete_from_init(&BASE).unwrap();
    assert_eq!(names(&second.model), ["model_index.json", "tokenizer"]);
    second.train_glide(&mut ()).unwrap();
    for file in [UNET, TEXT_TRANSFORMER] {
        let [theirs, ours] = [&first, &second].map(|t| fs::read(t.model.join(file)).unwrap());
        assert!(ours == theirs, "{file}: no step was taken, so the weights are the first's");
    }

    // Captions alone train nothing of how it paints; inpainting does.
    let model = second.model.clone();
    let channels = |first, count| input_weights(&model).narrow(1, first, count);
    let (of_image, of_known) = (channels(0, 3), channels(3, 4));
    assert!(largest(&of_known) > 0.0);
    second.stop_at = None;
    second.train_glide(&mut ()).unwrap();
    assert!(channels(0, 3) != of_image && channels(3, 4) == of_known);
    second.train_glide_inpainting(&mut ()).unwrap();
    assert!(channels(3, 4) != of_known);
    second.train_noised_clip(&mut ()).unwrap();
}

/// The scenes, all with one caption.
struct OneCaption(&'static str);

impl SyntheticDataset for OneCaption {
    fn name(&self) -> &'static str {
        "one caption"
    }

    fn captions(&self, count: usize) -> Vec<String> {
        vec![self.0.to_owned(); count]
    }

    fn draw(&self, first: u64, count: usize, size: u32, hard_negatives: bool) -> CaptionedImages {
        let images = SceneDataset.draw(first, count, size, hard_negatives);
        CaptionedImages { captions: self.captions(count), ..images }
    }

    fn false_negatives(&self, _: u64, _: usize, _: bool) -> Box<dyn Fn(usize, usize) -> bool> {
        Box::new(|i, j| i != j)
    }
}

#[test]
fn captions_that_are_dropped_teach_nothing() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    trainer(place.path(), "runs", Kind::Float, None).train_tokenizer().unwrap();
    let tensors = |rate: f64, caption: &'static str| {
        let runs = format!("{rate} {caption}");
        let mut trainer = trainer(place.path(), &runs, Kind::Float, None);
        trainer.data = Data::Synthetic(Arc::new(OneCaption(caption)));
        trainer.recipe.glide.as_mut().unwrap().drop_caption = rate;
        train_base(&trainer);
        BASE.map(|name| checkpoint(place.path(), &runs, name).0)
    };
    let [one, other] = ["a red cat", "a blue boat"];
    assert!(tensors(1.0, one) == tensors(1.0, other));
    let ([drawn, painted], [of_other, painted_of_other]) = (tensors(0.0, one), tensors(0.0, other));
    assert!(drawn != of_other && painted != painted_of_other);

    for preset in ["tiny", "small", "paper"] {
        // 2112.10741, section 3.1.
        assert_eq!(Recipe::preset(preset).unwrap().glide().unwrap().drop_caption, 0.2, "{preset}");
    }
    let request = SampleRequest { subset: 0, seed: 5, size: 0, hard_negatives: false, noise: 0 };
    let dropped = SampleGenerators::new(request, 0, 20_000).dropout_mask(0.2).to_kind(Kind::Float);
    let share = dropped.mean(Kind::Float).double_value(&[]);
    assert!((share - 0.2).abs() < 0.015, "{share}"); // five standard deviations
}

#[test]
fn a_folder_of_one_family_holds_no_part_of_another() {
    let place = tempfile::tempdir().unwrap();
    let mut trainer = trainer(place.path(), "runs", Kind::Float, None);
    trainer.model = model("karlo");
    for parts in [&BASE[..], &["noised_clip"]] {
        let refused = trainer.complete_from_init(parts).unwrap_err().to_string();
        for word in ["Karlo", "compact GLIDE", parts[0]] {
            assert!(refused.contains(word), "{word:?} is not in: {refused}");
        }
    }
    trainer.model = place.path().join("glide");
    fs::create_dir(&trainer.model).unwrap();
    crate::compact_glide::write_compact_glide(&trainer.model, true);
    let refused = trainer.complete_from_init(&["decoder"]).unwrap_err().to_string();
    assert!(
        refused.contains("is a part of Karlo") && refused.contains("compact GLIDE"),
        "{refused}"
    );
    trainer.complete_from_init(&["tokenizer"]).unwrap();
    for parts in [&BASE[..], &["noised_clip"]] {
        trainer.complete_from_init(parts).unwrap();
    }
}
