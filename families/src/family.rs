//! A family of models: its layout, as a value that programs can make for layouts of their own.

/// A publisher's layout of an unCLIP model (2204.06125, section 2): the folder of each component within a model's
/// folder, in the order in which they work, and the settings that its authors sample with.
#[derive(Clone, Debug)]
pub struct Family {
    /// The family's name, for messages.
    pub name: &'static str,
    /// The folder of the tokenizer.
    pub tokenizer: &'static str,
    /// The folder of CLIP's text encoder.
    pub text_encoder: &'static str,
    /// The folder of CLIP's image encoder.
    pub image_encoder: &'static str,
    /// The folder of the preprocessing of images for the image encoder.
    pub image_processor: &'static str,
    /// The diffusion prior (section 2.2).
    pub prior: Option<DiffusionPrior>,
    /// The folder of the autoregressive prior (section 2.2).
    pub autoregressive_prior: Option<&'static str>,
    /// The folder of the principal components of image embeddings (section 2.2).
    pub principal_components: Option<&'static str>,
    /// The stages of diffusion over images, in the order in which they sample.
    pub stages: Vec<Stage>,
    /// The settings that the authors sample with.
    pub defaults: Defaults,
}

/// The folders of a diffusion prior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffusionPrior {
    /// The folder of its network.
    pub network: &'static str,
    /// The folder of its scheduler.
    pub scheduler: &'static str,
}

/// A stage of diffusion over images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The stage's name, in its settings and its progress.
    pub name: &'static str,
    /// The folder of its scheduler.
    pub scheduler: &'static str,
    /// The networks of the stage.
    pub kind: StageKind,
}

/// The networks of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// Samples an image of an image embedding and a caption (2204.06125, section 2.1).
    Decoder {
        /// The folder of what projects embedding and text to the network's conditions.
        conditioning: &'static str,
        /// The folder of the U-Net.
        network: &'static str,
    },
    /// Enlarges the image of the stage before; the last step runs a network of its own where there is one.
    Upsampler {
        /// The folder of the U-Net.
        network: &'static str,
        /// The folder of the last step's U-Net.
        last_network: Option<&'static str>,
    },
}

/// The settings that a family's authors sample with.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Those of the diffusion prior.
    pub prior: PriorDefaults,
    /// Those of each stage, in the order of [`Family::stages`].
    pub stages: Vec<StageDefaults>,
}

/// The settings of a diffusion prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorDefaults {
    /// Its steps.
    pub steps: usize,
    /// Its guidance scale.
    pub guidance_scale: f64,
}

/// The settings of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageDefaults {
    /// Its steps.
    pub steps: usize,
    /// Its guidance scale; `None` for a stage without guidance.
    pub guidance_scale: Option<f64>,
}

/// The components that a task needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Captions are encoded.
    pub text: bool,
    /// A prior samples image embeddings.
    pub prior: Option<PriorKind>,
    /// Images are encoded.
    pub image_encoder: bool,
    /// How many of the first stages sample images.
    pub stages: usize,
}

/// The two priors of the paper (2204.06125, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// Predicts the clean embedding by diffusion.
    Diffusion,
    /// Predicts the embedding's principal components one after another.
    Autoregressive,
}

impl Stage {
    /// The folders of the stage.
    pub fn components(&self) -> Vec<&'static str> {
        let networks = match self.kind {
            StageKind::Decoder { conditioning, network } => [Some(conditioning), Some(network)],
            StageKind::Upsampler { network, last_network } => [Some(network), last_network],
        };
        networks.into_iter().flatten().chain([self.scheduler]).collect()
    }

    /// The folder of its U-Net.
    pub fn network(&self) -> &'static str {
        match self.kind {
            StageKind::Decoder { network, .. } | StageKind::Upsampler { network, .. } => network,
        }
    }
}

impl Family {
    /// The folders that a task needs; none for a prior that the family lacks.
    pub fn components(&self, requirement: Requirement) -> Vec<&'static str> {
        let Requirement { text, prior, image_encoder, stages } = requirement;
        let mut components = Vec::new();
        if text {
            components.extend([self.tokenizer, self.text_encoder]);
        }
        components.extend(self.stages.iter().take(stages).flat_map(Stage::components));
        components.extend(prior.into_iter().flat_map(|kind| self.prior_components(kind)));
        if image_encoder {
            components.extend([self.image_encoder, self.image_processor]);
        }
        components
    }

    /// The folders of all components.
    pub fn all_components(&self) -> Vec<&'static str> {
        let every = Requirement {
            text: true,
            prior: Some(PriorKind::Diffusion),
            image_encoder: true,
            stages: self.stages.len(),
        };
        let mut components = self.components(every);
        components.extend(self.principal_components);
        components.extend(self.autoregressive_prior);
        components
    }

    /// The folders of a prior, its network's first.
    pub fn prior_components(&self, kind: PriorKind) -> Vec<&'static str> {
        match kind {
            PriorKind::Diffusion => {
                let folders = self.prior.map(|prior| [prior.network, prior.scheduler]);
                folders.into_iter().flatten().collect()
            }
            PriorKind::Autoregressive => self.autoregressive_prior.into_iter().collect(),
        }
    }
}
