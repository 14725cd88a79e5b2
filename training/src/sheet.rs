//! Sheets of samples: what the model would draw if the leg ended now, from the same captions and seeds each time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use families::{ModelFolders, karlo};
use files::atomic::AtomicFolder;
use image::RgbImage;
use noise::Generator;
use pipeline::{Pipeline, contact_sheet, to_pictures};
use tch::{Device, Kind};
use weights::Folder;

use crate::Error;

/// Captions on a sheet, the data's first ones, drawn from the seeds 0, 1, ...
pub const SAMPLES: usize = 12;
const COLUMNS: u32 = 4;

/// What draws small pictures, beside a prior; the upsampler enlarges them where there is one.
const NEEDED: &[&str] = &["tokenizer", "text_encoder", "decoder", karlo::CONDITIONING];
const PRIORS: [&str; 2] = ["prior", karlo::AUTOREGRESSIVE_PRIOR];
const UPSAMPLER: &str = karlo::UPSAMPLER;

/// The part that `model` lacks for a sheet, if it lacks one, although a leg adds `written`.
pub fn lacks(model: &Path, written: &[&str]) -> Option<&'static str> {
    let there = |part: &str| written.contains(&part) || model.join(part).exists();
    if !PRIORS.into_iter().any(there) {
        return Some(PRIORS[0]);
    }
    NEEDED.iter().find(|part| !there(part)).copied()
}

/// The sheet of a model whose parts `written` come from `write`, and whose others are those of `model`; `folder` gets
/// what `write` writes while the sheet is drawn.
pub fn draw(
    (model, folder): (&Path, &Path),
    written: &[&str],
    write: impl FnOnce(&Path) -> Result<(), Error>,
    captions: &[String],
    (device, kind): (Device, Kind),
) -> Result<RgbImage, Error> {
    let whole = AtomicFolder::create(folder, "samples").map_err(Error::file(folder))?;
    let whole = whole.path();
    link_others(model, whole, written)?;
    write(whole)?;
    draw_whole(whole, written, captions, (device, kind))
}

/// Links what a model has beside the parts `written` and its index, which names them.
fn link_others(model: &Path, whole: &Path, written: &[&str]) -> Result<(), Error> {
    let model = model.canonicalize().map_err(Error::file(model))?;
    for entry in fs::read_dir(&model).map_err(Error::file(&model))? {
        let entry = entry.map_err(Error::file(&model))?;
        let name = entry.file_name();
        let own = name == karlo::INDEX || written.iter().any(|part| name == **part);
        if !own {
            let link = whole.join(&name);
            symlink(entry.path(), &link).map_err(Error::file(link))?;
        }
    }
    Ok(())
}

fn draw_whole(
    whole: &Path,
    written: &[&str],
    captions: &[String],
    (device, kind): (Device, Kind),
) -> Result<RgbImage, Error> {
    let [prior, autoregressive] = PRIORS;
    let folders = ModelFolders {
        autoregressive: written.contains(&autoregressive) || !whole.join(prior).exists(),
        ..ModelFolders::new(Folder::open(whole)?)
    };
    let pipeline = Pipeline::open(folders, device, kind)?;
    let settings = pipeline.defaults()?;
    let silent = &mut |_, _, _| {};
    let mut pictures = Vec::with_capacity(captions.len());
    for (caption, seed) in captions.iter().zip(0..) {
        let text = pipeline.encode_text(&[caption])?;
        let streams = &mut [Generator::new(seed)];
        let embedding = pipeline.draw_embedding(&text, &settings, streams, silent)?;
        let mut pixels = pipeline.decode(&embedding, &text, &settings, streams, silent)?;
        if whole.join(UPSAMPLER).exists() {
            pixels = pipeline.upsample(&pixels, &settings, streams, silent)?;
        }
        pictures.extend(to_pictures(&pixels));
    }
    Ok(contact_sheet(&pictures, COLUMNS))
}
