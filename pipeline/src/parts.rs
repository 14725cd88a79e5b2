//! What the stages are made of: each part is opened when it is first needed, and kept, or held only by who works with it.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::{Rc, Weak};

use clip::{ImageProcessor, TextEncoder, Tokenizer, VisionEncoder};
use decoder::{Conditioning, UNet};
use diffusion::{Sampler, SchedulerConfig, Step};
use graphs::Repeated;
use prior::{AutoregressivePrior, Pca, Prior};
use tch::{Device, Kind};
use weights::Folder;

use crate::codes::CodeSampling;
use crate::folders::{CLIP, ModelFolders};
use crate::memory::within_memory;
use crate::relations::{
    Decoding, Relation, Relations, Upsampling, check_captions, check_clip, check_pictures,
};
use crate::tasks::{IMAGE_ENCODER, PriorKind, TEXT_ENCODER, Task};
use crate::{Error, Settings, Solver, Stage};

/// A network, and what was recorded of its steps, which is over its memory.
pub(crate) struct Network<M> {
    network: M,
    pub(crate) steps: Repeated,
}

impl<M> Deref for Network<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.network
    }
}

/// A network that is open for as long as somebody holds it.
type Held<M> = RefCell<Weak<Network<M>>>;

/// The opened parts of a model.
pub(crate) struct Parts {
    folders: ModelFolders,
    device: Device,
    kind: Kind,
    tokenizer: OnceCell<Tokenizer>,
    text_encoder: Held<TextEncoder>,
    image_encoder: Held<VisionEncoder>,
    image_processor: OnceCell<ImageProcessor>,
    prior: Held<Prior>,
    autoregressive_prior: Held<AutoregressivePrior>,
    conditioning: Held<Conditioning>,
    decoder: Held<UNet>,
    upsampler_first: Held<UNet>,
    upsampler_last: Held<UNet>,
    schedulers: [OnceCell<SchedulerConfig>; 3],
    /// Holds every network that was opened; `None` where memory is short.
    kept: RefCell<Option<Vec<Rc<dyn Any>>>>,
    /// The tasks whose parts were found to fit each other.
    checked: RefCell<Vec<Task>>,
}

impl Parts {
    /// Nothing is opened yet; parts will lie on `device` in `kind`.
    pub(crate) fn new(folders: ModelFolders, device: Device, kind: Kind) -> Self {
        Self {
            folders,
            device,
            kind,
            tokenizer: OnceCell::new(),
            text_encoder: Held::default(),
            image_encoder: Held::default(),
            image_processor: OnceCell::new(),
            prior: Held::default(),
            autoregressive_prior: Held::default(),
            conditioning: Held::default(),
            decoder: Held::default(),
            upsampler_first: Held::default(),
            upsampler_last: Held::default(),
            schedulers: Default::default(),
            kept: RefCell::new(Some(Vec::new())),
            checked: RefCell::default(),
        }
    }

    /// From now on no network outlives the stage that works with it.
    pub(crate) fn drop_after_use(&self) {
        *self.kept.borrow_mut() = None;
    }

    /// Opens all that a task needs. What is missing is told before anything is opened, and what does not fit together
    /// before anything is computed.
    pub(crate) fn prepare(&self, task: Task, settings: &Settings) -> Result<(), Error> {
        for part in task.folders() {
            self.folder(part)?;
        }
        for stage in task.stages() {
            self.steps(stage, settings)?;
        }
        if self.checked.borrow().contains(&task) {
            return Ok(());
        }
        let prior = match task.prior {
            Some(PriorKind::Diffusion) => {
                Some((self.scheduler(Stage::Prior)?, self.prior()?.config().clone()))
            }
            _ => None,
        };
        let autoregressive_prior = match task.prior {
            Some(PriorKind::Autoregressive) => Some(self.autoregressive_prior()?.config().clone()),
            _ => None,
        };
        Relations {
            tokenizer: self.tokenizer()?,
            text_encoder: self.text_encoder()?.config().clone(),
            image_encoder: match task.image_encoder {
                true => Some((self.image_processor()?, self.image_encoder()?.config().clone())),
                false => None,
            },
            prior,
            autoregressive_prior,
            decoding: match task.decoder {
                true => Some(self.decoding(task.upsampler)?),
                false => None,
            },
        }
        .check()
        .map_err(|relation| self.mismatch(relation))?;
        self.checked.borrow_mut().push(task);
        Ok(())
    }

    fn decoding(&self, upsampler: bool) -> Result<Decoding<'_>, Error> {
        Ok(Decoding {
            conditioning: self.conditioning()?.config().clone(),
            scheduler: self.scheduler(Stage::Decoder)?,
            decoder: self.decoder()?.config().clone(),
            upsampling: match upsampler {
                true => Some(Upsampling {
                    scheduler: self.scheduler(Stage::Upsampler)?,
                    first: self.upsampler_first()?.config().clone(),
                    last: self.upsampler_last()?.config().clone(),
                }),
                false => None,
            },
        })
    }

    /// Opens what encodes captions.
    pub(crate) fn prepare_text_encoder(&self) -> Result<(), Error> {
        for part in TEXT_ENCODER {
            self.folder(part)?;
        }
        check_captions(self.tokenizer()?, self.text_encoder()?.config())
            .map_err(|relation| self.mismatch(relation))
    }

    /// Opens what tells how close captions and pictures are: CLIP alone, from a model of which there may be no more.
    pub(crate) fn prepare_clip(&self) -> Result<(), Error> {
        for part in CLIP {
            self.folder(part)?;
        }
        check_clip(
            (self.tokenizer()?, self.text_encoder()?.config()),
            (self.image_processor()?, self.image_encoder()?.config()),
        )
        .map_err(|relation| self.mismatch(relation))
    }

    /// Opens what tells how close pictures are to each other.
    pub(crate) fn prepare_image_encoder(&self) -> Result<(), Error> {
        for part in IMAGE_ENCODER {
            self.folder(part)?;
        }
        check_pictures(self.image_processor()?, self.image_encoder()?.config())
            .map_err(|relation| self.mismatch(relation))
    }

    /// The error for two parts that do not fit each other, which says where they lie.
    pub(crate) fn mismatch(&self, (first, second, quantity, one, other): Relation) -> Error {
        Error::Mismatch {
            first: self.named(first),
            second: self.named(second),
            quantity,
            one,
            other,
        }
    }

    /// A part by its folder, and by its name where the folder is called otherwise.
    fn named(&self, part: &'static str) -> String {
        let Ok(folder) = self.folder(part) else {
            return part.to_owned();
        };
        let folder = folder.to_string();
        match folder.trim_end_matches('/').ends_with(part) {
            true => folder,
            false => format!("the {part} in {folder}"),
        }
    }

    /// The model's folder, for messages.
    pub(crate) fn model(&self) -> &Folder {
        &self.folders.model
    }

    /// The logarithm of the factor of CLIP's cosines, where the model says it.
    pub(crate) fn logit_scale(&self) -> Result<Option<f64>, Error> {
        let model = &self.folders.model;
        Ok(match self.folders.is_whole_clip() {
            true => weights::open_logit_scale(model)?,
            false => weights::read_logit_scale(model)?,
        })
    }

    /// A hash of the files that embeddings of pictures depend on.
    pub(crate) fn image_encoder_fingerprint(&self) -> Result<String, Error> {
        let prints = IMAGE_ENCODER.map(|part| {
            let folder = self.folder(part)?;
            Ok::<_, Error>(folder.fingerprint()?)
        });
        let [encoder, processor] = prints;
        Ok(format!("{}-{}", encoder?, processor?))
    }

    /// What the model's makers draw with: `unclip_defaults` of our own models, else Karlo's.
    pub(crate) fn defaults(&self) -> Result<Settings, Error> {
        let by_codes = self.folders.autoregressive;
        Ok(Settings {
            prior_codes: by_codes.then(CodeSampling::plain),
            ..self.published_defaults()?
        })
    }

    fn published_defaults(&self) -> Result<Settings, Error> {
        let index =
            |reason: String| Error::Index { folder: self.folders.model.to_string(), reason };
        let Some(defaults) = weights::read_model_defaults(&self.folders.model)? else {
            return Ok(Settings::karlo());
        };
        let wrong = |reason: String| index(format!("unclip_defaults: {reason}"));
        let defaults: Settings =
            files::json::from_value(defaults).map_err(|error| wrong(error.to_string()))?;
        defaults.check().map_err(|error| wrong(error.to_string()))?;
        Ok(defaults)
    }

    /// The steps that `settings` have a stage take.
    pub(crate) fn steps(&self, stage: Stage, settings: &Settings) -> Result<Vec<Step>, Error> {
        let steps = self.sampler(stage, settings)?.steps(settings.steps(stage));
        steps.map_err(|error| Error::steps(stage.steps_setting(), &error))
    }

    /// The sampler that `settings` name for a stage.
    pub(crate) fn sampler(&self, stage: Stage, settings: &Settings) -> Result<Sampler, Error> {
        let config = self.scheduler(stage)?;
        Ok(match settings.solver(stage) {
            Solver::Ddpm => Sampler::unclip(config),
            Solver::DpmSolver => Sampler::dpm_solver(config),
        })
    }

    pub(crate) fn scheduler(&self, stage: Stage) -> Result<&SchedulerConfig, Error> {
        let part = match stage {
            Stage::Prior => "prior_scheduler",
            Stage::Decoder => "decoder_scheduler",
            Stage::Upsampler => "super_res_scheduler",
        };
        opened(&self.schedulers[stage as usize], || {
            Ok(weights::open_scheduler(&self.folder(part)?)?)
        })
    }

    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        opened(&self.tokenizer, || {
            let tokenizer = weights::open_tokenizer(&self.folder("tokenizer")?)?;
            match tokenizer.context_length() {
                Some(_) => Ok(tokenizer),
                None => {
                    let length = self.text_encoder()?.config().context_length;
                    Ok(tokenizer.with_context_length(length as usize)?)
                }
            }
        })
    }

    pub(crate) fn text_encoder(&self) -> Result<Rc<Network<TextEncoder>>, Error> {
        self.network(&self.text_encoder, "text_encoder", weights::open_text_encoder)
    }

    pub(crate) fn image_encoder(&self) -> Result<Rc<Network<VisionEncoder>>, Error> {
        self.network(&self.image_encoder, "image_encoder", weights::open_image_encoder)
    }

    pub(crate) fn image_processor(&self) -> Result<&ImageProcessor, Error> {
        opened(&self.image_processor, || {
            Ok(weights::open_image_processor(&self.folder("feature_extractor")?)?)
        })
    }

    pub(crate) fn prior(&self) -> Result<Rc<Network<Prior>>, Error> {
        self.network(&self.prior, "prior", weights::open_prior)
    }

    pub(crate) fn autoregressive_prior(&self) -> Result<Rc<Network<AutoregressivePrior>>, Error> {
        let open = weights::open_autoregressive_prior;
        self.network(&self.autoregressive_prior, "prior_autoregressive", open)
    }

    /// Opened anew each time: nobody needs it twice.
    pub(crate) fn principal_components(&self) -> Result<Pca, Error> {
        let width = self.conditioning()?.config().embedding;
        Ok(weights::open_pca(&self.folder("image_pca")?, width)?)
    }

    pub(crate) fn conditioning(&self) -> Result<Rc<Network<Conditioning>>, Error> {
        self.network(&self.conditioning, "text_proj", weights::open_conditioning)
    }

    pub(crate) fn decoder(&self) -> Result<Rc<Network<UNet>>, Error> {
        self.network(&self.decoder, "decoder", weights::open_decoder)
    }

    pub(crate) fn upsampler_first(&self) -> Result<Rc<Network<UNet>>, Error> {
        self.network(&self.upsampler_first, "super_res_first", weights::open_upsampler)
    }

    pub(crate) fn upsampler_last(&self) -> Result<Rc<Network<UNet>>, Error> {
        self.network(&self.upsampler_last, "super_res_last", weights::open_upsampler)
    }

    /// The network that somebody holds, opened first from the part's folder where nobody does.
    fn network<M: 'static>(
        &self,
        held: &Held<M>,
        part: &'static str,
        open: impl FnOnce(&Folder, Device, Kind) -> Result<M, weights::Error>,
    ) -> Result<Rc<Network<M>>, Error> {
        if let Some(network) = held.borrow().upgrade() {
            return Ok(network);
        }
        let folder = self.folder(part)?;
        let network = Rc::new(Network {
            network: within_memory(|| Ok(open(&folder, self.device, self.kind)?))?,
            steps: Repeated::default(),
        });
        *held.borrow_mut() = Rc::downgrade(&network);
        if let Some(kept) = &mut *self.kept.borrow_mut() {
            kept.push(network.clone());
        }
        Ok(network)
    }

    pub(crate) fn folder(&self, part: &'static str) -> Result<Folder, Error> {
        self.folders.part(part)
    }
}

/// What a cell holds, opened first where it holds nothing.
pub(crate) fn opened<T>(
    cell: &OnceCell<T>,
    open: impl FnOnce() -> Result<T, Error>,
) -> Result<&T, Error> {
    match cell.get() {
        Some(part) => Ok(part),
        None => {
            let part = open()?;
            Ok(cell.get_or_init(|| part))
        }
    }
}
