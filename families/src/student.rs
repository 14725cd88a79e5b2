//! A distilled network beside its teacher: its own folder holds its shape, the settings that it samples with, and the tensors that
//! are not the teacher's.

use std::path::Path;

use decoder::{UNet, UNetConfig};
use diffusion::Distillation;
use layers::Params;
use tch::{Device, Kind, Tensor};
use weights::{Folder, save_safetensors};

use crate::Error;
use crate::configs::{self, TEACHER};
use crate::open::{CONFIG, translate};
use crate::save::{DIFFUSERS_WEIGHTS, write_json, write_unet_config};

/// The file with the settings that a student samples with.
const DISTILLATION: &str = "distillation.json";

/// Writes a student (`decoder_distilled/`, `super_res_distilled/`): `config.json` of its U-Net, `distillation.json` with the
/// fingerprint of its teacher's folder ([`Folder::fingerprint`]), and in f16 the `tensors` that are not its teacher's.
pub fn save_student(
    folder: &Path,
    tensors: &[(String, Tensor)],
    config: &UNetConfig,
    distillation: &Distillation,
    teacher: &str,
) -> Result<(), Error> {
    write_unet_config(folder, config)?;
    let mut json = serde_json::to_value(distillation).expect("plain data");
    json[TEACHER] = teacher.into();
    write_json(folder, DISTILLATION, &json)?;
    Ok(save_safetensors(folder.join(DIFFUSERS_WEIGHTS), tensors, Kind::Half)?)
}

/// The settings that the student in `folder` samples with.
pub fn read_distillation(folder: &Folder) -> Result<Distillation, Error> {
    Ok(read(folder)?.0)
}

fn read(folder: &Folder) -> Result<(Distillation, String), Error> {
    translate(folder, DISTILLATION, "a distilled network", configs::distillation)
}

/// The student in `folder`, whose other tensors are those of its `teacher`'s folder. An error where that holds other weights than
/// those that it was distilled from.
pub fn open_student(
    folder: &Folder,
    teacher: &Folder,
    device: Device,
    kind: Kind,
) -> Result<UNet, Error> {
    let noun = "the distilled network";
    if read(folder)?.1 != teacher.fingerprint()? {
        return Err(Error::OtherTeacher {
            student: folder.to_string(),
            teacher: teacher.to_string(),
        });
    }
    let config = translate(folder, CONFIG, noun, |json| {
        configs::decoder_config(json).or_else(|_| configs::upsampler_config(json))
    })?;
    let own = folder.checkpoint(noun, device, kind)?;
    let checkpoint = own.over(teacher.checkpoint(noun, device, kind)?);
    let student = UNet::new(&Params::root(&checkpoint), &config);
    checkpoint.finish()?;
    Ok(student)
}
