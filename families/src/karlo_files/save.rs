//! Writes the components in the published files into folders of their own, in our layout.

use std::path::Path;

use decoder::{Conditioning, UNet};
use prior::Prior;
use tch::{Device, Kind};
use weights::{Folder, save_safetensors};

use super::open;
use super::options::OPTIONS;
use super::release::ReleaseFile;
use crate::Error;
use crate::clip_files::{ClipLayout, clip_image_config};
use crate::karlo::*;
use crate::network::Placement;
use crate::save::{
    DIFFUSERS_WEIGHTS, write_conditioning_config, write_image_processor, write_prior_config,
    write_scheduler_config, write_unet_config,
};

/// Tensors stay as they are stored.
const PLACEMENT: Placement = Placement { device: Device::Cpu, kind: None };

/// Writes the component that `folder` is about into the folder `to`, a network in `dtype` or without one as it is stored.
pub(crate) fn write_component(
    folder: &Folder,
    to: &Path,
    dtype: Option<Kind>,
) -> Result<(), Error> {
    let tensors = match folder.file_component() {
        Some(PRIOR) => {
            let (config, tensors) = open::prior(folder, PLACEMENT)?.record(Prior::new)?;
            write_prior_config(to, &config)?;
            tensors
        }
        Some(CONDITIONING) => {
            let network = open::conditioning(folder, PLACEMENT)?;
            let (config, tensors) = network.record(Conditioning::new)?;
            write_conditioning_config(to, &config)?;
            tensors
        }
        Some(DECODER | UPSAMPLER | LAST_UPSAMPLER) => {
            let network = match folder.file_component() {
                Some(DECODER) => open::decoder(folder, PLACEMENT)?,
                _ => open::upsampler(folder, PLACEMENT)?,
            };
            let (config, tensors) = network.record(UNet::new)?;
            write_unet_config(to, &config)?;
            tensors
        }
        Some(IMAGE_PROCESSOR) => {
            let encoder = clip_image_config(folder, ClipLayout::OpenAi)?;
            return write_image_processor(to, encoder.image_size());
        }
        _ => return write_scheduler_config(to, &open::scheduler(folder)?),
    };
    Ok(save_safetensors(to.join(DIFFUSERS_WEIGHTS), &tensors, dtype)?)
}

/// The names of the files that the component `folder` is about comes from.
pub(crate) fn source_files(folder: &Folder) -> Vec<String> {
    let statistics = ReleaseFile::Statistics.in_folder(folder);
    let statistics = statistics.filter(|_| folder.file_component() == Some(PRIOR));
    let files = folder.weights_file().map(str::to_owned).into_iter().chain(statistics);
    files.chain([OPTIONS.to_owned()]).collect()
}
