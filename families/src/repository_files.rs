//! The files of a repository that a model needs, by their names: the fewest that open it, in one format of weights.
//!
//! The choice is `DiffusionPipeline.from_pretrained`'s: safetensors where every network of a pipeline has such, else what
//! `torch.save` writes, for all of them; a variant where a network has it, else its plain weights. Flax, TensorFlow, ONNX,
//! OpenVINO and single files at the root are never chosen.

use files::json;
use files::text::excerpt;
use serde_json::{Map, Value};
use weights::{listed, variants, weights_among};

use crate::clip_files::{OPEN_CLIP_CONFIG, open_clip_weights};
use crate::convert::is_licence;
use crate::describe::class;
use crate::karlo::INDEX;
use crate::open::{CODES, CONFIG, DENOISING_ERRORS, PROCESSOR_CONFIG};
use crate::{Class, Family, all_families, karlo};

/// Small files beside the weights of a model without an index: a CLIP's tokenizer and its preprocessing of images.
const COMPANIONS: [&str; 13] = [
    CONFIG,
    DENOISING_ERRORS,
    OPEN_CLIP_CONFIG,
    PROCESSOR_CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "words.txt",
    "nearest_words.txt",
    "bpe_simple_vocab_16e6.txt.gz",
];

/// The formats of weights, by the endings of their names, the best first.
const FORMATS: [&str; 2] = ["safetensors", "bin"];

/// The ends of the names of classes that have no weights.
const WITHOUT_WEIGHTS: [&str; 5] =
    ["Scheduler", "Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor"];

/// Why a repository's files make no model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// No file says what the others are.
    #[error("it holds {found}, and a model has a {INDEX}, or a {CONFIG} beside its weights")]
    NoDescription {
        /// The files and folders at its root.
        found: String,
    },
    /// The file that describes the others cannot be read.
    #[error("its {file} cannot be read: {reason}")]
    Description {
        /// The file.
        file: &'static str,
        /// The problem.
        reason: String,
    },
    /// A pipeline or a network that nothing opens here.
    #[error("it holds a {class}, and {} opens here, as {} is", readable(.file), karlo().example)]
    OtherClass {
        /// The class.
        class: String,
        /// The file that names it.
        file: &'static str,
    },
    /// A part of the model is not there.
    #[error("it has no {component}/")]
    NoComponent {
        /// The part's folder.
        component: String,
    },
    /// A network without weights in a format that is read.
    #[error("{} no weights that can be read: {found}", place(.component))]
    NoWeights {
        /// The network's folder; empty for the root.
        component: String,
        /// The files that are there.
        found: String,
    },
    /// No network has weights of the variant.
    #[error("no part of it has weights of the variant {variant}: {found}")]
    NoVariant {
        /// The variant.
        variant: String,
        /// Those that are there, as the end of a sentence.
        found: String,
    },
}

/// The beginning of a sentence about the weights in a folder.
fn place(component: &str) -> String {
    match component {
        "" => "it has".to_owned(),
        component => format!("its {component}/ has"),
    }
}

/// The classes that open, for a sentence about another in `file`.
fn readable(file: &str) -> String {
    match file {
        INDEX => format!("an {}Pipeline", karlo().pipeline),
        _ => "a CLIP or a part of a pipeline".to_owned(),
    }
}

/// The file among those of a repository that says what the others are. It is read before they are chosen.
pub fn description_file(files: &[String]) -> Result<&'static str, RepositoryError> {
    let has = |name: &str| files.iter().any(|file| file == name);
    let root = names_in(files, "");
    let is_open_clip = has(OPEN_CLIP_CONFIG) && Weights::of(&root, None).is_none();
    if has(INDEX) {
        Ok(INDEX)
    } else if is_open_clip {
        Ok(OPEN_CLIP_CONFIG)
    } else if has(CONFIG) {
        Ok(CONFIG)
    } else {
        Err(RepositoryError::NoDescription { found: listed(&entries(files)) })
    }
}

/// The files of a model, all of whose repository's are `files`, with `/` between folders; `description` holds the bytes of
/// the [`description_file`]. Of a pipeline these are the parts that its family uses, or of them the named `components` alone;
/// of weights the `variant` is taken where a network has it. An error for what nothing opens here, and where files are missing.
pub fn model_files(
    files: &[String],
    description: &[u8],
    variant: Option<&str>,
    components: Option<&[&str]>,
) -> Result<Vec<String>, RepositoryError> {
    let file = description_file(files)?;
    let parsed = json::parse(description, json::CONFIGURATION);
    let parsed: Map<String, Value> = parsed.map_err(|error| RepositoryError::Description {
        file,
        reason: excerpt(&error.to_string()),
    })?;
    let class = class(&parsed).unwrap_or_else(|| "network without a class".to_owned());
    if file != INDEX {
        let opens = file == OPEN_CLIP_CONFIG || is_readable(&class, description);
        return match opens {
            true => folder_files(files, file, variant),
            false => Err(RepositoryError::OtherClass { class, file }),
        };
    }
    let mut families = all_families().into_iter();
    let Some(family) = families.find(|family| class.starts_with(family.pipeline)) else {
        return Err(RepositoryError::OtherClass { class, file });
    };
    let prefix = family.absent_prefix(|name| parsed.contains_key(name));
    let uses = |folder: &str| {
        let mut all = family.all_components().into_iter();
        let component = all.find(|component| component.strip_prefix(prefix) == Some(folder));
        let is_wanted = |name: &str| components.is_none_or(|wanted| wanted.contains(&name));
        component.is_some_and(is_wanted)
    };
    let parts = PipelineComponent::of_index(&parsed).into_iter();
    let parts = parts.chain(unlisted(files, &family)).filter(|part| uses(&part.name));
    let parts: Vec<_> = parts.collect();
    match components {
        Some([first, ..]) if parts.is_empty() => {
            Err(RepositoryError::NoComponent { component: (*first).to_owned() })
        }
        _ => pipeline_files(files, &parts, variant),
    }
}

/// A part of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineComponent {
    /// Its folder.
    pub name: String,
    /// Whether it is a network.
    pub has_weights: bool,
}

impl PipelineComponent {
    /// The parts that a pipeline's index names: a list of a library and a class each. What is null is left out.
    pub fn of_index(index: &Map<String, Value>) -> Vec<Self> {
        let part = |(name, value): (&String, &Value)| {
            let class = value.as_array()?.get(1)?.as_str()?;
            let has_weights = !WITHOUT_WEIGHTS.iter().any(|end| class.ends_with(end));
            Some(Self { name: name.clone(), has_weights })
        };
        index.iter().filter_map(part).collect()
    }
}

/// The files of a pipeline of these parts: its index, each part's configuration, tokenizer and weights, and licences.
pub fn pipeline_files(
    files: &[String],
    components: &[PipelineComponent],
    variant: Option<&str>,
) -> Result<Vec<String>, RepositoryError> {
    let folders = components.iter().map(|part| (part, names_in(files, &part.name)));
    let folders: Vec<_> = folders.collect();
    if let Some((part, _)) = folders.iter().find(|(_, names)| names.is_empty()) {
        return Err(RepositoryError::NoComponent { component: part.name.clone() });
    }
    let networks = folders.iter().filter(|(part, _)| part.has_weights);
    let networks: Vec<_> = networks.map(|(_, names)| Weights::of(names, variant)).collect();
    check_variant(folders.iter().map(|(_, names)| names), variant)?;
    let format = format_of_all(&networks, variant);
    let mut chosen: Vec<String> =
        names_in(files, "").into_iter().filter(|name| name == INDEX || is_licence(name)).collect();
    for (part, names) in &folders {
        let mut needed: Vec<&String> = names.iter().filter(|name| is_text(name)).collect();
        let weights = part.has_weights.then(|| Weights::of(names, variant));
        let weights = match weights {
            None => Vec::new(),
            Some(Some(weights)) => weights.in_format(format),
            Some(None) => {
                let (component, found) = (part.name.clone(), listed(names));
                return Err(RepositoryError::NoWeights { component, found });
            }
        };
        needed.extend(weights.iter());
        chosen.extend(needed.into_iter().map(|name| format!("{}/{name}", part.name)));
    }
    Ok(chosen)
}

/// The files of a model without an index, whose files lie at the repository's root.
fn folder_files(
    files: &[String],
    description: &'static str,
    variant: Option<&str>,
) -> Result<Vec<String>, RepositoryError> {
    let names = names_in(files, "");
    let weights = match Weights::of(&names, variant) {
        Some(weights) => {
            check_variant([&names].into_iter(), variant)?;
            let format = format_of_all(&[Some(weights.clone())], variant);
            weights.in_format(format)
        }
        None => {
            let whole = |name: &&str| names.iter().any(|file| file == name);
            let is_open_clip = description == OPEN_CLIP_CONFIG;
            let name = open_clip_weights().into_iter().find(whole).filter(|_| is_open_clip);
            let Some(name) = name else {
                let found = listed(&names);
                return Err(RepositoryError::NoWeights { component: String::new(), found });
            };
            vec![name.to_owned()]
        }
    };
    let is_small =
        |name: &String| COMPANIONS.contains(&&**name) || name == CODES || is_licence(name);
    Ok(names.iter().filter(|name| is_small(name)).cloned().chain(weights).collect())
}

/// The weights of a network in each of [`FORMATS`].
#[derive(Clone)]
struct Weights([Option<WeightsInFormat>; 2]);

/// Weights in one format.
#[derive(Clone)]
struct WeightsInFormat {
    names: Vec<String>,
    /// Whether they are of the variant that was named.
    is_variant: bool,
}

impl Weights {
    /// Those of `variant` where there are such, else the plain ones; where no variant is named and nothing is plain, those of
    /// the only variant.
    fn of(names: &[String], variant: Option<&str>) -> Option<Self> {
        let formats = FORMATS.map(|format| {
            let weights = |variant: Option<&str>| {
                let names = weights_among(names, variant, format)?;
                Some(WeightsInFormat { names, is_variant: variant.is_some() })
            };
            variant.and_then(|variant| weights(Some(variant))).or_else(|| weights(None))
        });
        if formats.iter().any(Option::is_some) {
            return Some(Self(formats));
        }
        let only: Vec<String> = variants(names).into_iter().take(2).collect();
        match (&only[..], variant) {
            ([only], None) => Self::of(names, Some(only)),
            _ => None,
        }
    }

    /// Those in the format with this index, or in the other where there are none.
    fn in_format(&self, format: usize) -> Vec<String> {
        let other = || self.0.iter().find_map(Option::as_ref);
        let weights = self.0[format].as_ref().or_else(other);
        weights.map(|weights| weights.names.clone()).unwrap_or_default()
    }
}

/// The index of the first format that all networks have, and some of them in the variant where one is named; else of the first
/// that all have, or of the last.
fn format_of_all(networks: &[Option<Weights>], variant: Option<&str>) -> usize {
    let weights = |format: usize| networks.iter().flatten().map(move |w| w.0[format].as_ref());
    let all = |&format: &usize| weights(format).all(|weights| weights.is_some());
    let varies = |format: usize| weights(format).flatten().any(|weights| weights.is_variant);
    let formats = || (0..FORMATS.len()).filter(all);
    let first = formats().find(|&format| variant.is_none() || varies(format));
    first.or_else(|| formats().next()).unwrap_or(FORMATS.len() - 1)
}

/// Refuses a variant that none of these folders has weights of.
fn check_variant<'a>(
    folders: impl Iterator<Item = &'a Vec<String>>,
    variant: Option<&str>,
) -> Result<(), RepositoryError> {
    let Some(variant) = variant else {
        return Ok(());
    };
    let mut found: Vec<String> = folders.flat_map(|names| variants(names)).collect();
    found.sort();
    found.dedup();
    if found.iter().any(|name| name == variant) {
        return Ok(());
    }
    Err(RepositoryError::NoVariant {
        variant: excerpt(variant),
        found: match found.is_empty() {
            true => "all of its weights are plain".to_owned(),
            false => format!("there is {}", listed(&found)),
        },
    })
}

/// The components of our own, which other programs' indices do not name, with a folder in the repository.
fn unlisted(files: &[String], family: &Family) -> Vec<PipelineComponent> {
    let mut names = family.all_components();
    names.retain(|name| family.class_of(name).is_none() && !names_in(files, name).is_empty());
    let component = |name: &str| PipelineComponent { name: name.to_owned(), has_weights: true };
    names.into_iter().map(component).collect()
}

/// Whether a configuration is that of a network which opens without the rest of a pipeline.
fn is_readable(class: &str, config: &[u8]) -> bool {
    let is_part = |of: &Class| of.class == class;
    class.to_ascii_lowercase().starts_with("clip")
        || all_families().iter().any(|family| family.classes.iter().any(is_part))
        || crate::configs::is_autoregressive(config)
}

/// Whether a file of a component is one of the small ones that describe it, and no index of shards.
fn is_text(name: &str) -> bool {
    let ends = [".json", ".txt", ".model", ".bpe", ".gz"];
    name == CODES || ends.iter().any(|end| name.ends_with(end)) && !name.contains(".index")
}

/// The names of the files in a folder, not of those in folders within it. The root's folder is "".
fn names_in(files: &[String], folder: &str) -> Vec<String> {
    let name = |file: &String| {
        let name = match folder {
            "" => file,
            folder => file.strip_prefix(folder)?.strip_prefix('/')?,
        };
        (!name.contains('/')).then(|| name.to_owned())
    };
    files.iter().filter_map(name).collect()
}

/// The files and folders at the root, hidden ones left out.
fn entries(files: &[String]) -> Vec<String> {
    let entry = |file: &String| match file.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => file.clone(),
    };
    let mut entries: Vec<String> = files.iter().map(entry).collect();
    entries.retain(|name| !name.starts_with('.'));
    entries.sort();
    entries.dedup();
    entries
}
