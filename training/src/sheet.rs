//! Sheets of samples: images of the model as if its training ended now, from the same captions and seeds each time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use families::{ModelFolders, glide, karlo};
use files::atomic::AtomicFolder;
use images::{RgbImage, contact_sheet};
use noise::Generator;
use pipeline::{Pipeline, Preset, Silent, to_images};
use tch::{Device, Kind};
use weights::Folder;

use crate::Error;

/// Captions on a sheet, the data's first ones, drawn from the seeds 0, 1, ...
pub(crate) const SAMPLES: usize = 12;
const COLUMNS: u32 = 4;

/// The components that draw base images, beside a prior; the upsampler enlarges them where there is one.
const NEEDED: &[&str] = &["tokenizer", "text_encoder", "decoder", karlo::CONDITIONING];
const PRIORS: [&str; 2] = ["prior", karlo::AUTOREGRESSIVE_PRIOR];
const UPSAMPLER: &str = karlo::UPSAMPLER;
/// The components of a compact GLIDE, which draws with all of them or not at all.
const COMPACT_GLIDE: &[&str] = &[
    glide::TOKENIZER,
    glide::DECODER_TEXT_ENCODER,
    glide::DECODER,
    glide::UPSAMPLER,
    glide::UPSAMPLER_SCHEDULER,
];

/// A model that is being trained, as sheets of samples draw with it.
pub(crate) struct SheetModel<'a> {
    /// The folder of its other components.
    pub(crate) model: &'a Path,
    /// A folder for what is written while a sheet is drawn.
    pub(crate) folder: &'a Path,
    /// The components that are trained.
    pub(crate) writes: &'a [&'a str],
    /// The device that draws.
    pub(crate) device: Device,
    /// The dtype that it computes in.
    pub(crate) kind: Kind,
    /// Whether it is a compact GLIDE.
    pub(crate) is_compact_glide: bool,
}

impl SheetModel<'_> {
    /// A component that is lacking for a sheet, if there is one.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        let there = |part: &str| self.writes.contains(&part) || self.model.join(part).exists();
        if self.is_compact_glide {
            return COMPACT_GLIDE.iter().find(|part| !there(part)).copied();
        }
        if !PRIORS.into_iter().any(there) {
            return Some(PRIORS[0]);
        }
        NEEDED.iter().find(|part| !there(part)).copied()
    }

    /// Draws a sheet of the model whose trained components come from `write`.
    pub(crate) fn draw(
        &self,
        write: impl FnOnce(&Path) -> Result<(), Error>,
        captions: &[String],
    ) -> Result<RgbImage, Error> {
        let whole =
            AtomicFolder::create(self.folder, "samples").map_err(Error::file(self.folder))?;
        let whole = whole.path();
        self.link_others(whole)?;
        write(whole)?;
        let [prior, autoregressive] = PRIORS;
        let folders = ModelFolders {
            autoregressive: self.writes.contains(&autoregressive) || !whole.join(prior).exists(),
            ..ModelFolders::new(Folder::open(whole)?)
        };
        let pipeline = Pipeline::open(folders, self.device, self.kind)?;
        let defaults = pipeline.defaults()?;
        let settings = match self.writes {
            [karlo::DISTILLED_DECODER | karlo::DISTILLED_UPSAMPLER] => {
                Preset::Fast.apply(defaults.clone(), &defaults, &pipeline.students()?)
            }
            _ => defaults,
        };
        let mut images = Vec::with_capacity(captions.len());
        for (caption, seed) in captions.iter().zip(0..) {
            if self.is_compact_glide {
                images.extend(pipeline.generate(caption, &[seed], &settings, &mut Silent)?);
                continue;
            }
            let text = pipeline.encode_text(&[caption])?;
            let streams = &mut [Generator::new(seed)];
            let embedding = pipeline.sample_embedding(&text, &settings, streams, &mut Silent)?;
            let mut pixels = pipeline.decode(&embedding, &text, &settings, streams, &mut Silent)?;
            if whole.join(UPSAMPLER).exists() {
                pixels = pipeline.upsample(&pixels, &settings, streams, &mut Silent)?;
            }
            images.extend(to_images(&pixels));
        }
        Ok(contact_sheet(&images, COLUMNS))
    }

    /// Links the components that are not trained; the index, which names components, is written anew.
    fn link_others(&self, whole: &Path) -> Result<(), Error> {
        let model = self.model.canonicalize().map_err(Error::file(self.model))?;
        for entry in fs::read_dir(&model).map_err(Error::file(&model))? {
            let entry = entry.map_err(Error::file(&model))?;
            let name = entry.file_name();
            let own = name == karlo::INDEX || self.writes.iter().any(|part| name == **part);
            if !own {
                let link = whole.join(&name);
                symlink(entry.path(), &link).map_err(Error::file(link))?;
            }
        }
        Ok(())
    }
}
