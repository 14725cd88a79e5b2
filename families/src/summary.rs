//! Summaries of models: what a folder holds and what can be done with it, from headers and configurations alone.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use weights::{Folder, WeightSummary};

use crate::clip_files::clip_layout;
use crate::components::{Component, is_whole_clip};
use crate::{
    Completion, Error, Family, PriorKind, Requirement, Shapes, Stage, StageShapes, compatibility,
    describe, glide, karlo_files, recognise,
};

/// A model, or a component of one. No tensor is read for it.
#[derive(Clone, Debug, Serialize)]
pub struct ModelSummary {
    /// The family's name; `None` for a component alone.
    pub family: Option<&'static str>,
    /// A description of a folder that is no whole model.
    pub description: Option<String>,
    /// The components that are there, in the order in which they work.
    pub components: Vec<ComponentSummary>,
    /// The weights of all of them.
    pub weights: WeightSummary,
    /// The memory that the weights take, in f32 and in half precision.
    pub memory: [MemorySummary; 2],
    /// The abilities of the family, each with what is missing for it.
    pub abilities: Vec<AbilitySummary>,
    /// Whether its decoder draws by a hint, and without one not.
    pub takes_hint: bool,
    /// The components that do not fit each other, and configurations that cannot be read, as sentences.
    pub problems: Vec<String>,
}

/// A component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentSummary {
    /// Its folder; empty for a component alone.
    pub component: &'static str,
    /// Its weights, where it has such and they can be read.
    pub weights: Option<WeightSummary>,
    /// Why they cannot be read.
    pub problem: Option<String>,
}

/// The memory that weights take, in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct MemorySummary {
    /// The types that they are in.
    pub dtypes: &'static [&'static str],
    /// That of all components.
    pub all: u64,
    /// That of the largest one, where one is held at a time.
    pub largest: u64,
}

/// Something that a family can do.
#[derive(Clone, Debug, Serialize)]
pub struct AbilitySummary {
    /// The ability.
    pub ability: Ability,
    /// The folders of the components that are missing for it, or the published files that they are in.
    pub missing: Vec<String>,
}

/// A use of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Ability {
    /// Images of captions.
    Generate,
    /// Images of captions, guided by the gradient of a CLIP (2112.10741, section 2.4).
    ClipGuidance,
    /// Images of an image (2204.06125, section 3.1).
    Variations,
    /// Images between images and captions (2204.06125, section 3.2).
    Interpolate,
    /// Images of the weighted sum of images' and captions' embeddings.
    Mix,
    /// Images moved by the difference of two captions (2204.06125, section 3.3).
    Edit,
    /// Images of the principal components of an embedding (2204.06125, section 4).
    Reconstruct,
    /// The latents of an image (2204.06125, section 3).
    Invert,
    /// CLIP's embeddings of images and captions.
    Embed,
    /// The labels that images show.
    Classify,
    /// The images that a caption or an image is closest to.
    Search,
    /// Images of which a part is painted anew (2112.10741, section 4.3; 2201.09865).
    Inpaint,
}

impl Ability {
    /// Whether it draws from image embeddings by commands that take no hint.
    fn draws_without_hints(self) -> bool {
        use Ability::{Edit, Inpaint, Interpolate, Invert, Mix, Reconstruct, Variations};
        matches!(self, Variations | Interpolate | Mix | Edit | Reconstruct | Invert | Inpaint)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Generate => "generate",
            Self::ClipGuidance => "CLIP guidance",
            Self::Variations => "variations",
            Self::Interpolate => "interpolate",
            Self::Mix => "mix",
            Self::Edit => "edit",
            Self::Reconstruct => "reconstruct",
            Self::Invert => "invert",
            Self::Embed => "embed",
            Self::Classify => "classify",
            Self::Search => "search",
            Self::Inpaint => "inpaint",
        })
    }
}

/// The summary of the model in `folder`, or of the component that it is the folder of. An error that describes a folder
/// which is neither.
pub fn summarize_model(folder: &Folder) -> Result<ModelSummary, Error> {
    summarize_completed_model(folder, None)
}

/// The same, of a model whose abilities may need components of another folder.
pub fn summarize_completed_model(
    folder: &Folder,
    completing: Option<&Folder>,
) -> Result<ModelSummary, Error> {
    let description = describe(folder);
    let alone = Component::alone(folder);
    let is_clip = alone.is_some() && clip_layout(folder).is_some();
    if description.is_none() || is_clip {
        let family = recognise(folder);
        let components = Component::all(folder, &family);
        let mut names: Vec<_> = components.iter().map(|component| component.name).collect();
        let completion = match family.companion {
            Some(_) => Completion::Prior,
            None => Completion::ImageEncoder,
        };
        let others = family.completing_components(completion).into_iter();
        names.extend(others.filter(|name| {
            completing.is_some_and(|folder| family.component_in(folder, name).is_some())
        }));
        let mut summary = ModelSummary::of(components, description);
        summary.family = Some(if is_whole_clip(folder) { "CLIP" } else { family.name });
        summary.add_abilities(folder, &family, &names);
        summary.add_problems(folder, &family);
        return Ok(summary);
    }
    match alone {
        Some(component) => Ok(ModelSummary::of(vec![component], description)),
        None => Err(Error::NoComponent { folder: folder.to_string(), found: description }),
    }
}

impl ModelSummary {
    fn of(components: Vec<Component>, description: Option<String>) -> Self {
        let components: Vec<_> = components.iter().map(ComponentSummary::of).collect();
        let parts = || components.iter().filter_map(|component| component.weights.as_ref());
        let mut weights = WeightSummary::default();
        parts().for_each(|part| weights.add(part));
        let largest = parts().map(|part| part.parameters).max().unwrap_or(0);
        let memory = |dtypes, bytes| MemorySummary {
            dtypes,
            all: bytes * weights.parameters,
            largest: bytes * largest,
        };
        Self {
            family: None,
            description,
            memory: [memory(&["f32"], 4), memory(&["bf16", "f16"], 2)],
            components,
            weights,
            abilities: Vec::new(),
            takes_hint: false,
            problems: Vec::new(),
        }
    }

    /// The abilities of a family, with the components that are missing among those with these names.
    fn add_abilities(&mut self, folder: &Folder, family: &Family, names: &[&str]) {
        let has = |name: &str| names.contains(&name);
        let autoregressive = family.prior_components(PriorKind::Autoregressive);
        let diffusion = family.prior_components(PriorKind::Diffusion);
        let all = |names: &[&str]| !names.is_empty() && names.iter().all(|name| has(name));
        let kind = match all(&autoregressive) && !all(&diffusion) {
            true => PriorKind::Autoregressive,
            false => PriorKind::Diffusion,
        };
        let inpainting: Vec<_> =
            family.inpainting_stages.iter().flat_map(Stage::components).collect();
        let base =
            Shapes::read(folder, family).ok().and_then(|shapes| shapes.stages.into_iter().next());
        self.takes_hint = base.as_ref().is_some_and(StageShapes::takes_hint);
        let by_hints = self.takes_hint;
        let mut abilities = abilities(family, kind, all(&inpainting));
        abilities.retain(|(ability, _)| !(by_hints && ability.draws_without_hints()));
        let elsewhere = inpainting_elsewhere(family, base.as_ref());
        let abilities = abilities.into_iter().map(|(ability, components)| {
            let missing = components.into_iter().filter(|name| !has(name));
            let mut missing: Vec<String> = missing
                .map(|name| match glide::is_published(folder) {
                    true => glide::missing_file(name),
                    false => match karlo_files::missing_file(folder, name) {
                        Some(file) => file.to_owned(),
                        None => missing_folder(folder, family, name),
                    },
                })
                .collect();
            let mut names = HashSet::new();
            missing.retain(|name| names.insert(name.clone()));
            if let (Ability::Inpaint, Some(repository)) = (ability, elsewhere) {
                missing.retain(|name| name != family.example);
                missing.push(repository.to_owned());
            }
            AbilitySummary { ability, missing }
        });
        self.abilities = abilities.collect();
    }

    fn add_problems(&mut self, folder: &Folder, family: &Family) {
        match Shapes::read(folder, family) {
            Ok(shapes) => {
                let mismatches = compatibility::mismatches(&shapes, family);
                self.problems = mismatches.iter().map(ToString::to_string).collect();
            }
            Err(error) => self.problems.push(error.to_string()),
        }
        if let Err(error) = crate::read_model_defaults(folder, family) {
            self.problems.push(error.to_string());
        }
    }
}

impl ComponentSummary {
    fn of(component: &Component) -> Self {
        let (weights, problem) = match component.weights() {
            None => (None, None),
            Some(Ok(weights)) => (Some(weights), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        Self { component: component.folder_name, weights, problem }
    }
}

/// A component's folder, and where it is published if that is elsewhere.
fn missing_folder(folder: &Folder, family: &Family, component: &'static str) -> String {
    match family.repository_of(folder, component) {
        Some(repository) => repository.to_owned(),
        None => format!("{component}/"),
    }
}

/// The repository that inpaints where latents are denoised, and the base network of these shapes takes no mask.
fn inpainting_elsewhere(family: &Family, base: Option<&StageShapes>) -> Option<&'static str> {
    let repository = family.inpainting_example.filter(|_| family.denoises_latents())?;
    let (stage, network) = (family.stages.first()?, base?.network.as_ref());
    (!network.is_some_and(|network| stage.inpaints(network))).then_some(repository)
}

/// The abilities of models of a family, each with the components that it needs: a prior of this kind samples, and where
/// `inpaints` is true the stages that were trained to inpaint do.
fn abilities(
    family: &Family,
    kind: PriorKind,
    inpaints: bool,
) -> Vec<(Ability, Vec<&'static str>)> {
    // What an image is compared with is another image where no caption says it.
    let alone = family.decodes_embeddings_alone();
    let images = Requirement {
        text: !alone,
        image_encoder: alone,
        stages: family.stages.len(),
        ..Requirement::default()
    };
    let prior = family.decodes_embeddings().then_some(kind);
    let generate = Requirement { text: true, prior, ..images };
    let mut abilities = vec![(Ability::Generate, family.components(generate))];
    if family.noised_clip.is_some() {
        let guided = Requirement { noised_clip: true, ..generate };
        abilities.push((Ability::ClipGuidance, family.components(guided)));
    }
    if family.clip.is_some() && family.decodes_embeddings() {
        let vary = Requirement { image_encoder: true, ..images };
        let both = Requirement { text: true, prior, ..vary };
        let invert = Requirement { stages: 1, ..vary };
        abilities.extend([
            (Ability::Variations, family.components(vary)),
            (Ability::Interpolate, family.components(both)),
            (Ability::Mix, family.components(both)),
            (Ability::Edit, family.components(Requirement { text: true, ..vary })),
            (Ability::Invert, family.components(invert)),
        ]);
        abilities.extend(family.principal_components.map(|principal| {
            let components = family.components(vary).into_iter().chain([principal]);
            (Ability::Reconstruct, components.collect())
        }));
    }
    if family.clip.is_some() {
        let compare = Requirement { text: true, image_encoder: true, ..Requirement::default() };
        let compare = family.components(compare);
        let abilities_of_clip = [Ability::Embed, Ability::Classify, Ability::Search];
        abilities.extend(abilities_of_clip.map(|ability| (ability, compare.clone())));
    }
    if !family.denoises_latents() || family.inpainting_example.is_some() {
        let inpaint = Requirement { inpaints, ..generate };
        abilities.push((Ability::Inpaint, family.components(inpaint)));
    }
    abilities
}
