//! `unclip reconstruct`: what a picture's embedding says, a few principal components at a time (2204.06125, figure 7).

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use images::contact_sheet;
use images::view::fill;
use pipeline::{Record, Settings, SettingsOverrides, Step, Task};
use prior::Pca;

use crate::drawing::SeedArgs;
use crate::embedding::read_all;
use crate::frames::{check_new, prepare, print_written};
use crate::input::{encode_image, open_image};
use crate::interrupt;
use crate::messages::say;
use crate::model::{EncoderArgs, ModelArgs};
use crate::output::save;
use crate::progress::Bars;
use crate::record::with_file;
use crate::settings_args::{DecoderSettingsArgs, PresetArgs};
use crate::value_parsers;

/// Arguments of `unclip reconstruct`.
#[derive(Args)]
pub(crate) struct Reconstruct {
    /// The picture: PNG, JPEG, WebP or GIF, - for standard input
    image: PathBuf,
    /// How many principal components of its embedding are kept, once for each picture
    #[arg(long, value_name = "N,...", value_delimiter = ',', required = true, value_parser = value_parsers::dimensions, allow_negative_numbers = true)]
    pca: Vec<i64>,
    /// The folder to write pictures and a contact sheet to, the source last in it; it must be new or empty
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Embeddings whose components are taken, for a model without its own; unclip embed writes them
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// Leave out of PNGs how they were drawn
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    decoder: DecoderSettingsArgs,
}

impl Reconstruct {
    /// Draws all pictures from the same noise, so that only the embedding makes a difference.
    pub(crate) fn run(&self) -> Result<()> {
        for (index, dimensions) in self.pca.iter().enumerate() {
            ensure!(
                !self.pca[..index].contains(dimensions),
                "--pca {dimensions}: this number is given twice"
            );
        }
        check_new("--out", &self.out, false)?;
        let image = open_image(&self.image)?;
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let settings = self.model.prepare(
            &pipeline,
            Task::VARY,
            &self.preset,
            &self.decoder.add_to(SettingsOverrides::default()),
            Settings::without_prior,
        )?;
        let pca = match &self.embeddings {
            None => pipeline.principal_components()?,
            Some(path) => {
                let embeddings = read_all(path, &pipeline)?;
                let count = embeddings.size()[0];
                ensure!(
                    count > 1,
                    "--embeddings {}: {count} embedding has no principal components",
                    path.display()
                );
                Pca::fit(&embeddings)
            }
        };
        let (most, there) = (self.pca.iter().copied().max(), pca.rank());
        let most = most.unwrap_or_default();
        ensure!(most <= there, "--pca {most}: the embeddings have {there} components");
        let _alone = prepare("--out", &self.out, false)?;
        let seed = self.seed.resolve();
        let embedding = encode_image(&pipeline, &self.image, image.clone())?; // [1, E]
        let record = self.model.record("reconstruct", None, &settings)?;
        let record = self.model.with_encoders(record, &self.encoders)?;
        let record = with_file(record, "image", &self.image);
        let record = match &self.embeddings {
            Some(path) => with_file(record, "embeddings", path),
            None => record,
        };
        let record = Record { seed, ..record };
        let mut bars = Bars::new(&settings, self.pca.len());
        let mut images = Vec::new();
        interrupt::defer();
        for (index, &dimensions) in self.pca.iter().enumerate() {
            interrupt::check(index, self.pca.len(), "pictures are drawn")?;
            let observer = &mut |step: Step<'_>| bars.observe(index, &step);
            images.push(
                pipeline.reconstruct(&embedding, &pca, dimensions, seed, &settings, observer)?,
            );
            let share = 100.0 * pca.explained(dimensions);
            bars.suspend(|| {
                say!("{dimensions} of {there} components hold {share:.1}% of the variance")
            });
            let path = self.out.join(format!("pca-{dimensions:03}.png"));
            let record = record.clone().with("pca", dimensions);
            let texts = record.texts(images[index].dimensions());
            save(&path, &images[index], if self.no_metadata { &[] } else { &texts }, false)?;
            print_written(&path, &bars)?;
        }
        let (wide, high) = images[0].dimensions();
        images.push(fill(image, wide, high));
        let sheet = contact_sheet(&images, images.len() as u32);
        let path = self.out.join("sheet.png");
        save(&path, &sheet, &[], false)?;
        print_written(&path, &bars)
    }
}
