//! The shapes of a model's components, in either layout.

use clip::{NoisedImageConfig, NoisedTextConfig};
use tch::{Device, Kind};
use weights::Folder;

use super::open;
use super::release::{is_published, published_file};
use super::{CLIP_IMAGE_ENCODER, CLIP_TEXT_ENCODER};
use crate::network::Placement;
use crate::{Condition, Error, Stage, StageShapes};

/// Where headers are read and no tensor is.
const PLACEMENT: Placement = Placement { device: Device::Cpu, kind: Some(Kind::Float) };

/// The folder of a component of the model in `folder`: its own, or that of the published file; `None` where it has neither.
fn located(folder: &Folder, component: &'static str) -> Option<Folder> {
    let own = folder.component(component);
    let published = published_file(component).is_some_and(|file| folder.has(file));
    own.exists().then_some(own).or_else(|| published.then(|| folder.clone()))
}

/// Those of a stage.
pub(crate) fn stage_shapes(folder: &Folder, stage: &Stage) -> Result<StageShapes, Error> {
    let text_encoder = match stage.condition {
        Condition::Caption { text_encoder, .. } => located(folder, text_encoder)
            .map(|folder| open::text_transformer(&folder, text_encoder, PLACEMENT))
            .transpose()?,
        _ => None,
    };
    let network = located(folder, stage.network)
        .map(|folder| open::unet(&folder, stage.network, PLACEMENT))
        .transpose()?;
    let own = folder.component(stage.scheduler);
    let scheduler = match (own.exists(), is_published(folder)) {
        (true, _) => Some(open::open_scheduler(&own, stage.scheduler)?),
        (false, true) => Some(open::open_scheduler(folder, stage.scheduler)?),
        (false, false) => None,
    };
    Ok(StageShapes {
        text_encoder: text_encoder.map(|network| network.config),
        network: network.map(|network| network.config),
        scheduler,
        ..StageShapes::default()
    })
}

/// That of the noised CLIP's text encoder.
pub(crate) fn noised_text_shape(folder: &Folder) -> Result<Option<NoisedTextConfig>, Error> {
    let network = located(folder, CLIP_TEXT_ENCODER)
        .map(|folder| open::noised_text_encoder(&folder, PLACEMENT))
        .transpose()?;
    Ok(network.map(|network| network.config))
}

/// That of the noised CLIP's image encoder.
pub(crate) fn noised_image_shape(folder: &Folder) -> Result<Option<NoisedImageConfig>, Error> {
    let network = located(folder, CLIP_IMAGE_ENCODER)
        .map(|folder| open::noised_image_encoder(&folder, PLACEMENT))
        .transpose()?;
    Ok(network.map(|network| network.config))
}
