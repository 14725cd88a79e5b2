//! The components that a folder holds, each with what opens it, in any layout that is read.

use tch::{Device, Kind};
use weights::{Checkpoint, Folder, WeightSummary};

use crate::clip_files::{
    ClipLayout, check_clip_file, clip_checkpoint, clip_layout, has_tokenizer, ignored_prefixes,
    own_layout,
};
use crate::describe::config_class;
use crate::karlo::INDEX;
use crate::open::{CONFIG, PROCESSOR_CONFIG};
use crate::save::{DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS};
use crate::{
    Class, Condition, Error, Family, describe, glide, kandinsky, karlo, karlo_files, may_be_clip,
};

/// The kind of a component, which says how it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComponentKind {
    Tokenizer,
    TextEncoder,
    ImageEncoder,
    ImageProcessor,
    /// Both towers of CLIP, with all that belongs to them.
    WholeClip,
    Prior,
    AutoregressivePrior,
    PrincipalComponents,
    Conditioning,
    Decoder,
    /// A decoder that projects image embeddings itself.
    ImageDecoder,
    Autoencoder,
    Upsampler,
    /// A distilled network.
    Student,
    Scheduler,
    LeadingScheduler,
    /// A network of GLIDE's.
    GlideNetwork,
    GlideScheduler,
    GlideTokenizer,
    NoisedClipTokenizer,
}

/// A component that is there.
pub(crate) struct Component {
    /// Its name in the family, empty where the component is all that there is.
    pub name: &'static str,
    /// The name of its folder in the model, empty where the component is all that there is.
    pub folder_name: &'static str,
    pub kind: ComponentKind,
    /// Where its files lie: its own folder, or one with several components.
    pub folder: Folder,
}

impl Family {
    /// The kind of a component, which says how it is opened.
    fn component_kind(&self, component: &str) -> Option<ComponentKind> {
        let mut kinds = Vec::new();
        if let Some(clip) = self.clip {
            kinds.extend([
                (clip.tokenizer, ComponentKind::Tokenizer),
                (clip.text_encoder, ComponentKind::TextEncoder),
                (clip.image_encoder, ComponentKind::ImageEncoder),
                (clip.image_processor, ComponentKind::ImageProcessor),
            ]);
        }
        if let Some(clip) = self.noised_clip {
            kinds.extend([
                (clip.tokenizer, ComponentKind::NoisedClipTokenizer),
                (clip.text_encoder, ComponentKind::GlideNetwork),
                (clip.image_encoder, ComponentKind::GlideNetwork),
            ]);
        }
        if let Some(prior) = self.prior {
            kinds.push((prior.network, ComponentKind::Prior));
            kinds.push((prior.scheduler, ComponentKind::Scheduler));
        }
        let autoregressive = self.autoregressive_prior;
        kinds.extend(autoregressive.map(|name| (name, ComponentKind::AutoregressivePrior)));
        let principal = self.principal_components;
        kinds.extend(principal.map(|name| (name, ComponentKind::PrincipalComponents)));
        for stage in self.stages.iter().chain(&self.inpainting_stages) {
            let (network, scheduler) = match stage.condition {
                Condition::None => (ComponentKind::Upsampler, ComponentKind::Scheduler),
                Condition::Embedding { projection } => {
                    kinds.push((projection, ComponentKind::Conditioning));
                    (ComponentKind::Decoder, ComponentKind::Scheduler)
                }
                Condition::ImageEmbedding => {
                    (ComponentKind::ImageDecoder, ComponentKind::LeadingScheduler)
                }
                Condition::Caption { tokenizer, text_encoder } => {
                    let read = match self.reads_by_gpt2(tokenizer) {
                        true => ComponentKind::GlideTokenizer,
                        false => ComponentKind::Tokenizer,
                    };
                    kinds.push((tokenizer, read));
                    kinds.push((text_encoder, ComponentKind::GlideNetwork));
                    (ComponentKind::GlideNetwork, ComponentKind::GlideScheduler)
                }
            };
            kinds.push((stage.network, network));
            kinds.extend(stage.last_network.map(|name| (name, network)));
            kinds.extend(stage.student.map(|name| (name, ComponentKind::Student)));
            kinds.extend(stage.autoencoder.map(|name| (name, ComponentKind::Autoencoder)));
            kinds.push((stage.scheduler, scheduler));
        }
        kinds.into_iter().find(|(name, _)| *name == component).map(|(_, kind)| kind)
    }
}

impl Component {
    /// The components of `family` that the model in `folder` has, in the order in which they work.
    pub(crate) fn all(folder: &Folder, family: &Family) -> Vec<Self> {
        let component = |name| {
            let kind = family.component_kind(name)?;
            let folder_name = family.name_in(folder, name)?;
            let shared = || is_beside_others(folder, family, name, kind).then(|| folder.clone());
            let place = family.component_in(folder, name).or_else(shared);
            place.map(|folder| Self { name, folder_name, kind, folder })
        };
        family.all_components().into_iter().filter_map(component).collect()
    }

    /// The one component that `folder` is the folder of, as its configuration says.
    pub(crate) fn alone(folder: &Folder) -> Option<Self> {
        if own_layout(folder).is_some() {
            let (kind, folder) = (ComponentKind::WholeClip, folder.clone());
            return Some(Self { name: "", folder_name: "", kind, folder });
        }
        if folder.has(INDEX) {
            return None;
        }
        let config = folder.read(CONFIG).ok()??;
        let class = config_class(folder);
        let named = |of: &&Class| class.as_deref() == Some(of.class);
        let kind = |family: &Family| {
            let class = family.classes.iter().find(named)?;
            family.component_kind(class.component)
        };
        let kind = match [karlo(), kandinsky()].iter().find_map(kind) {
            Some(kind) => kind,
            None if crate::configs::is_autoregressive(&config) => {
                ComponentKind::AutoregressivePrior
            }
            None if is_whole_clip(folder) => ComponentKind::WholeClip,
            None => return None,
        };
        Some(Self { name: "", folder_name: "", kind, folder: folder.clone() })
    }

    /// Those that can be written elsewhere: all of a model, or the one that `folder` is. An error where there is none.
    pub(crate) fn to_convert(folder: &Folder, family: &Family) -> Result<Vec<Self>, Error> {
        if let Some(component) = Self::alone(folder) {
            return Ok(vec![component]);
        }
        // Refuses the index of another pipeline.
        crate::read_model_defaults(folder, family)?;
        let components = Self::all(folder, family);
        match components.is_empty() {
            false => Ok(components),
            true => {
                let found = describe(folder);
                Err(Error::NoComponent { folder: folder.to_string(), found })
            }
        }
    }

    /// Opens it and closes it again: all its files must be sound.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (folder, device, kind) = (&self.folder, Device::Cpu, Kind::Float);
        match self.kind {
            ComponentKind::Tokenizer => crate::open_tokenizer(folder).map(drop),
            ComponentKind::TextEncoder => crate::open_text_encoder(folder, device, kind).map(drop),
            ComponentKind::ImageEncoder => {
                crate::open_image_encoder(folder, device, kind).map(drop)
            }
            ComponentKind::ImageProcessor => crate::open_image_processor(folder).map(drop),
            ComponentKind::WholeClip => check_whole_clip(folder),
            ComponentKind::Prior => crate::open_prior(folder, device, kind).map(drop),
            ComponentKind::AutoregressivePrior => {
                crate::open_autoregressive_prior(folder, device, kind).map(drop)
            }
            ComponentKind::PrincipalComponents => {
                let mean =
                    self.checkpoint()?.shape("mean").map_or(0, |shape| shape.iter().product());
                crate::open_pca(folder, mean).map(drop)
            }
            ComponentKind::Conditioning => crate::open_conditioning(folder, device, kind).map(drop),
            ComponentKind::Decoder => crate::open_decoder(folder, device, kind).map(drop),
            ComponentKind::ImageDecoder => {
                crate::open_image_decoder(folder, device, kind)?;
                crate::open_image_conditioning(folder, device, kind).map(drop)
            }
            ComponentKind::Autoencoder => crate::open_movq(folder, device, kind).map(drop),
            ComponentKind::Upsampler => crate::open_upsampler(folder, device, kind).map(drop),
            // Its other tensors are its teacher's.
            ComponentKind::Student => {
                crate::read_distillation(folder)?;
                self.checkpoint().map(drop)
            }
            ComponentKind::Scheduler => crate::open_scheduler(folder).map(drop),
            ComponentKind::GlideNetwork => glide::read_network(folder, self.name).map(drop),
            ComponentKind::LeadingScheduler => crate::open_leading_scheduler(folder).map(drop),
            ComponentKind::GlideScheduler => glide::open_scheduler(folder, self.name).map(drop),
            ComponentKind::GlideTokenizer => glide::open_caption_tokenizer(folder).map(drop),
            ComponentKind::NoisedClipTokenizer => {
                glide::open_noised_clip_tokenizer(folder).map(drop)
            }
        }
    }

    /// The name of the file of its weights in our own layout; `None` for a component without weights.
    pub(crate) fn weights_name(&self) -> Option<&'static str> {
        match self.kind {
            ComponentKind::Tokenizer
            | ComponentKind::ImageProcessor
            | ComponentKind::Scheduler
            | ComponentKind::LeadingScheduler
            | ComponentKind::GlideScheduler
            | ComponentKind::GlideTokenizer
            | ComponentKind::NoisedClipTokenizer => None,
            ComponentKind::Prior
            | ComponentKind::Conditioning
            | ComponentKind::Decoder
            | ComponentKind::ImageDecoder
            | ComponentKind::Autoencoder
            | ComponentKind::Upsampler
            | ComponentKind::Student => Some(DIFFUSERS_WEIGHTS),
            _ => Some(TRANSFORMERS_WEIGHTS),
        }
    }

    /// Its weights, none of which is read yet.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        match self.kind {
            ComponentKind::GlideNetwork => glide::checkpoint(&self.folder, self.name),
            _ if self.folder.file_component().is_some() => karlo_files::checkpoint(&self.folder),
            _ if let Some(layout) = own_layout(&self.folder) => {
                clip_checkpoint(&self.folder, layout)
            }
            _ => Ok(self.folder.checkpoint("a component", Device::Cpu, Kind::Float)?),
        }
    }

    /// The summary of its weights; `None` for a component without.
    pub(crate) fn weights(&self) -> Option<Result<WeightSummary, Error>> {
        self.weights_name().map(|_| {
            let checkpoint = self.checkpoint()?;
            let others = match (self.kind, own_layout(&self.folder)) {
                (ComponentKind::TextEncoder, Some(_)) => ignored_prefixes(false),
                (ComponentKind::ImageEncoder, Some(_)) => ignored_prefixes(true),
                (ComponentKind::TextEncoder, None) => crate::configs::IMAGE_TOWER.to_vec(),
                (ComponentKind::ImageEncoder, None) => crate::configs::TEXT_TOWER.to_vec(),
                _ => Vec::new(),
            };
            Ok(checkpoint.ignore(&others).summary())
        })
    }
}

/// Whether a component lies in the model's own folder, among the files of others: as transformers publishes CLIP, and OpenAI
/// GLIDE.
fn is_beside_others(
    folder: &Folder,
    family: &Family,
    name: &'static str,
    kind: ComponentKind,
) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| folder.has(name));
    match kind {
        ComponentKind::Tokenizer => match clip_layout(folder) {
            Some(ClipLayout::Transformers) => has(&["tokenizer.json", "vocab.json"]),
            layout => layout.is_some() && has_tokenizer(folder),
        },
        ComponentKind::ImageProcessor => match clip_layout(folder) {
            Some(ClipLayout::Transformers) => has(&[PROCESSOR_CONFIG]),
            layout => layout.is_some(),
        },
        ComponentKind::TextEncoder | ComponentKind::ImageEncoder => {
            let alone = Component::alone(folder).map(|component| component.kind);
            alone == Some(kind) || alone == Some(ComponentKind::WholeClip)
        }
        ComponentKind::GlideNetwork => {
            glide::published_file(name).is_some_and(|file| folder.has(file))
        }
        ComponentKind::GlideScheduler => {
            let mut stages = family.stages.iter().chain(&family.inpainting_stages);
            stages.any(|stage| {
                let file = glide::published_file(stage.network);
                stage.scheduler == name && file.is_some_and(|file| folder.has(file))
            })
        }
        ComponentKind::GlideTokenizer | ComponentKind::NoisedClipTokenizer => {
            glide::is_published(folder) && !glide::tokenizer_files(folder, name).is_empty()
        }
        _ => false,
    }
}

/// Whether `folder` holds both towers of CLIP.
pub(crate) fn is_whole_clip(folder: &Folder) -> bool {
    let class = config_class(folder).unwrap_or_default();
    own_layout(folder).is_some() || may_be_clip(folder) && ["CLIPModel", "clip"].contains(&&*class)
}

fn check_whole_clip(folder: &Folder) -> Result<(), Error> {
    if let Some(layout) = own_layout(folder) {
        return check_clip_file(folder, layout);
    }
    let (device, kind) = (Device::Cpu, Kind::Float);
    crate::open_text_encoder(folder, device, kind)?;
    crate::open_image_encoder(folder, device, kind)?;
    crate::open_logit_scale(folder)?;
    if is_beside_others(folder, &karlo(), "", ComponentKind::Tokenizer) {
        crate::open_tokenizer(folder)?;
    }
    if folder.has(PROCESSOR_CONFIG) {
        crate::open_image_processor(folder)?;
    }
    Ok(())
}
