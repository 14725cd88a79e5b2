//! Kandinsky 2.2's networks, scheduler and images against the reference's, for two tiny models (recorded by
//! golden/record_kandinsky.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ::diffusion::{Output, Sampler, SchedulerConfig, Step, TimestepRespacing, TimestepSpacing};
use families::kandinsky::{
    IMAGE_ENCODER, MOVQ, PRIOR, PRIOR_SCHEDULER, SCHEDULER, TOKENIZER, UNET,
};
use families::{Completion, Error, ModelFolders, kandinsky, recognise};
use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use crate::diffusion::take_step;
use crate::golden::{NETWORK, agree};
use crate::pipeline::copy_folder;

mod case;
mod emb2emb;
mod hints;
mod inpainting;
mod inversion;
mod mixing;
mod pictures;
mod refusals;

const MODELS: [&str; 2] = ["two", "three"];

/// The most that a scheduler's step may differ, as a part of its largest value.
const STEP: f64 = 1e-6;

fn data(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kandinsky").join(model)
}

fn json<T: for<'a> Deserialize<'a>>(model: &str, file: &str) -> T {
    serde_json::from_slice(&std::fs::read(data(model).join(file)).unwrap()).unwrap()
}

/// The repository with the decoder.
fn decoder(model: &str) -> Folder {
    Folder::open(data(model).join("decoder")).unwrap()
}

/// The repository with the prior.
fn prior(model: &str) -> Folder {
    Folder::open(data(model).join("prior")).unwrap()
}

/// Writes the repository of another decoder of a model, which was recorded in `folder`, to `to`: its autoencoder is the plain
/// decoder's.
pub(crate) fn write_decoder(model: &str, folder: &str, to: &Path) {
    for name in ["unet", "scheduler"] {
        copy_folder(&data(model).join(folder).join(name), &to.join(name));
    }
    copy_folder(&data(model).join("decoder/movq"), &to.join("movq"));
    let index = "model_index.json";
    std::fs::copy(data(model).join(folder).join(index), to.join(index)).unwrap();
}

/// Both repositories.
fn both(model: &str) -> ModelFolders {
    ModelFolders { prior: Some(prior(model)), ..ModelFolders::new(decoder(model)) }
}

/// The recorded outputs of a model's networks.
struct Record(HashMap<String, Tensor>);

impl Record {
    fn read(model: &str) -> Self {
        let path = data(model).join("networks.safetensors");
        Self(weights::load_safetensors(path).unwrap().into_iter().collect())
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("{name} was not recorded"))
    }

    fn agree(&self, model: &str, name: &str, ours: &Tensor) {
        agree(&format!("{model}: {name}"), ours, self.get(name), NETWORK);
    }
}

#[test]
fn conditioning_and_network_agree_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model);
        let (folder, cpu) = (both(model).component(UNET).unwrap(), Device::Cpu);
        let conditioning = families::open_image_conditioning(&folder, cpu, Kind::Float).unwrap();
        let unet = families::open_image_decoder(&folder, cpu, Kind::Float).unwrap();
        no_grad(|| {
            let conditions = conditioning.forward(record.get("embedding"));
            record.agree(model, "added", &conditions.added);
            record.agree(model, "context", &conditions.context);
            assert!(conditions.mask.is_none());
            let (noised, timesteps) = (record.get("noised"), record.get("timesteps"));
            let predicted = unet.forward(noised, timesteps, Some(&conditions));
            record.agree(model, "predicted", &predicted);
        });
    }
}

#[test]
fn autoencoder_agrees_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model);
        let folder = both(model).component(MOVQ).unwrap();
        let movq = families::open_movq(&folder, Device::Cpu, Kind::Float).unwrap();
        record.agree(model, "encoded", &movq.encode(record.get("images")));
        let latents = record.get("encoded");
        record.agree(model, "decoded", &movq.decode(latents));
        let quantized = movq.quantize(latents);
        record.agree(model, "quantized", &quantized);
        record.agree(model, "decoded_codes", &movq.decode(&quantized));
        let scale = movq.config().scale_factor();
        assert_eq!(record.get("images").size()[2], scale * latents.size()[2]);
        // A batch is decoded image by image.
        let alone = movq.decode(&latents.narrow(0, 1, 1));
        assert_eq!(alone, movq.decode(latents).narrow(0, 1, 1));
    }
}

#[test]
fn embedding_of_an_image_of_zeros_is_the_references() {
    for model in MODELS {
        let record = Record::read(model);
        let folder = both(model).component(IMAGE_ENCODER).unwrap();
        let encoder = families::open_image_encoder(&folder, Device::Cpu, Kind::Float).unwrap();
        let side = encoder.config().image_size();
        let zeros = Tensor::zeros([1, 3, side, side], (Kind::Float, Device::Cpu));
        record.agree(model, "zero_embedding", &no_grad(|| encoder.forward(&zeros)));
        // The pipeline's is the same, one row an image.
        let pipeline = pipeline::Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap();
        let embedding = pipeline.unconditional_embedding(2).unwrap();
        record.agree(model, "zero_embedding", &embedding.narrow(0, 1, 1));
        assert_eq!(embedding.size(), [2, pipeline.embedding_width().unwrap()]);
    }
}

fn scheduler(model: &str) -> SchedulerConfig {
    let folder = both(model).component(SCHEDULER).unwrap();
    kandinsky().open_scheduler(&folder, SCHEDULER).unwrap()
}

#[test]
fn scheduler_steps_agree_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model);
        let config = scheduler(model);
        assert_eq!(config.clip_range.is_some(), model == "two");
        let sampler = Sampler::unclip(&config);
        let steps = sampler.steps(&TimestepRespacing::Count(7)).unwrap();
        let visited: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
        assert_eq!(visited, Vec::<i64>::try_from(record.get("steps")).unwrap());
        for index in [0, 3, 5] {
            let get = |name: &str| record.get(&format!("step.{index}.{name}"));
            let output = Output::plain(get("output").shallow_clone());
            let step: Step = steps[index];
            let result = take_step(&sampler, output, step, get("sample"), Some(get("noise")));
            agree(&format!("{model}: step {index}"), &result, get("result"), STEP);
        }
    }
}

/// The table of the published scheduler, and a few of its steps.
#[test]
fn leading_steps_begin_at_their_offset() {
    let steps = |count| {
        let steps = Sampler::unclip(&scheduler("two")).steps(&TimestepRespacing::Count(count));
        steps.map(|steps| steps.iter().map(|step| step.timestep).collect::<Vec<_>>())
    };
    let fifty = steps(50).unwrap();
    assert_eq!((fifty.len(), &fifty[..2], fifty[49]), (50, &[981, 961][..], 1));
    assert_eq!(steps(3).unwrap(), [667, 334, 1]);
    assert_eq!(steps(1).unwrap(), [1]);
    assert_eq!(steps(999).unwrap().len(), 999);
    // The first of a thousand strides would lie beyond the tables, where the reference fails too.
    for count in [0, 1000, 1001] {
        assert!(steps(count).is_err(), "{count}");
    }
    // A larger offset leads beyond them in longer strides too.
    let spacing = TimestepSpacing::Leading { offset: 500 };
    let error = spacing.steps(3, 1000).unwrap_err().to_string();
    assert!(error.contains("steps_offset 500") && error.contains("timestep 1166"), "{error}");
    assert_eq!(spacing.steps(2, 1001).unwrap()[0].timestep, 1000);
}

#[test]
fn both_repositories_are_recognised() {
    for model in MODELS {
        for folder in [decoder(model), prior(model)] {
            assert_eq!(recognise(&folder).name, "Kandinsky 2.2", "{folder}");
        }
    }
}

/// Where a component lies, or the repository that an error names.
fn place(folders: &ModelFolders, component: &'static str) -> Result<String, &'static str> {
    match folders.component(component) {
        Ok(folder) => Ok(folder.to_string()),
        Err(Error::Missing { repository, .. }) => Err(repository.unwrap_or("none")),
        Err(error) => panic!("{component}: {error}"),
    }
}

#[test]
fn components_of_both_repositories_are_found_by_their_own_names() {
    let [decoder, prior] = ["decoder", "prior"].map(|name| data("two").join(name));
    let found = |component| place(&both("two"), component).unwrap();
    for (component, folder) in [
        (UNET, decoder.join("unet")),
        (SCHEDULER, decoder.join("scheduler")),
        (MOVQ, decoder.join("movq")),
        (PRIOR, prior.join("prior")),
        (PRIOR_SCHEDULER, prior.join("scheduler")),
        (TOKENIZER, prior.join("tokenizer")),
        (IMAGE_ENCODER, prior.join("image_encoder")),
    ] {
        assert_eq!(Path::new(&found(component)), folder, "{component}");
    }
}

#[test]
fn the_other_repository_is_named_where_a_component_is_missing() {
    let alone = ModelFolders::new(decoder("two"));
    assert!(place(&alone, SCHEDULER).is_ok());
    for component in [PRIOR, PRIOR_SCHEDULER, TOKENIZER, IMAGE_ENCODER] {
        assert_eq!(place(&alone, component), Err("kandinsky-community/kandinsky-2-2-prior"));
    }
    let alone = ModelFolders::new(prior("two"));
    assert!(place(&alone, PRIOR_SCHEDULER).is_ok());
    for component in [UNET, SCHEDULER, MOVQ] {
        assert_eq!(place(&alone, component), Err("kandinsky-community/kandinsky-2-2-decoder"));
    }
    let Err(Error::Missing { completion, .. }) =
        ModelFolders::new(decoder("two")).component(TOKENIZER)
    else {
        panic!("there is no tokenizer");
    };
    assert_eq!(completion, Some(Completion::Prior));
}
