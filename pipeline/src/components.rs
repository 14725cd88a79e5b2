//! The components of a model, each opened when it is first needed: those of its stages by `stage_components`, and the settings
//! that it comes with by `model_defaults`.

mod model_defaults;
mod stage_components;

use std::cell::{Cell, OnceCell, RefCell};

use clip::{
    CaptionTokenizer, ImageEncoder, NoisedImageEncoder, NoisedTextEncoder, TextEncoder, Tokenizer,
};
use diffusion::{DenoisingErrors, SchedulerConfig};
use families::compatibility;
use families::{
    Clip, Family, ImageSize, Mismatch, ModelFolders, NoisedClip, PriorKind, Requirement, Shapes,
    Stage, StageShapes, glide,
};
use images::ImageProcessor;
use prior::{AutoregressivePrior, Pca, Prior};
use tch::{Device, Kind};
use weights::Folder;

use crate::Error;
use crate::components::stage_components::StageSlots;
use crate::lease::{Lease, Slot};
use crate::memory::within_memory;

/// The opened components of a model.
pub(crate) struct Components {
    folders: ModelFolders,
    device: Device,
    kind: Kind,
    tokenizer: OnceCell<Tokenizer>,
    text_encoder: Slot<TextEncoder>,
    image_encoder: Slot<ImageEncoder>,
    image_processor: OnceCell<ImageProcessor>,
    noised_tokenizer: OnceCell<Tokenizer>,
    noised_text_encoder: Slot<NoisedTextEncoder>,
    noised_image_encoder: Slot<NoisedImageEncoder>,
    stage_tokenizer: OnceCell<CaptionTokenizer>,
    prior: Slot<Prior>,
    autoregressive_prior: Slot<AutoregressivePrior>,
    stages: Vec<StageSlots>,
    schedulers: RefCell<Vec<(&'static str, SchedulerConfig)>>,
    /// Whether no network outlives the stage that works with it.
    low_memory: Cell<bool>,
    /// The kind of the weights of linear maps and convolutions, where it is another than the rest's.
    weight_kind: Cell<Option<Kind>>,
    /// Whether the stages that were trained to inpaint are all there.
    inpainting: OnceCell<bool>,
    /// The requirements whose components are known to be compatible, with their shapes.
    compatible: RefCell<Vec<(Requirement, Shapes)>>,
}

impl Components {
    /// The components in `folders`, none of which is open yet, for computing in `kind` on `device`.
    pub(crate) fn new(folders: ModelFolders, device: Device, kind: Kind) -> Self {
        let Family { stages, inpainting_stages, .. } = &folders.family;
        let stages = stages.iter().chain(inpainting_stages);
        Self {
            stages: stages.map(|_| StageSlots::default()).collect(),
            folders,
            device,
            kind,
            tokenizer: OnceCell::new(),
            text_encoder: Slot::default(),
            image_encoder: Slot::default(),
            image_processor: OnceCell::new(),
            noised_tokenizer: OnceCell::new(),
            noised_text_encoder: Slot::default(),
            noised_image_encoder: Slot::default(),
            stage_tokenizer: OnceCell::new(),
            prior: Slot::default(),
            autoregressive_prior: Slot::default(),
            schedulers: RefCell::default(),
            low_memory: Cell::new(false),
            weight_kind: Cell::new(None),
            inpainting: OnceCell::new(),
            compatible: RefCell::default(),
        }
    }

    /// Closes every network after the stage that works with it, from now on.
    pub(crate) fn close_after_use(&self) {
        self.low_memory.set(true);
    }

    /// Reads the weights of linear maps and convolutions in `kind` from now on.
    pub(crate) fn set_weight_kind(&self, kind: Kind) {
        self.weight_kind.set(Some(kind));
    }

    /// Whether the model lies inside the program.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.folders.model, Folder::Embedded(_))
    }

    /// The layout of the model.
    pub(crate) fn family(&self) -> &Family {
        &self.folders.family
    }

    /// Whether stages that were trained to inpaint do so: those of the family, where all of them are there.
    pub(crate) fn has_inpainting_stages(&self) -> bool {
        *self.inpainting.get_or_init(|| {
            let stages = &self.family().inpainting_stages;
            let mut networks = stages.iter().flat_map(Stage::networks);
            !stages.is_empty() && networks.all(|network| self.folder(network).is_ok())
        })
    }

    /// Opens all that a task requires. A missing component is an error before any is opened, and one that does not fit
    /// another before anything is computed.
    pub(crate) fn prepare(&self, requirement: Requirement) -> Result<(), Error> {
        self.find(requirement)?;
        self.shapes(requirement).map(drop)
    }

    /// Refuses a requirement of which a component is nowhere.
    pub(crate) fn find(&self, requirement: Requirement) -> Result<(), Error> {
        let family = self.family();
        if requirement.noised_clip && family.noised_clip.is_none() {
            return Err(Error::NoNoisedClip { family: family.name });
        }
        if requirement.image_encoder && family.clip.is_none() {
            return Err(Error::NoClip { family: family.name });
        }
        if let Some(kind) = requirement.prior
            && self.family().prior_components(kind).is_empty()
        {
            return Err(Error::NoPrior { family: self.family().name, kind });
        }
        let components = self.family().components(requirement);
        components.into_iter().try_for_each(|component| self.folder(component).map(drop))
    }

    /// The shapes of all that a task requires, which is opened for them once. An error where two components do not fit each
    /// other.
    pub(crate) fn shapes(&self, requirement: Requirement) -> Result<Shapes, Error> {
        let known = self.compatible.borrow();
        if let Some((_, shapes)) = known.iter().find(|(known, _)| *known == requirement) {
            return Ok(shapes.clone());
        }
        drop(known);
        let shapes = self.open_shapes(requirement)?;
        compatibility::check(&shapes, self.family()).map_err(|mismatch| self.mismatch(mismatch))?;
        self.compatible.borrow_mut().push((requirement, shapes.clone()));
        Ok(shapes)
    }

    fn open_shapes(&self, requirement: Requirement) -> Result<Shapes, Error> {
        let Requirement { text, prior, image_encoder, noised_clip, .. } = requirement;
        let mut shapes = Shapes::default();
        if text && self.family().clip.is_some() {
            shapes.tokenizer = Some(self.tokenizer()?.into());
            shapes.text_encoder = Some(self.text_encoder()?.config().clone());
        }
        if image_encoder {
            shapes.image_processor = self.image_processor()?.output_size().map(Into::into);
            shapes.image_encoder = Some(self.image_encoder()?.config());
        }
        match prior {
            Some(PriorKind::Diffusion) => {
                shapes.prior_scheduler = Some(self.prior_scheduler()?);
                shapes.prior = Some(self.prior()?.config().clone());
            }
            Some(PriorKind::Autoregressive) => {
                shapes.autoregressive_prior = Some(self.autoregressive_prior()?.config().clone());
            }
            None => {}
        }
        if noised_clip {
            shapes.noised_tokenizer = Some(self.noised_tokenizer()?.into());
            shapes.noised_text_encoder = Some(self.noised_text_encoder()?.config().clone());
            shapes.noised_image_encoder = Some(self.noised_image_encoder()?.config().clone());
        }
        let indices = self.family().stage_indices(requirement);
        shapes.stages.resize_with(indices.start, StageShapes::default);
        for index in indices {
            shapes.stages.push(self.stage_shapes(index)?);
        }
        Ok(shapes)
    }

    /// The error for two components that do not fit each other, which says where they lie.
    pub(crate) fn mismatch(&self, mismatch: Mismatch) -> Error {
        Error::Mismatch {
            first: self.named(mismatch.first),
            second: self.named(mismatch.second),
            mismatch: Box::new(mismatch),
        }
    }

    /// A component by its folder, and by its name where the folder is called otherwise.
    fn named(&self, component: &'static str) -> String {
        let Ok(folder) = self.folder(component) else {
            return component.to_owned();
        };
        let folder = folder.to_string();
        match folder.trim_end_matches('/').ends_with(component) {
            true => folder,
            false => format!("the {component} in {folder}"),
        }
    }

    /// Refuses images of a size that the image encoder does not take.
    pub(crate) fn check_size(&self, size: ImageSize, encoder: &ImageEncoder) -> Result<(), Error> {
        let shapes = Shapes {
            image_processor: Some(size),
            image_encoder: Some(encoder.config()),
            ..Shapes::default()
        };
        compatibility::check(&shapes, self.family()).map_err(|mismatch| self.mismatch(mismatch))
    }

    /// The model's folder, for messages.
    pub(crate) fn model(&self) -> &Folder {
        &self.folders.model
    }

    /// The logarithm of the factor of CLIP's cosines, where the model says it.
    pub(crate) fn logit_scale(&self) -> Result<Option<f64>, Error> {
        let model = &self.folders.model;
        Ok(match self.folders.is_whole_clip() {
            true => families::open_logit_scale(model)?,
            false => families::read_logit_scale(model)?,
        })
    }

    /// A hash of the files that image embeddings depend on.
    pub(crate) fn image_encoder_fingerprint(&self) -> Result<String, Error> {
        let clip = self.clip()?;
        let fingerprint = |component| Ok::<_, Error>(self.folder(component)?.fingerprint()?);
        let (encoder, processor) =
            (fingerprint(clip.image_encoder)?, fingerprint(clip.image_processor)?);
        Ok(format!("{encoder}-{processor}"))
    }

    /// The scheduler in a component's folder.
    pub(crate) fn scheduler(&self, component: &'static str) -> Result<SchedulerConfig, Error> {
        if let Some((_, config)) =
            self.schedulers.borrow().iter().find(|(name, _)| *name == component)
        {
            return Ok(config.clone());
        }
        let folder = self.folder(component)?;
        let config = self.family().open_scheduler(&folder, component)?;
        self.schedulers.borrow_mut().push((component, config.clone()));
        Ok(config)
    }

    /// The diffusion prior's scheduler.
    pub(crate) fn prior_scheduler(&self) -> Result<SchedulerConfig, Error> {
        self.scheduler(self.diffusion_prior()?.scheduler)
    }

    /// The errors of the diffusion prior, where they were measured.
    pub(crate) fn denoising_errors(&self) -> Result<Option<DenoisingErrors>, Error> {
        let folder = self.folder(self.diffusion_prior()?.network)?;
        Ok(families::open_denoising_errors(&folder, &self.prior_scheduler()?)?)
    }

    pub(crate) fn diffusion_prior(&self) -> Result<families::DiffusionPrior, Error> {
        let family = self.family();
        let none = Error::NoPrior { family: family.name, kind: PriorKind::Diffusion };
        family.prior.ok_or(none)
    }

    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        opened(&self.tokenizer, || {
            let tokenizer = families::open_tokenizer(&self.folder(self.clip()?.tokenizer)?)?;
            match tokenizer.context_length() {
                Some(_) => Ok(tokenizer),
                None => {
                    let length = self.text_encoder()?.config().context_length;
                    Ok(tokenizer.with_context_length(length as usize)?)
                }
            }
        })
    }

    pub(crate) fn text_encoder(&self) -> Result<Lease<'_, TextEncoder>, Error> {
        self.lease(&self.text_encoder, self.clip()?.text_encoder, families::open_text_encoder)
    }

    pub(crate) fn image_encoder(&self) -> Result<Lease<'_, ImageEncoder>, Error> {
        self.lease(&self.image_encoder, self.clip()?.image_encoder, families::open_image_encoder)
    }

    pub(crate) fn image_processor(&self) -> Result<&ImageProcessor, Error> {
        opened(&self.image_processor, || {
            Ok(families::open_image_processor(&self.folder(self.clip()?.image_processor)?)?)
        })
    }

    /// The folders of CLIP.
    pub(crate) fn clip(&self) -> Result<Clip, Error> {
        let family = self.family();
        family.clip.ok_or(Error::NoClip { family: family.name })
    }

    fn noised_clip(&self) -> Result<NoisedClip, Error> {
        let family = self.family();
        family.noised_clip.ok_or(Error::NoNoisedClip { family: family.name })
    }

    pub(crate) fn noised_tokenizer(&self) -> Result<&Tokenizer, Error> {
        opened(&self.noised_tokenizer, || {
            let component = self.noised_clip()?.tokenizer;
            let length = self.noised_text_encoder()?.config().context_length;
            let tokenizer = glide::open_noised_clip_tokenizer(&self.folder(component)?)?;
            Ok(tokenizer.with_context_length(length as usize)?)
        })
    }

    pub(crate) fn noised_text_encoder(&self) -> Result<Lease<'_, NoisedTextEncoder>, Error> {
        let component = self.noised_clip()?.text_encoder;
        // In f32, as published, whatever the other networks compute in.
        self.lease(&self.noised_text_encoder, component, |folder, device, _| {
            glide::open_noised_text_encoder(folder, device, Kind::Float)
        })
    }

    pub(crate) fn noised_image_encoder(&self) -> Result<Lease<'_, NoisedImageEncoder>, Error> {
        let component = self.noised_clip()?.image_encoder;
        self.lease(&self.noised_image_encoder, component, |folder, device, _| {
            glide::open_noised_image_encoder(folder, device, Kind::Float)
        })
    }

    pub(crate) fn prior(&self) -> Result<Lease<'_, Prior>, Error> {
        self.lease(&self.prior, self.diffusion_prior()?.network, families::open_prior)
    }

    pub(crate) fn autoregressive_prior(&self) -> Result<Lease<'_, AutoregressivePrior>, Error> {
        let family = self.family();
        let none = Error::NoPrior { family: family.name, kind: PriorKind::Autoregressive };
        let component = family.autoregressive_prior.ok_or(none)?;
        self.lease(&self.autoregressive_prior, component, families::open_autoregressive_prior)
    }

    /// Opened anew each time: nobody needs it twice.
    pub(crate) fn principal_components(&self) -> Result<Pca, Error> {
        let family = self.family();
        let none = Error::NoPrincipalComponents { family: family.name };
        let component = family.principal_components.ok_or(none)?;
        let width = self.embedding_width()?;
        Ok(families::open_pca(&self.folder(component)?, width)?)
    }

    /// The network in a slot, opened first from the component's folder where the slot is empty.
    fn lease<'a, M>(
        &self,
        slot: &'a Slot<M>,
        component: &'static str,
        open: impl FnOnce(&Folder, Device, Kind) -> Result<M, families::Error>,
    ) -> Result<Lease<'a, M>, Error> {
        slot.lease(self.low_memory.get(), || {
            let folder = self.folder(component)?.with_weight_kind(self.weight_kind.get());
            within_memory(|| Ok(open(&folder, self.device, self.kind)?))
        })
    }

    pub(crate) fn folder(&self, component: &'static str) -> Result<Folder, Error> {
        Ok(self.folders.component(component)?)
    }
}

/// The value of a cell, opened first where it is empty.
pub(crate) fn opened<T>(
    cell: &OnceCell<T>,
    open: impl FnOnce() -> Result<T, Error>,
) -> Result<&T, Error> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = open()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}
