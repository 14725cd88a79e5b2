//! CLIP in its publishers' files, beside OpenAI's own package and open_clip's (golden/record_clip_files.py), and whatever is
//! wrong with such files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use ::clip::{ImageEncoderConfig, TextConfig};
use ::images::{RgbImage, read_image};
use ::pipeline::{Pipeline, Silent};
use ::weights::{Checkpoint, Folder, save_safetensors};
use families::{Completion, ModelFolders};
use layers::Activation;
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, no_grad};

use crate::golden::{NETWORK, agree};
use crate::pipeline::{copy_folder, few_steps, model};

/// The models of golden/clip_files: OpenAI's archives, and open_clip's folders in both of its layouts.
const MODELS: [&str; 4] = ["openai/vit.pt", "openai/resnet.pt", "open_clip", "open_clip_text"];

#[derive(Deserialize)]
struct Record {
    pictures: Vec<String>,
    captions: Vec<String>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn place(name: &str) -> PathBuf {
    golden().join("clip_files").join(name)
}

fn record() -> Record {
    serde_json::from_slice(&fs::read(place("record.json")).unwrap()).unwrap()
}

/// The outputs of the reference for a model.
fn recorded(model: &str, what: &str) -> Tensor {
    let tensors = ::weights::load_safetensors(place("record.safetensors")).unwrap();
    let name = format!("{model}.{what}");
    tensors.into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn pictures() -> Vec<RgbImage> {
    let read = |name: &String| {
        let file = golden().join(format!("data/images/{name}.png"));
        read_image(&file).unwrap().image
    };
    record().pictures.iter().map(read).collect()
}

fn open_folders(folders: ModelFolders) -> Pipeline {
    tch::set_num_threads(1);
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

fn open(path: &Path) -> Pipeline {
    open_folders(ModelFolders::new(families::locate(path).unwrap()))
}

#[test]
fn pictures_are_prepared_as_torchvision_does() {
    for model in MODELS {
        let folder = families::locate(&place(model)).unwrap();
        let processor = families::open_image_processor(&folder).unwrap();
        let pixels = Tensor::try_from(processor.preprocess(&pictures()).unwrap()).unwrap();
        agree(&format!("{model}: pixels"), &pixels, &recorded(model, "pixels"), 1e-6);
    }
}

#[test]
fn captions_become_the_references_tokens() {
    for model in MODELS {
        let folder = families::locate(&place(model)).unwrap();
        let reference = recorded(model, "tokens");
        let length = reference.size()[1] as usize;
        let tokenizer = families::open_tokenizer(&folder).unwrap();
        assert_eq!(tokenizer.context_length(), None, "the text encoder says it");
        let tokenizer = tokenizer.with_context_length(length).unwrap();
        let tokens = tokenizer.encode(&record().captions).unwrap();
        // Transformers' files pad with the end, which the causal mask hides from all that is pooled.
        let mask = tokens.mask.to_kind(Kind::Int64);
        assert_eq!(tokens.ids * mask, reference, "{model}");
        assert!(tokens.cut_off.last().unwrap().is_some(), "{model}: the last caption is too long");
    }
}

#[test]
fn both_encoders_agree_with_the_references() {
    let mut fingerprints = HashSet::new();
    for model in MODELS {
        let clip = open(&place(model));
        clip.prepare_clip().unwrap();
        let text = clip.encode_text(&record().captions).unwrap();
        agree(&format!("{model}: text"), &text.embedding, &recorded(model, "text"), NETWORK);
        let image = no_grad(|| clip.encode_images(&pictures())).unwrap();
        agree(&format!("{model}: image"), &image, &recorded(model, "image"), NETWORK);
        let scale = clip.logit_factor().unwrap().unwrap().ln();
        let reference = recorded(model, "logit_scale").double_value(&[0]);
        assert!((scale - reference).abs() < 1e-6, "{model}: {scale}");
        fingerprints.insert(clip.image_encoder_fingerprint().unwrap());
    }
    assert_eq!(fingerprints.len(), MODELS.len(), "each model's is its own");
}

fn text_config(path: &Path) -> TextConfig {
    let folder = families::locate(path).unwrap();
    let text = families::open_text_encoder(&folder, Device::Cpu, Kind::Float).unwrap();
    text.config().clone()
}

fn image_config(path: &Path) -> ImageEncoderConfig {
    let folder = families::locate(path).unwrap();
    families::open_image_encoder(&folder, Device::Cpu, Kind::Float).unwrap().config()
}

#[test]
fn shapes_are_read_off_the_tensors() {
    let text = text_config(&place("openai/vit.pt"));
    assert_eq!((text.vocab_size, text.context_length, text.embedding), (604, 16, 12));
    assert_eq!((text.width, text.layers, text.heads, text.intermediate), (64, 1, 1, 256));
    assert_eq!(text.activation, Activation::QuickGelu);
    let ImageEncoderConfig::VisionTransformer(image) = image_config(&place("openai/vit.pt")) else {
        panic!("a ResNet");
    };
    assert_eq!((image.image_size, image.patch_size, image.layers, image.heads), (30, 10, 2, 1));
    let ImageEncoderConfig::ResNet(image) = image_config(&place("openai/resnet.pt")) else {
        panic!("a vision transformer");
    };
    assert_eq!((image.image_size, image.layers, image.width), (64, [2, 1, 1, 1], 4));
    assert_eq!((image.heads, image.embedding, image.features()), (2, 12, 128));
}

#[test]
fn configurations_say_what_no_tensor_does() {
    assert_eq!(text_config(&place("open_clip")).activation, Activation::Gelu);
    assert_eq!(text_config(&place("open_clip_text")).activation, Activation::QuickGelu);
    let text = text_config(&place("open_clip_text"));
    assert_eq!((text.heads, text.eos_token_id, text.context_length), (3, 603, 12));
    let ImageEncoderConfig::VisionTransformer(image) = image_config(&place("open_clip")) else {
        panic!("a ResNet");
    };
    assert_eq!((image.heads, image.intermediate), (3, 56));
}

/// A folder with a CLIP of OpenAI's as a state dict, whose names begin with `prefix`.
fn state_dict(folder: &Path, archive: &str, file: &str, prefix: &str) -> PathBuf {
    let archive = Checkpoint::open(place(archive), "CLIP", Device::Cpu, Kind::Float).unwrap();
    let tensors = archive.tensors().unwrap().into_iter();
    let floats = tensors.filter(|(_, tensor)| tensor.is_floating_point());
    let tensors: Vec<_> = floats.map(|(name, t)| (format!("{prefix}{name}"), t)).collect();
    let path = folder.join(file);
    save_safetensors(&path, &tensors, Kind::Float).unwrap();
    let table = "bpe_simple_vocab_16e6.txt.gz";
    fs::copy(place("openai").join(table), folder.join(table)).unwrap();
    path
}

#[test]
fn a_state_dict_is_read_as_the_archive_that_it_came_from() {
    for archive in ["openai/vit.pt", "openai/resnet.pt"] {
        let folder = tempfile::tempdir().unwrap();
        let path = state_dict(folder.path(), archive, "mine.safetensors", "");
        let clip = open(&path);
        let text = clip.encode_text(&record().captions).unwrap();
        agree("text", &text.embedding, &recorded(archive, "text"), NETWORK);
        let image = clip.encode_images(&pictures()).unwrap();
        agree("image", &image, &recorded(archive, "image"), NETWORK);
    }
}

#[test]
fn a_trainers_checkpoint_needs_a_configuration_or_a_name_that_tells() {
    let folder = tempfile::tempdir().unwrap();
    let path = state_dict(folder.path(), "openai/vit.pt", "epoch_32.safetensors", "module.");
    let error = open(&path).prepare_clip().unwrap_err().to_string();
    for words in ["epoch_32.safetensors", "begin with module.", "open_clip_config.json"] {
        assert!(error.contains(words), "{error}");
    }
    let named = folder.path().join("vit-quickgelu-epoch_32.safetensors");
    fs::rename(&path, &named).unwrap();
    let text = open(&named).encode_text(&record().captions).unwrap();
    agree("text", &text.embedding, &recorded("openai/vit.pt", "text"), NETWORK);
}

#[test]
fn a_file_of_open_clips_is_its_folder_too() {
    let file = place("open_clip_text/open_clip_pytorch_model.bin");
    let text = open(&file).encode_text(&record().captions).unwrap();
    agree("text", &text.embedding, &recorded("open_clip_text", "text"), NETWORK);
}

#[test]
fn a_folder_with_one_archive_is_that_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["vit.pt", "bpe_simple_vocab_16e6.txt.gz"] {
        fs::copy(place("openai").join(name), path.join(name)).unwrap();
    }
    let text = open(path).encode_text(&record().captions).unwrap();
    agree("text", &text.embedding, &recorded("openai/vit.pt", "text"), NETWORK);
    // One of two is not guessed.
    fs::copy(place("openai/resnet.pt"), path.join("resnet.pt")).unwrap();
    assert_eq!(families::locate(path).unwrap().weights_file(), None);
    let error = error(path);
    assert!(error.contains("it holds bpe_simple_vocab_16e6.txt.gz, resnet.pt, vit.pt"), "{error}");
}

#[test]
fn transformers_files_beside_open_clips_go_first() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&golden().join("zero_shot/model"), folder.path());
    for name in ["open_clip_config.json", "open_clip_model.safetensors"] {
        fs::copy(place("open_clip").join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(text_config(folder.path()).embedding, 12);
    let named = folder.path().join("open_clip_model.safetensors");
    assert_eq!(text_config(&named).embedding, 10);
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(text_config(folder.path()).embedding, 10);
}

/// transformers' whole CLIP with its weights in two shards.
fn shards(folder: &Path) {
    copy_folder(&golden().join("zero_shot/model"), folder);
    let whole = folder.join("model.safetensors");
    let tensors = ::weights::load_safetensors(&whole).unwrap();
    let mut map = serde_json::Map::new();
    for (part, tensors) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", part + 1);
        save_safetensors(folder.join(&file), tensors, Kind::Float).unwrap();
        map.extend(tensors.iter().map(|(name, _)| (name.clone(), json!(file))));
    }
    fs::remove_file(whole).unwrap();
    let index = json!({ "metadata": {}, "weight_map": map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn transformers_folder_is_an_image_encoder_and_may_be_in_shards() {
    let whole = open(&golden().join("zero_shot/model")).encode_images(&pictures()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    shards(folder.path());
    assert_eq!(open(folder.path()).encode_images(&pictures()).unwrap(), whole);
    // Beside another's text encoder, with its own preprocessing.
    let folders = ModelFolders {
        image_encoder: Some(Folder::open(folder.path()).unwrap()),
        ..ModelFolders::new(Folder::open(model("deep")).unwrap())
    };
    let completed = open_folders(folders);
    completed.prepare_image_encoder().unwrap();
    assert_eq!(completed.encode_images(&pictures()).unwrap(), whole);
}

#[test]
fn every_layout_is_an_image_encoder_where_the_widths_fit() {
    let text = || Folder::open(golden().join("zero_shot/model")).unwrap();
    let image_encoder = |name: &str| Some(families::locate(&place(name)).unwrap());
    for name in ["openai/vit.pt", "openai/resnet.pt"] {
        let folders =
            ModelFolders { image_encoder: image_encoder(name), ..ModelFolders::new(text()) };
        let completed = open_folders(folders);
        completed.prepare_clip().unwrap();
        let image = completed.encode_images(&pictures()).unwrap();
        agree(name, &image, &recorded(name, "image"), NETWORK);
    }
    for (name, width) in [("open_clip", "10"), ("open_clip_text", "14")] {
        let folders =
            ModelFolders { image_encoder: image_encoder(name), ..ModelFolders::new(text()) };
        let error = open_folders(folders).prepare_clip().unwrap_err().to_string();
        let widths = format!("is 12 in the first and {width} in the second");
        assert!(error.contains(&widths) && error.contains(name), "{error}");
    }
}

#[test]
fn every_layout_is_a_text_encoder_where_the_widths_fit() {
    let images = || Folder::open(golden().join("zero_shot/model")).unwrap();
    let beside = |encoder: &Path| {
        let text_encoder = Some(families::locate(encoder).unwrap());
        open_folders(ModelFolders { text_encoder, ..ModelFolders::new(images()) })
    };
    for name in ["openai/vit.pt", "openai/resnet.pt"] {
        let completed = beside(&place(name));
        completed.prepare_clip().unwrap();
        let text = completed.encode_text(&record().captions).unwrap();
        agree(name, &text.embedding, &recorded(name, "text"), NETWORK);
    }
    for (name, width) in [("open_clip", "10"), ("open_clip_text", "14")] {
        let error = beside(&place(name)).prepare_clip().unwrap_err().to_string();
        let widths = format!("is {width} in the first and 12 in the second");
        assert!(error.contains(&widths) && error.contains(name), "{error}");
    }
    let error = beside(&golden().join("glide/model")).prepare_clip().unwrap_err().to_string();
    assert!(error.contains("text_encoder"), "{error}");
}

/// Of a model whose text encoder and tokenizer lie elsewhere, in folders of their own or in a whole model.
#[test]
fn a_text_encoder_completes_a_prior_and_a_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    copy_folder(&model("deep"), &place("model"));
    fs::create_dir(place("text")).unwrap();
    for name in ["tokenizer", "text_encoder"] {
        fs::rename(place("model").join(name), place("text").join(name)).unwrap();
    }
    let at = |path: &Path| Folder::open(path).unwrap();
    let draw = |text_encoder: Option<Folder>| {
        let folders = ModelFolders { text_encoder, ..ModelFolders::new(at(&place("model"))) };
        open_folders(folders).generate("a red house", &[3], &few_steps(), &mut Silent)
    };
    let whole = open(&model("deep")).generate("a red house", &[3], &few_steps(), &mut Silent);
    let whole = whole.unwrap();
    for encoder in [place("text").join("text_encoder"), place("text"), model("deep")] {
        assert!(draw(Some(at(&encoder))).unwrap() == whole, "{}", encoder.display());
    }
    let error = draw(None).unwrap_err();
    let families::Error::Missing { completion, .. } = family_error(&error) else {
        panic!("{error}");
    };
    assert_eq!(*completion, Some(Completion::TextEncoder));
}

/// The error of the families that an error of the pipeline's is.
fn family_error(error: &pipeline::Error) -> &families::Error {
    match error {
        pipeline::Error::Families(error) => error,
        other => panic!("{other}"),
    }
}

/// The error of a model at `path`, whatever finds it.
fn error(path: &Path) -> String {
    match families::locate(path) {
        Err(error) => error.to_string(),
        Ok(folder) => {
            let clip = open_folders(ModelFolders::new(folder));
            clip.prepare_clip().unwrap_err().to_string()
        }
    }
}

#[test]
fn damaged_and_foreign_archives_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ViT-B-32.pt");
    let whole = fs::read(place("openai/vit.pt")).unwrap();
    for length in [30, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = error(&path);
        assert!(error.contains("ViT-B-32.pt") && error.contains("damaged"), "{length}: {error}");
    }
    let mut flipped = whole.clone();
    let at = whole.windows(6).position(|bytes| bytes == b"data/9").unwrap() + 20_000;
    flipped[at] ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert!(error(&path).contains("CRC-32"), "{}", error(&path));
    // Another module than CLIP.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/weights/script.pt");
    fs::copy(script, &path).unwrap();
    let foreign = error(&path);
    for words in ["ViT-B-32.pt is a zip archive", "a CLIP in OpenAI's"] {
        assert!(foreign.contains(words), "{foreign}");
    }
    // No tokenizer beside it.
    fs::write(&path, &whole).unwrap();
    let alone = error(&path);
    for words in ["ViT-B-32.pt has no bpe_simple_vocab_16e6.txt", "openai/CLIP"] {
        assert!(alone.contains(words), "{alone}");
    }
    open(&path).prepare_image_encoder().unwrap();
}

#[test]
fn a_state_dict_of_another_shape_is_refused() {
    let cases: [(&str, &[i64], &str); 6] = [
        ("visual.positional_embedding", &[9, 64], "9 positions are not those of a square"),
        ("visual.conv1.weight", &[60, 3, 10, 10], "its width 60 is not a multiple of 64"),
        ("ln_final.weight", &[63], "ln_final.weight is [63] where [64] is wanted"),
        ("text_projection", &[64], "its tensor text_projection is [64], and has 2 dimensions"),
        ("positional_embedding", &[1, 64], "a context length of 1 tokens"),
        ("visual.proj", &[64, 11], "is 12 in the first and 11 in the second"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = state_dict(folder.path(), "openai/vit.pt", "mine.safetensors", "");
    let whole: Vec<(String, Tensor)> = {
        let tensors = ::weights::load_safetensors(&path).unwrap().into_iter();
        tensors.map(|(name, tensor)| (name, tensor.copy())).collect()
    };
    for (name, shape, sentence) in cases {
        let tensors = whole.iter().map(|(found, tensor)| match found == name {
            true => (found.clone(), Tensor::ones(shape, (Kind::Float, Device::Cpu))),
            false => (found.clone(), tensor.shallow_clone()),
        });
        save_safetensors(&path, &tensors.collect::<Vec<_>>(), Kind::Float).unwrap();
        let error = error(&path);
        assert!(error.contains(sentence), "{name}: {error}");
    }
    for name in ["visual.ln_pre.bias", "transformer.resblocks.0.attn.in_proj_bias"] {
        let tensors = whole.iter().filter(|(found, _)| found != name);
        let tensors: Vec<_> = tensors.map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        save_safetensors(&path, &tensors, Kind::Float).unwrap();
        let error = error(&path);
        assert!(error.contains("1 tensor missing") && error.contains(name), "{error}");
    }
}

/// open_clip's configuration with one field changed.
fn changed(pointer: &str, value: Value) -> Value {
    let bytes = fs::read(place("open_clip/open_clip_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&bytes).unwrap();
    let (object, field) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(object).unwrap()[field] = value;
    config
}

#[test]
fn a_configuration_that_asks_for_what_is_not_there_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&place("open_clip"), folder.path());
    for (pointer, value, sentence) in [
        ("/model_cfg/multimodal_cfg", json!({ "width": 8 }), "it describes a CoCa"),
        ("/model_cfg/init_logit_bias", json!(-10), "it describes a SigLIP"),
        ("/model_cfg/vision_cfg/timm_model_name", json!("vit_base"), "is timm's vit_base"),
        ("/model_cfg/text_cfg/hf_model_name", json!("roberta"), "is transformers' roberta"),
        ("/model_cfg/text_cfg/hf_tokenizer_name", json!("t5"), "its tokenizer is transformers' t5"),
        ("/model_cfg/text_cfg/embed_cls", json!(true), "pools an embedded class"),
        ("/model_cfg/text_cfg/pool_type", json!("last"), "pool_type is \"last\""),
        ("/model_cfg/text_cfg/no_causal_mask", json!(true), "no_causal_mask = true is unknown"),
        ("/model_cfg/text_cfg/proj_type", json!("none"), "proj_type is \"none\""),
        ("/model_cfg/vision_cfg/attentional_pool", json!(true), "attentional_pool = true"),
        ("/model_cfg/vision_cfg/pool_type", json!("avg"), "pool_type is \"avg\""),
        ("/model_cfg/vision_cfg/layers", json!([1, 2, 3]), "a number or a list of four"),
        ("/model_cfg/vision_cfg/head_width", json!(7), "is not a multiple of its head_width 7"),
        ("/model_cfg/vision_cfg/image_size", json!(30), "is not a multiple of its patch_size"),
        ("/model_cfg/quick_gelu", json!("yes"), "quick_gelu is \"yes\""),
        ("/model_cfg/embed_dim", json!(-1), "embed_dim is -1"),
        ("/preprocess_cfg/resize_mode", json!("longest"), "resize_mode is \"longest\""),
        ("/preprocess_cfg/std", json!([0, 1, 1]), "std is [0,1,1]"),
        ("/model_cfg/vision_cfg", json!(null), "vision_cfg is null"),
        // Configurations that lie.
        ("/model_cfg/embed_dim", json!(11), "text_projection is [20, 10] where [20, 11]"),
        ("/model_cfg/text_cfg/layers", json!(1), "tensors unused"),
        ("/model_cfg/vision_cfg/layers", json!(3), "tensors missing"),
        ("/model_cfg/vision_cfg/image_size", json!(35), "is [17, 24] where [26, 24] is wanted"),
        ("/model_cfg/vision_cfg/layers", json!([1, 1, 1, 1]), "is not a multiple"),
    ] {
        let file = folder.path().join("open_clip_config.json");
        fs::write(&file, changed(pointer, value.clone()).to_string()).unwrap();
        let error = error(folder.path());
        assert!(error.contains(sentence), "{pointer} = {value}: {error}");
        assert!(error.contains("open_clip_"), "{error}");
    }
    fs::remove_file(folder.path().join("open_clip_model.safetensors")).unwrap();
    copy_folder(&place("open_clip"), &folder.path().join("other"));
    let config = folder.path().join("other/open_clip_config.json");
    fs::copy(config, folder.path().join("open_clip_config.json")).unwrap();
    let error = error(folder.path());
    assert!(error.contains("open_clip_model.safetensors, open_clip_pytorch_model.bin"), "{error}");
}
