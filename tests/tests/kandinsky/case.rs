//! A recorded case: what it asks for, and its pictures.

use image::RgbImage;
use noise::Generator;
use pipeline::{MixCondition, Pipeline, Request, Settings, Silent, TimestepRespacing};
use serde::Deserialize;
use tch::Tensor;

use super::{data, json};
use crate::golden::pictures::same_picture;

/// A case of `cases.json` in a folder of a model's records.
#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) caption: String,
    pub(super) negative_caption: Option<String>,
    pub(super) seed: u64,
    pub(super) pictures: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The image to start from, or to inpaint, and the strength.
    pub(super) image: Option<String>,
    pub(super) strength: Option<f64>,
    /// The image whose embedding the prior starts from, and the strength.
    pub(super) prior_image: Option<String>,
    pub(super) prior_strength: Option<f64>,
    pub(super) hint: Option<String>,
    /// The conditions of a mix, and their weights.
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    weights: Vec<f64>,
    prior_steps: usize,
    prior_guidance_scale: f64,
    pub(super) decoder_steps: usize,
    decoder_guidance_scale: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Caption(String),
    Image(String),
}

/// The cases in a folder of a model's records.
pub(super) fn cases(model: &str, folder: &str) -> Vec<Case> {
    json(model, &format!("{folder}/cases.json"))
}

/// A case by its name.
pub(super) fn case(model: &str, folder: &str, name: &str) -> Case {
    cases(model, folder).into_iter().find(|case| case.name == name).unwrap()
}

/// A picture in a folder of a model's records.
pub(super) fn recorded(model: &str, folder: &str, name: &str) -> RgbImage {
    let file = data(model).join(folder).join(format!("pictures/{name}.png"));
    image::open(file).unwrap().to_rgb8()
}

/// One of the images that all records start from.
pub(super) fn golden_image(name: &str) -> RgbImage {
    let path = crate::golden::data().join("images").join(name);
    images::read_image(&path).unwrap().image
}

/// Every picture of the cases in a folder, drawn alone and together with the others of its case.
pub(super) fn pictures_are_the_references(
    model: &str,
    folder: &str,
    pipeline: &Pipeline,
    request: impl Fn(&Case, u64) -> Request,
) {
    for case in cases(model, folder) {
        let requests: Vec<Request> = (0..case.pictures).map(|n| request(&case, n)).collect();
        let together = pipeline.sample(&requests, &mut Silent).unwrap();
        for (index, together) in together.iter().enumerate() {
            let name = format!("{}-{index}", case.name);
            let alone = pipeline.sample(&requests[index..=index], &mut Silent).unwrap().remove(0);
            assert_eq!(alone.dimensions(), (case.width, case.height), "{name}");
            let recorded = recorded(model, folder, &name);
            same_picture(&format!("{model}/{folder}/{name}"), &alone, &recorded);
            same_picture(&format!("{model}/{folder}/{name} in a batch"), together, &recorded);
        }
    }
}

impl Case {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::of_family(&families::kandinsky());
        let prior = settings.prior.as_mut().unwrap();
        prior.steps = self.prior_steps;
        prior.guidance_scale = self.prior_guidance_scale;
        prior.strength = self.prior_strength;
        settings.stages[0].steps = TimestepRespacing::Count(self.decoder_steps);
        settings.stages[0].guidance_scale = Some(self.decoder_guidance_scale);
        (settings.width, settings.height) = (Some(self.width), Some(self.height));
        settings.strength = self.strength;
        settings
    }

    /// A request for a picture of the captions alone.
    pub(super) fn request(&self, index: u64) -> Request {
        let request = Request::new(self.caption.as_str(), self.seed + index, self.settings());
        Request { negative_caption: self.negative_caption.clone(), ..request }
    }

    /// A stream of noise for each picture.
    pub(super) fn streams(&self) -> Vec<Generator> {
        (self.seed..self.seed + self.pictures).map(Generator::new).collect()
    }

    /// The embedding of the image that the prior starts from.
    pub(super) fn prior_embedding(&self, pipeline: &Pipeline) -> Tensor {
        let name = self.prior_image.as_ref().unwrap();
        pipeline.encode_images(&[golden_image(name)]).unwrap()
    }

    /// The conditions of a mix with their weights.
    pub(super) fn conditions(&self, pipeline: &Pipeline) -> Vec<(MixCondition, f64)> {
        let condition = |condition: &Condition| match condition {
            Condition::Caption(caption) => MixCondition::Caption(caption.clone()),
            Condition::Image(name) => {
                MixCondition::Image(pipeline.encode_images(&[golden_image(name)]).unwrap())
            }
        };
        self.conditions.iter().map(condition).zip(self.weights.iter().copied()).collect()
    }
}
