//! The files of a repository that are downloaded, for the lists of files that publishers have on the Hub.

use families::repository_files::{PipelineComponent, pipeline_files};
use families::{
    Completion, KNOWN_MODELS, RepositoryError, description_file, known_model, model_files,
};
use serde_json::{Map, Value, json};

/// Names with a folder before each.
fn below(folder: &str, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{folder}/{name}")).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

const TOKENIZER: [&str; 4] =
    ["merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json"];

/// The files of kakaobrain/karlo-v1-alpha.
fn karlo() -> Vec<String> {
    let network =
        ["config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"];
    let networks = ["prior", "decoder", "text_proj", "super_res_first", "super_res_last"];
    let schedulers = ["prior_scheduler", "decoder_scheduler", "super_res_scheduler"];
    let mut files = owned(&[".gitattributes", "README.md", "model_index.json"]);
    files.extend(networks.iter().flat_map(|folder| below(folder, &network)));
    files.extend(schedulers.iter().flat_map(|name| below(name, &["scheduler_config.json"])));
    files.extend(below("text_encoder", &["config.json", "model.safetensors", "pytorch_model.bin"]));
    files.extend(below("tokenizer", &TOKENIZER));
    files
}

/// An index of Karlo's decoder, upsampler and text encoder, with these components besides.
fn index_with(others: Value) -> Value {
    let mut index = json!({
        "decoder": ["diffusers", "UNet2DConditionModel"],
        "decoder_scheduler": ["diffusers", "UnCLIPScheduler"],
        "super_res_first": ["diffusers", "UNet2DModel"],
        "super_res_last": ["diffusers", "UNet2DModel"],
        "super_res_scheduler": ["diffusers", "UnCLIPScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_proj": ["unclip", "UnCLIPTextProjModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    });
    let others = others.as_object().unwrap().clone();
    index.as_object_mut().unwrap().extend(others);
    index
}

/// Its index.
fn karlo_index() -> Value {
    index_with(json!({
        "_class_name": "UnCLIPPipeline",
        "_diffusers_version": "0.11.0.dev0",
        "prior": ["diffusers", "PriorTransformer"],
        "prior_scheduler": ["diffusers", "UnCLIPScheduler"],
    }))
}

/// The files of kakaobrain/karlo-v1-alpha-image-variations, of which no network has safetensors.
fn image_variations() -> Vec<String> {
    let networks = ["decoder", "text_proj", "super_res_first", "super_res_last"];
    let network = ["config.json", "diffusion_pytorch_model.bin"];
    let mut files = owned(&[".gitattributes", "README.md", "model_index.json"]);
    files.extend(networks.iter().flat_map(|folder| below(folder, &network)));
    for folder in ["decoder_scheduler", "super_res_scheduler"] {
        files.extend(below(folder, &["scheduler_config.json"]));
    }
    for folder in ["text_encoder", "image_encoder"] {
        files.extend(below(folder, &["config.json", "pytorch_model.bin"]));
    }
    files.extend(below("feature_extractor", &["preprocessor_config.json"]));
    files.extend(below("tokenizer", &TOKENIZER));
    files
}

fn image_variations_index() -> Value {
    index_with(json!({
        "_class_name": "UnCLIPImageVariationPipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }))
}

/// The files that are chosen of a repository with this description, in order.
fn chosen(
    files: &[String],
    description: &Value,
    variant: Option<&str>,
    components: Option<&[&str]>,
) -> Result<Vec<String>, RepositoryError> {
    model_files(files, description.to_string().as_bytes(), variant, components).map(sorted)
}

#[test]
fn karlo_is_taken_as_safetensors_and_whole() {
    let files = karlo();
    let expected = files.iter().filter(|name| !name.ends_with(".bin") && *name != ".gitattributes");
    let expected = sorted(expected.cloned().collect());
    assert_eq!(chosen(&files, &karlo_index(), None, None).unwrap(), expected);
    // The folder of a pull request that the index does not name is another's.
    let more = [files, below("image_encoder", &["config.json", "model.safetensors"])].concat();
    assert_eq!(chosen(&more, &karlo_index(), None, None).unwrap(), expected);
}

#[test]
fn what_is_null_in_the_index_is_left_out() {
    let mut index = karlo_index();
    index["super_res_last"] = json!([null, null]);
    index["prior"] = Value::Null;
    index["safety_checker"] = json!(["stable_diffusion", "StableDiffusionSafetyChecker"]);
    let files = [karlo(), below("safety_checker", &["config.json", "model.safetensors"])].concat();
    let taken = chosen(&files, &index, None, None).unwrap();
    for folder in ["super_res_last/", "prior/", "safety_checker/"] {
        assert!(!taken.iter().any(|name| name.starts_with(folder)), "{folder}");
    }
    assert!(taken.iter().any(|name| name == "prior_scheduler/scheduler_config.json"));
}

#[test]
fn one_network_without_safetensors_makes_all_of_them_bin() {
    let mut files = karlo();
    files.retain(|name| name != "text_proj/diffusion_pytorch_model.safetensors");
    let taken = chosen(&files, &karlo_index(), None, None).unwrap();
    let weights = |ending: &str| taken.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((weights(".safetensors"), weights(".bin")), (0, 6));
    let files = image_variations();
    let expected = files.iter().filter(|name| *name != ".gitattributes").cloned().collect();
    let taken = chosen(&files, &image_variations_index(), None, None).unwrap();
    assert_eq!(taken, sorted(expected));
}

#[test]
fn of_what_completes_a_model_the_parts_alone_are_taken() {
    let (files, index) = (image_variations(), image_variations_index());
    let encoder = ["image_encoder", "feature_extractor"];
    assert_eq!(
        chosen(&files, &index, None, Some(&encoder)).unwrap(),
        [
            "README.md",
            "feature_extractor/preprocessor_config.json",
            "image_encoder/config.json",
            "image_encoder/pytorch_model.bin",
            "model_index.json",
        ]
    );
    let error = chosen(&karlo(), &karlo_index(), None, Some(&encoder)).unwrap_err();
    assert_eq!(error, RepositoryError::NoComponent { component: "image_encoder".to_owned() });
}

#[test]
fn a_variant_is_taken_where_a_network_has_it() {
    let index = karlo_index();
    let error = chosen(&karlo(), &index, Some("fp16"), None).unwrap_err();
    assert!(error.to_string().contains("fp16: all of its weights are plain"), "{error}");

    let mut files = karlo();
    files.push("decoder/diffusion_pytorch_model.fp16.safetensors".to_owned());
    files.push("text_encoder/model.fp16.safetensors".to_owned());
    let taken = chosen(&files, &index, Some("fp16"), None).unwrap();
    let weights: Vec<_> = taken.iter().filter(|name| name.ends_with(".safetensors")).collect();
    assert_eq!(
        weights,
        [
            "decoder/diffusion_pytorch_model.fp16.safetensors",
            "prior/diffusion_pytorch_model.safetensors",
            "super_res_first/diffusion_pytorch_model.safetensors",
            "super_res_last/diffusion_pytorch_model.safetensors",
            "text_encoder/model.fp16.safetensors",
            "text_proj/diffusion_pytorch_model.safetensors",
        ]
    );
    let plain = chosen(&files, &index, None, None).unwrap();
    assert!(!plain.iter().any(|name| name.contains("fp16")), "{plain:?}");
    let error = chosen(&files, &index, Some("bf16"), None).unwrap_err();
    assert!(error.to_string().ends_with("bf16: there is fp16"), "{error}");
    // The only weights are of a variant: as in a folder, they are taken.
    files.retain(|name| {
        name != "decoder/diffusion_pytorch_model.safetensors"
            && name != "decoder/diffusion_pytorch_model.bin"
    });
    let taken = chosen(&files, &index, None, None).unwrap();
    assert!(taken.iter().any(|name| name == "decoder/diffusion_pytorch_model.fp16.safetensors"));
}

#[test]
fn shards_come_with_their_index_in_either_order_of_their_names() {
    for (index, shard) in [
        ("diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model-N.safetensors"),
        (
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.fp16-N.safetensors",
        ),
        (
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model-N.fp16.safetensors",
        ),
        (
            "diffusion_pytorch_model.fp16.safetensors.index.json",
            "diffusion_pytorch_model.fp16-N.safetensors",
        ),
    ] {
        let shards = [1, 2, 3].map(|n| shard.replace('N', &format!("0000{n}-of-00003")));
        let variant = shard.contains("fp16").then_some("fp16");
        let mut files = karlo();
        files.retain(|name| !name.starts_with("prior/diffusion"));
        let sharded: Vec<&str> = [index].into_iter().chain(shards.iter().map(|s| &**s)).collect();
        files.extend(below("prior", &sharded));
        let taken = chosen(&files, &karlo_index(), variant, None).unwrap();
        let prior: Vec<_> =
            taken.iter().filter(|name| name.starts_with("prior/d")).cloned().collect();
        assert_eq!(prior, sorted(below("prior", &sharded)));
        // A shard that is missing, as in a cache that was filled in part.
        files.retain(|name| !name.contains("00002-of"));
        let error = chosen(&files, &karlo_index(), variant, None).unwrap_err();
        assert!(error.to_string().starts_with("its prior/ has no weights"), "{error}");
    }
    let bin = [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
    ];
    let mut files = image_variations();
    files.retain(|name| name != "text_encoder/pytorch_model.bin");
    files.extend(below("text_encoder", &bin));
    let taken = chosen(&files, &image_variations_index(), None, None).unwrap();
    for name in below("text_encoder", &bin) {
        assert!(taken.contains(&name), "{name}");
    }
}

#[test]
fn other_frameworks_are_never_taken() {
    let mut files = karlo();
    for folder in ["prior", "decoder"] {
        files.extend(below(
            folder,
            &[
                "diffusion_flax_model.msgpack",
                "model.onnx",
                "openvino_model.bin",
                "openvino_model.xml",
                "onnx/model.onnx",
            ],
        ));
    }
    files.extend(owned(&[
        "karlo.ckpt",
        "karlo.safetensors",
        "pytorch_model.bin",
        "onnx/config.json",
    ]));
    let taken = chosen(&files, &karlo_index(), None, None).unwrap();
    assert_eq!(taken, chosen(&karlo(), &karlo_index(), None, None).unwrap());
}

/// The parts of a pipeline, as its index names them.
fn parts(index: Value) -> Vec<PipelineComponent> {
    let index: Map<String, Value> = serde_json::from_value(index).unwrap();
    PipelineComponent::of_index(&index)
}

#[test]
fn kandinskys_pipelines_are_chosen_from() {
    let prior_index = json!({
        "_class_name": "KandinskyV22PriorPipeline",
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "image_processor": ["transformers", "CLIPImageProcessor"],
        "prior": ["diffusers", "PriorTransformer"],
        "scheduler": ["diffusers", "UnCLIPScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    });
    let both = |stem: &str| [format!("{stem}.safetensors"), format!("{stem}.bin")];
    let mut prior = owned(&[".gitattributes", "README.md", "model_index.json"]);
    prior.extend(below("prior", &["config.json"]));
    prior.extend(both("prior/diffusion_pytorch_model"));
    for folder in ["image_encoder", "text_encoder"] {
        prior.extend(below(folder, &["config.json", "model.safetensors", "pytorch_model.bin"]));
    }
    prior.extend(below("image_processor", &["preprocessor_config.json"]));
    prior.extend(below("scheduler", &["scheduler_config.json"]));
    prior.extend(below("tokenizer", &TOKENIZER));
    let taken = pipeline_files(&prior, &parts(prior_index.clone()), None).unwrap();
    let expected = prior.iter().filter(|name| !name.ends_with(".bin") && *name != ".gitattributes");
    assert_eq!(sorted(taken), sorted(expected.cloned().collect()));
    let all = sorted(chosen(&prior, &prior_index, None, None).unwrap());
    assert_eq!(all, sorted(pipeline_files(&prior, &parts(prior_index.clone()), None).unwrap()));
    // Components go by the names that they have in the family, which this repository's folders have in part.
    let encoder = chosen(&prior, &prior_index, None, Some(&["prior_image_encoder"])).unwrap();
    let expected = ["image_encoder/config.json", "image_encoder/model.safetensors"];
    let encoder: Vec<_> = encoder.into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(sorted(encoder), expected);
    let completing = families::kandinsky().completing_components(Completion::Prior);
    assert_eq!(sorted(chosen(&prior, &prior_index, None, Some(&completing)).unwrap()), all);

    let decoder_index = json!({
        "_class_name": "KandinskyV22Pipeline",
        "movq": ["diffusers", "VQModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
    });
    let mut decoder = owned(&["README.md", "model_index.json"]);
    for folder in ["movq", "unet"] {
        decoder.extend(below(folder, &["config.json", "diffusion_pytorch_model.safetensors"]));
        decoder.extend(below(
            folder,
            &["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin"],
        ));
    }
    decoder.extend(below("scheduler", &["scheduler_config.json"]));
    let weights = |variant| {
        let taken = pipeline_files(&decoder, &parts(decoder_index.clone()), variant).unwrap();
        let weights = taken.into_iter().filter(|name| name.contains("pytorch_model"));
        sorted(weights.collect())
    };
    assert_eq!(
        weights(None),
        ["movq/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.safetensors"]
    );
    // The variant goes before the format.
    assert_eq!(
        weights(Some("fp16")),
        ["movq/diffusion_pytorch_model.fp16.bin", "unet/diffusion_pytorch_model.fp16.bin"]
    );
    assert_eq!(chosen(&decoder, &decoder_index, None, None).unwrap().len(), 7);
}

#[test]
fn a_clip_is_taken_from_its_root_in_transformers_layout() {
    let config = json!({ "architectures": ["CLIPModel"], "model_type": "clip" });
    let small = [
        "README.md",
        "config.json",
        "merges.txt",
        "preprocessor_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ];
    let rest = [
        ".gitattributes",
        "flax_model.msgpack",
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
    ];
    let openai = owned(&[&small[..], &rest].concat());
    let expected = |weights: &[&str]| sorted(owned(&[&small[..], weights].concat()));
    assert_eq!(chosen(&openai, &config, None, None).unwrap(), expected(&["model.safetensors"]));
    let mut older = openai.clone();
    older.retain(|name| name != "model.safetensors");
    assert_eq!(chosen(&older, &config, None, None).unwrap(), expected(&["pytorch_model.bin"]));

    // LAION's have both layouts: one of them is enough.
    let laion =
        ["open_clip_config.json", "open_clip_pytorch_model.bin", "open_clip_model.safetensors"];
    let mut both = [openai.clone(), owned(&laion)].concat();
    let taken = chosen(&both, &config, None, None).unwrap();
    assert!(taken.contains(&"model.safetensors".to_owned()));
    assert!(!taken.iter().any(|name| name.starts_with("open_clip_") && !name.ends_with(".json")));
    let shards = [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
    ];
    both.retain(|name| name != "model.safetensors" && name != "pytorch_model.bin");
    both.extend(owned(&shards));
    let taken = chosen(&both, &config, None, None).unwrap();
    assert!(shards.iter().all(|shard| taken.contains(&(*shard).to_owned())), "{taken:?}");
}

#[test]
fn a_clip_in_open_clips_layout_is_taken_by_its_own_names() {
    let mut files = owned(&[
        "README.md",
        "open_clip_config.json",
        "open_clip_pytorch_model.bin",
        "open_clip_model.safetensors",
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
    ]);
    let config = json!({ "model_cfg": { "embed_dim": 8 }, "preprocess_cfg": {} });
    assert_eq!(description_file(&files).unwrap(), "open_clip_config.json");
    let taken = chosen(&files, &config, None, None).unwrap();
    assert!(taken.contains(&"open_clip_model.safetensors".to_owned()));
    assert!(!taken.contains(&"open_clip_pytorch_model.bin".to_owned()));
    assert_eq!(taken.len(), 6);
    files.retain(|name| name != "open_clip_model.safetensors");
    let taken = chosen(&files, &config, None, None).unwrap();
    assert!(taken.contains(&"open_clip_pytorch_model.bin".to_owned()));
}

#[test]
fn other_repositories_are_described() {
    let error =
        description_file(&owned(&["README.md", "v1-5-pruned.ckpt", "vae/a.bin", "vae/b.bin"]));
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("it holds README.md, v1-5-pruned.ckpt, vae/, and a model has"),
        "{error}"
    );
    let bert = owned(&["config.json", "model.safetensors"]);
    let config = json!({ "architectures": ["BertModel"] });
    let error = chosen(&bert, &config, None, None).unwrap_err().to_string();
    assert!(error.starts_with("it holds a BertModel, and a CLIP or a part"), "{error}");
    let error = model_files(&karlo(), b"{", None, None).unwrap_err().to_string();
    assert!(error.starts_with("its model_index.json cannot be read: "), "{error}");
    let config = json!({ "architectures": ["CLIPModel"] });
    let error = chosen(&owned(&["config.json", "tf_model.h5"]), &config, None, None).unwrap_err();
    assert_eq!(error.to_string(), "it has no weights that can be read: config.json, tf_model.h5");
    let mut files = karlo();
    files.retain(|name| !name.starts_with("decoder/"));
    let error = chosen(&files, &karlo_index(), None, None).unwrap_err();
    assert_eq!(error.to_string(), "it has no decoder/");
}

#[test]
fn known_models_complete_each_other() {
    for model in &KNOWN_MODELS {
        let completion = model.completed_by.map(known_model);
        assert!(completion.is_none_or(|found| found.is_some()), "{}", model.repository);
        assert_eq!(known_model(model.repository), Some(model));
        assert!(model.bytes > 500_000_000 && !model.abilities.is_empty(), "{model:?}");
    }
    assert_eq!(known_model("kakaobrain/karlo"), None);
}
