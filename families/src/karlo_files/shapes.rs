//! The shapes of a model's components in the published files.

use tch::{Device, Kind};
use weights::Folder;

use super::open;
use super::release::component_in;
use crate::clip_files::{ClipLayout, clip_image_config, clip_text_config};
use crate::karlo::*;
use crate::network::Placement;
use crate::{Error, Family, Shapes, StageShapes};

/// Where headers are read and no tensor is.
const PLACEMENT: Placement = Placement { device: Device::Cpu, kind: Some(Kind::Float) };

/// Those of the networks and schedulers of the model in `folder`.
pub(crate) fn shapes(folder: &Folder, family: &Family) -> Result<Shapes, Error> {
    let located = |component| component_in(family, folder, component);
    let text = located(TEXT_ENCODER).map(|at| clip_text_config(&at, ClipLayout::OpenAi));
    let image = located(IMAGE_ENCODER).map(|at| clip_image_config(&at, ClipLayout::OpenAi));
    let prior = located(PRIOR).map(|at| open::prior(&at, PLACEMENT));
    let conditioning = located(CONDITIONING).map(|at| open::conditioning(&at, PLACEMENT));
    let unet = located(DECODER).map(|at| open::decoder(&at, PLACEMENT));
    let upsampler = |component| {
        let network = located(component).map(|at| open::upsampler(&at, PLACEMENT)).transpose()?;
        Ok::<_, Error>(network.map(|network| network.config))
    };
    let scheduler = |component| located(component).map(|at| open::scheduler(&at)).transpose();
    let decoder = StageShapes {
        conditioning: conditioning.transpose()?.map(|network| network.config),
        network: unet.transpose()?.map(|network| network.config),
        scheduler: scheduler(DECODER_SCHEDULER)?,
        ..StageShapes::default()
    };
    let upsampler = StageShapes {
        network: upsampler(UPSAMPLER)?,
        last_network: upsampler(LAST_UPSAMPLER)?,
        scheduler: scheduler(UPSAMPLER_SCHEDULER)?,
        ..StageShapes::default()
    };
    Ok(Shapes {
        text_encoder: text.transpose()?,
        image_encoder: image.transpose()?,
        prior: prior.transpose()?.map(|network| network.config),
        prior_scheduler: scheduler(PRIOR_SCHEDULER)?,
        stages: vec![decoder, upsampler],
        ..Shapes::default()
    })
}
