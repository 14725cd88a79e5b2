//! Folders of a model's components: in the model, or in another that completes it.

use std::fmt;
use std::sync::{Arc, Mutex};

use weights::Folder;

use crate::clip_files::{clip_layout, own_layout};
use crate::karlo::INDEX;
use crate::open::{CONFIG, PROCESSOR_CONFIG};
use crate::{Clip, Completion, Error, Family, PriorKind, describe, glide, karlo_files, recognise};

/// A model's folder, and those that complete it.
pub struct ModelFolders {
    /// The layout that they are in.
    pub family: Family,
    /// The model.
    pub model: Folder,
    /// Where the prior comes from instead: a model, or a prior's own folder.
    pub prior: Option<Folder>,
    /// Whether the autoregressive prior samples embeddings where no setting says otherwise.
    pub autoregressive: bool,
    /// Where the image encoder comes from instead: a model, or an image encoder's own folder.
    pub image_encoder: Option<Folder>,
    /// Where the text encoder and its tokenizer come from instead: a model, or a text encoder's own folder.
    pub text_encoder: Option<Folder>,
    /// Where what a model lacks comes from when it is needed: the image encoder, or all that its companion's repository has.
    pub lazy_completion: Option<LazyFolder>,
}

/// Finds a folder.
type FindFolder = dyn Fn() -> Result<Folder, Error> + Send + Sync;

/// A folder that is looked for, or downloaded, when it is first needed.
#[derive(Clone)]
pub struct LazyFolder {
    find: Arc<FindFolder>,
    folder: Arc<Mutex<Option<Folder>>>,
}

impl LazyFolder {
    /// The folder that `find` finds. An error of it is one of each task that needs the folder.
    pub fn new(find: impl Fn() -> Result<Folder, Error> + Send + Sync + 'static) -> Self {
        Self { find: Arc::new(find), folder: Arc::default() }
    }

    /// The folder, which is looked for once.
    pub fn get(&self) -> Result<Folder, Error> {
        // Nothing panics while it is locked but `find`, and then there is still no folder.
        let mut folder = self.folder.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*folder {
            Some(folder) => Ok(folder.clone()),
            None => Ok(folder.insert((self.find)()?).clone()),
        }
    }
}

impl fmt::Debug for LazyFolder {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_struct("LazyFolder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ModelFolders {
    /// A model that nothing completes, with its diffusion prior.
    pub fn new(model: Folder) -> Self {
        Self {
            family: recognise(&model),
            model,
            prior: None,
            autoregressive: false,
            image_encoder: None,
            text_encoder: None,
            lazy_completion: None,
        }
    }

    /// The folder of a component. An error where it is nowhere, or where what should complete the model does not.
    pub fn component(&self, component: &'static str) -> Result<Folder, Error> {
        let is_text =
            self.family.completing_components(Completion::TextEncoder).contains(&component);
        if let Some(folder) = self.text_encoder.as_ref().filter(|_| is_text)
            && let Some(folder) = self.completed(component, Completion::TextEncoder, folder)?
        {
            return Ok(folder);
        }
        let completion = self.completion(component);
        let source = match completion {
            Some(Completion::Prior) => self.prior.as_ref(),
            Some(Completion::ImageEncoder) => self.image_encoder.as_ref(),
            _ => None,
        };
        let completed = match (completion, source) {
            (Some(completion), Some(folder)) => self.completed(component, completion, folder)?,
            _ => None,
        };
        // A component that comes without its companion makes do with the model's own.
        let own = || self.family.component_in(&self.model, component);
        if let Some(folder) = completed.or_else(|| self.of_companion(component)).or_else(own) {
            return Ok(folder);
        }
        if self.clip().contains(&component) && self.is_whole_clip() {
            return Ok(self.model.clone());
        }
        if glide::is_published(&self.model) {
            return glide::published_component(&self.model, component);
        }
        let is_lazy =
            completion == Some(Completion::ImageEncoder) || self.family.is_of_companion(component);
        if let (Some(completion), Some(lazy)) = (completion, &self.lazy_completion)
            && is_lazy
            && let Some(folder) = self.completed(component, completion, &lazy.get()?)?
        {
            return Ok(folder);
        }
        if let Some(error) = karlo_files::missing(&self.model, component) {
            return Err(error);
        }
        Err(Error::Missing {
            folder: self.model.to_string(),
            component,
            completion,
            repository: self.family.repository_of(&self.model, component),
            found: describe(&self.model),
        })
    }

    /// The component in the folder that the prior comes from, where all of a companion's repository does.
    fn of_companion(&self, component: &'static str) -> Option<Folder> {
        let folder = self.prior.as_ref().filter(|_| self.family.is_of_companion(component))?;
        self.family.component_in(folder, component)
    }

    /// The component in `folder`, which was brought to complete the model; `None` where that is the other prior, or
    /// lacks this companion.
    fn completed(
        &self,
        component: &'static str,
        completion: Completion,
        folder: &Folder,
    ) -> Result<Option<Folder>, Error> {
        let family = recognise(folder);
        if completion == Completion::Prior
            && folder.has(INDEX)
            && describe(folder).is_none()
            && family.pipeline != self.family.pipeline
        {
            return Err(Error::OtherFamily {
                completion,
                folder: folder.to_string(),
                found: family.name,
                wanted: self.family.name,
            });
        }
        let whole = self.network_of(component, completion);
        if let Some([whole, component]) = self.in_clip_of(&family, [whole, component])
            && family.component_in(folder, whole).is_some()
        {
            return Ok(family.component_in(folder, component));
        }
        if self.family.component_in(folder, whole).is_some() {
            return Ok(self.family.component_in(folder, component));
        }
        let is_of_clip = matches!(completion, Completion::ImageEncoder | Completion::TextEncoder);
        if is_of_clip && own_layout(folder).is_some() {
            return Ok(Some(folder.clone()));
        }
        if self.is_other_prior(component) {
            return Ok(None);
        }
        if !folder.has(CONFIG) {
            return Err(Error::NotTheComponent {
                completion,
                folder: folder.to_string(),
                component: whole,
                found: describe(folder),
            });
        }
        let beside: &[&str] = match completion {
            Completion::TextEncoder => &["tokenizer.json", "vocab.json"],
            _ => &[PROCESSOR_CONFIG],
        };
        Ok(match component == whole {
            true => Some(folder.clone()),
            // transformers publishes all of CLIP in one folder.
            false if beside.iter().any(|name| folder.has(name)) => Some(folder.clone()),
            false => folder.beside(self.family.companion.as_ref().map_or(component, |companion| {
                component.strip_prefix(companion.prefix).unwrap_or(component)
            })),
        })
    }

    /// Components of CLIP by their names in another family.
    fn in_clip_of(
        &self,
        other: &Family,
        components: [&'static str; 2],
    ) -> Option<[&'static str; 2]> {
        let [own, theirs] = [clip_components(self.family.clip?), clip_components(other.clip?)];
        let place = |component| own.iter().position(|name| *name == component);
        Some([theirs[place(components[0])?], theirs[place(components[1])?]])
    }

    /// The way to complete a model that lacks a component.
    fn completion(&self, component: &str) -> Option<Completion> {
        let Family { clip, principal_components, .. } = &self.family;
        let encoder = clip.map(|clip| [clip.image_encoder, clip.image_processor]);
        match component {
            _ if self.prior_kind(component).is_some() => Some(Completion::Prior),
            _ if encoder.is_some_and(|encoder| encoder.contains(&component)) => {
                Some(Completion::ImageEncoder)
            }
            _ if self.family.is_of_companion(component) => Some(Completion::Prior),
            _ if clip
                .is_some_and(|clip| [clip.tokenizer, clip.text_encoder].contains(&component)) =>
            {
                Some(Completion::TextEncoder)
            }
            _ if *principal_components == Some(component) => Some(Completion::Embeddings),
            _ => None,
        }
    }

    /// The prior that a component belongs to.
    fn prior_kind(&self, component: &str) -> Option<PriorKind> {
        let kinds = [PriorKind::Diffusion, PriorKind::Autoregressive];
        kinds.into_iter().find(|kind| self.family.prior_components(*kind).contains(&component))
    }

    /// The network that a component is a companion of where it completes a model: a scheduler of its prior, the image processor
    /// and the tokenizer of their encoders, and the text encoder of a prior that is published with it.
    fn network_of(&self, component: &'static str, completion: Completion) -> &'static str {
        let prior = self.prior_kind(component).map(|kind| self.family.prior_components(kind)[0]);
        let network = || match completion {
            Completion::Prior => self.family.prior.map(|prior| prior.network),
            Completion::TextEncoder => self.family.clip.map(|clip| clip.text_encoder),
            Completion::ImageEncoder => self.family.clip.map(|clip| clip.image_encoder),
            Completion::Embeddings => None,
        };
        prior.or_else(network).unwrap_or(component)
    }

    /// Whether a component is that of the prior that does not sample unless a setting says so.
    fn is_other_prior(&self, component: &str) -> bool {
        let kind = match self.autoregressive {
            true => PriorKind::Autoregressive,
            false => PriorKind::Diffusion,
        };
        self.prior_kind(component).is_some_and(|of| of != kind)
    }

    /// The folders of CLIP, all of which transformers publishes in one.
    fn clip(&self) -> Vec<&'static str> {
        self.family.clip.map(clip_components).map(Vec::from).unwrap_or_default()
    }

    /// Whether the model is no more than CLIP, in the one folder or file in which it is published.
    pub fn is_whole_clip(&self) -> bool {
        clip_layout(&self.model).is_some()
    }
}

/// The folders of a CLIP.
fn clip_components(clip: Clip) -> [&'static str; 4] {
    let Clip { tokenizer, text_encoder, image_encoder, image_processor } = clip;
    [tokenizer, text_encoder, image_encoder, image_processor]
}
