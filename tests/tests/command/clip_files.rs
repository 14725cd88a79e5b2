//! CLIP in its publishers' files, as the model of `classify`, `search`, `embed` and `info`, and as an image encoder.

use std::fs;
use std::path::{Path, PathBuf};

use ::pipeline::Pipeline;
use ::pipeline::zero_shot::{normalised, probabilities};
use families::ModelFolders;
use serde_json::json;
use tch::{Device, Kind};

use super::Workplace;
use crate::pipeline::copy_folder;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

impl Workplace {
    /// With pictures, and with OpenAI's archives, open_clip's folders and transformers' folder.
    fn with_clips() -> Self {
        let place = Self::with_pictures();
        for name in ["openai", "open_clip", "open_clip_text"] {
            copy_folder(&golden(&format!("clip_files/{name}")), &place.path(name));
        }
        copy_folder(&golden("zero_shot/model"), &place.path("transformers"));
        place
    }
}

/// The models, with the widths of their embeddings.
const CLIPS: [(&str, i64); 6] = [
    ("openai/vit.pt", 12),
    ("openai/resnet.pt", 12),
    ("open_clip", 10),
    ("open_clip_text", 14),
    ("open_clip_text/open_clip_pytorch_model.bin", 14),
    ("transformers", 12),
];

#[test]
fn every_clip_classifies_searches_and_embeds() {
    let place = Workplace::with_clips();
    fs::create_dir(place.path("pictures")).unwrap();
    for name in ["one.png", "two.png"] {
        fs::copy(place.path(name), place.path("pictures").join(name)).unwrap();
    }
    for (clip, width) in CLIPS {
        let model = format!("--model={clip}");
        let classify = ["classify", "one.png", "--labels=red house,boat", "--template={}", &model];
        let ran = place.run(&classify).succeeds();
        assert_eq!(ran.stderr, "", "the model says its logit scale");
        let folders = ModelFolders::new(families::locate(&place.path(clip)).unwrap());
        let pipeline = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
        let picture = image::open(place.path("one.png")).unwrap().to_rgb8();
        let picture = normalised(&pipeline.encode_images(&[picture]).unwrap());
        let labels = ["red house", "boat"];
        let classes = normalised(&pipeline.encode_text(&labels).unwrap().embedding);
        let factor = pipeline.logit_factor().unwrap().unwrap();
        let probable = probabilities(&picture, &classes, factor).double_value(&[0, 0]);
        let line = format!("{:>6.1}%  red house\n", 100.0 * probable);
        assert!(ran.stdout.contains(&line), "{clip}: {} / {line}", ran.stdout);

        let index = format!("--index={}.index", clip.replace('/', "-"));
        let search = ["search", "a red house", "pictures", &model, &index];
        let found = place.run(&search).succeeds().stdout;
        assert_eq!(found.lines().count(), 2, "{found}");
        assert_eq!(place.run(&search).succeeds().stdout, found, "from the index");

        let embed = ["embed", "a red house", "two.png", "--out=a.safetensors", "--force", &model];
        place.run(&embed).succeeds();
        let rows = ::weights::load_safetensors(place.path("a.safetensors")).unwrap();
        assert_eq!(rows[0].1.size(), [2, width], "{clip}");
    }
}

#[test]
fn an_image_encoder_must_fit_the_text_encoder() {
    let place = Workplace::with_clips();
    let classify = |model: &str, encoder: &str| {
        let flags = [&*format!("--model={model}"), &*format!("--image-encoder={encoder}")];
        place.run(&[&["classify", "one.png", "--labels=boat,house"], &flags[..]].concat())
    };
    classify("transformers", "openai/resnet.pt").succeeds();
    classify("openai/vit.pt", "transformers").succeeds();
    classify("openai/vit.pt", "openai/resnet.pt").succeeds();
    classify("open_clip", "openai/vit.pt").refuses(&["openai/vit.pt", "is 10 in the first and 12"]);
    classify("model", "open_clip").refuses(&["open_clip", "is 20 in the first and 10"]);
}

#[test]
fn a_clip_says_what_it_is_and_draws_nothing() {
    let place = Workplace::with_clips();
    for (clip, whose) in [("openai/resnet.pt", "OpenAI's"), ("open_clip", "open_clip's")] {
        let ran = place.run(&["info", clip]).succeeds();
        for words in [
            "family    CLIP\n",
            &format!("in {whose} layout"),
            "can       embed, classify, search\n",
            "text_encoder",
            "image_encoder",
        ] {
            assert!(ran.stdout.contains(words), "{words:?} is not in {}", ran.stdout);
        }
        let words = [clip, "it holds CLIP alone", "draws none"];
        place.run(&["generate", "a boat", "--model", clip]).refuses(&words);
        place.run(&["convert", clip, "new"]).refuses(&[clip, "read as it is"]);
        assert!(!place.path("new").exists());
    }
}

#[test]
fn what_is_wrong_with_a_clip_is_one_sentence() {
    let place = Workplace::with_clips();
    let classify =
        |model: &str| place.run(&["classify", "one.png", "--labels=boat,house", "--model", model]);
    let whole = fs::read(place.path("openai/vit.pt")).unwrap();
    fs::write(place.path("openai/short.pt"), &whole[..whole.len() / 3]).unwrap();
    classify("openai/short.pt").refuses(&["--model", "openai/short.pt", "damaged or cut short"]);
    let config = json!({ "model_cfg": { "text_cfg": {}, "vision_cfg": {}, "multimodal_cfg": {} } });
    fs::write(place.path("open_clip/open_clip_config.json"), config.to_string()).unwrap();
    classify("open_clip").refuses(&["open_clip/open_clip_config.json", "a CoCa"]);
    fs::remove_file(place.path("openai/bpe_simple_vocab_16e6.txt.gz")).unwrap();
    classify("openai/vit.pt").refuses(&["openai/vit.pt", "bpe_simple_vocab_16e6.txt"]);
}
