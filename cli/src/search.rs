//! `unclip search`: the pictures in a folder that a caption or a picture is closest to, by CLIP alone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use files::extensions::{is_image, is_unsupported_image};
use files::walk::{File, walk};
use images::view::thumbnail;
use images::{DecodedImage, RgbImage, contact_sheet, read_image};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::Pipeline;
use pipeline::zero_shot::{cosines, normalised};
use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

use crate::destinations::Files;
use crate::generate::warn;
use crate::image_index::{FileStamp, ImageIndex};
use crate::input::{Input, encode_image, open_image};
use crate::interrupt;
use crate::messages::say;
use crate::model::{EncoderArgs, ModelArgs};
use crate::output::save;
use crate::path_json::insert_path;
use crate::run::columns;
use crate::sentence;
use crate::stdout::{print_bytes, print_line, print_path};
use crate::value_parsers;

/// For the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip search \"a red boat at night\" pictures/
  unclip search photo.png pictures/ --top 12 --grid like-it.png
  unclip search \"a red boat\" pictures/ --index pictures.index";

/// The most pictures that are encoded at once, and the most pixels that they have together.
const BATCH: usize = 32;
const BATCH_PIXELS: u64 = 1 << 25;

/// The longest side of a picture in the contact sheet.
const THUMBNAIL: u32 = 256;

/// The arguments of `unclip search`.
#[derive(Args)]
pub(crate) struct Search {
    #[arg(
        help = "What the pictures should show, in plain words, or a picture that they should be like"
    )]
    query: OsString,
    /// The folder, whose folders are searched too; what is hidden is passed over
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How many pictures to tell
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parsers::count, allow_negative_numbers = true)]
    top: u64,
    /// A file to keep the pictures' embeddings in, for the next search
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Also write the pictures that were found as one contact sheet
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Overwrite a contact sheet that is there already
    #[arg(long)]
    force: bool,
    /// Print one JSON object a picture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
}

/// A picture in the folder.
struct ImageFile {
    path: PathBuf,
    /// Where it lies, with all links followed: what an index calls it.
    real: PathBuf,
    stamp: FileStamp,
}

/// Counts the files that could not be read, and reports each with the progress bar out of the way.
struct SkippedFiles {
    count: usize,
    bar: ProgressBar,
}

impl SkippedFiles {
    fn none() -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {eta} to go")?;
        let bar = ProgressBar::no_length().with_style(style);
        Ok(Self { count: 0, bar })
    }

    fn add(&mut self, error: &anyhow::Error) {
        self.count += 1;
        self.bar.suspend(|| say!("left out: {}", sentence(error)));
    }
}

impl Search {
    /// Encodes what no index holds, and prints the closest pictures.
    pub(crate) fn run(&self) -> Result<()> {
        self.check_files()?;
        let query = Input::new(&self.query)?;
        let mut skipped = SkippedFiles::none()?;
        let images = images_in(&self.folder, &mut skipped)?;
        self.check_grid(&images)?;
        let pipeline = self.model.open(None, Some(&self.encoders))?;
        let query = encode_query(&pipeline, &query)?; // [1, E]
        let encoder = format!("{} {}", pipeline.image_encoder_fingerprint()?, self.model.dtype());
        let mut index = match &self.index {
            Some(path) => ImageIndex::open(path, encoder, query.size()[1])?,
            None => ImageIndex::new(encoder),
        };
        self.encode(&pipeline, &images, &mut index, &mut skipped)?;
        let lookup = |image: &ImageFile| {
            let embedding = index.get(&image.real, image.stamp)?;
            Some((image.path.clone(), embedding.shallow_clone()))
        };
        let (paths, embeddings): (Vec<PathBuf>, Vec<Tensor>) =
            images.iter().filter_map(lookup).unzip();
        let (found, folder) = (paths.len() + skipped.count, self.folder.display());
        ensure!(!paths.is_empty(), "none of the {found} pictures in {folder} can be read");
        if skipped.count > 0 {
            let count = skipped.count;
            say!("{count} of {found} pictures in {folder} cannot be read and are left out");
        }
        let scores = cosines(&query, &Tensor::stack(&embeddings, 0)); // [1, N]
        let scores = Vec::<f64>::try_from(scores.squeeze_dim(0).to_kind(Kind::Double))?;
        let mut best: Vec<(f64, PathBuf)> = scores.into_iter().zip(paths).collect();
        best.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        best.truncate(self.top as usize);
        self.print(&best)
    }

    /// Refuses files that could not be written.
    fn check_files(&self) -> Result<()> {
        let mut files = Files::new(&[Path::new(&self.query)]);
        if let Some(index) = &self.index {
            files.add("--index", index, true)?;
        }
        if let Some(grid) = &self.grid {
            files.add_sheet("--grid", grid, self.force)?;
        }
        Ok(())
    }

    /// Refuses a contact sheet in the place of a picture that is searched.
    fn check_grid(&self, images: &[ImageFile]) -> Result<()> {
        let grid = self.grid.as_ref().and_then(|grid| {
            let real = grid.canonicalize().ok()?;
            Some((grid, real))
        });
        match grid.filter(|(_, real)| images.iter().any(|image| image.real == *real)) {
            Some((grid, _)) => {
                bail!("--grid {}: this is one of the pictures that are searched", grid.display())
            }
            None => Ok(()),
        }
    }

    /// Adds to the index what it lacks, and writes it. What cannot be read is reported to `skipped`.
    fn encode(
        &self,
        pipeline: &Pipeline,
        images: &[ImageFile],
        index: &mut ImageIndex,
        skipped: &mut SkippedFiles,
    ) -> Result<()> {
        let there: HashSet<&Path> = images.iter().map(|p| p.real.as_path()).collect();
        index.forget(&self.folder.canonicalize()?, |path| there.contains(path));
        let new = images.iter().filter(|p| index.get(&p.real, p.stamp).is_none());
        let new: Vec<&ImageFile> = new.collect();
        if let Some(path) = &self.index {
            // An index is worth finishing, where there is something to put into it.
            if !new.is_empty() {
                interrupt::defer();
            }
            let (there, of) = (images.len() - new.len(), images.len());
            say!("{there} of {of} pictures are in {}", path.display());
        }
        if !new.is_empty() {
            self.model.warn_of_idle_processors()?;
        }
        skipped.bar.set_length(new.len() as u64);
        let mut rest = &new[..];
        let mut stopped = Ok(());
        while !rest.is_empty() && stopped.is_ok() {
            let batch = read_batch(&mut rest, skipped);
            let (images, read): (Vec<&ImageFile>, Vec<RgbImage>) = batch.into_iter().unzip();
            let embeddings = encode_batch(pipeline, &read)?;
            for (image, embedding) in images.into_iter().zip(embeddings) {
                match embedding.with_context(|| image.path.display().to_string()) {
                    Ok(embedding) => index.insert(image.real.clone(), image.stamp, embedding),
                    Err(error) => skipped.add(&error),
                }
            }
            let done = new.len() - rest.len();
            skipped.bar.set_position(done as u64);
            if !rest.is_empty() {
                stopped = interrupt::check(done, new.len(), "pictures are encoded");
            }
        }
        skipped.bar.finish_and_clear();
        if let Some(path) = &self.index {
            index.save(path)?;
        }
        stopped
    }

    /// Prints what was found, the best first, and writes the contact sheet.
    fn print(&self, best: &[(f64, PathBuf)]) -> Result<()> {
        for (score, path) in best {
            if self.json {
                let mut found = Map::new();
                insert_path(&mut found, "path", path);
                found.insert("score".to_owned(), (*score).into());
                print_line!("{}", Value::Object(found))?;
            } else {
                let score = format!("{score:.4}  ");
                print_bytes(&[score.as_bytes(), path.as_os_str().as_bytes(), b"\n"].concat())?;
            }
        }
        let Some(grid) = &self.grid else {
            return Ok(());
        };
        let small = |(_, path): &(f64, PathBuf)| Ok(thumbnail(read_image(path)?.image, THUMBNAIL));
        let images: Vec<RgbImage> = best.iter().map(small).collect::<Result<_>>()?;
        let sheet = contact_sheet(&images, columns(images.len()));
        save(grid, &sheet, &[], true)?;
        if !self.json {
            print_path(grid)?;
        }
        Ok(())
    }
}

/// The pictures under a folder in the order of their paths, by the extensions of their names. What cannot be looked into is
/// reported to `skipped`.
fn images_in(folder: &Path, skipped: &mut SkippedFiles) -> Result<Vec<ImageFile>> {
    let shown = folder.display();
    let metadata = folder.metadata();
    let metadata = metadata.with_context(|| format!("cannot search {shown}"))?;
    ensure!(metadata.is_dir(), "cannot search {shown}: it is no folder");
    let found = walk(folder, |path| is_image(path) || is_unsupported_image(path));
    for note in &found.repeated {
        say!("{}: {}", note.path.display(), note.why);
    }
    for note in &found.unreadable {
        skipped.add(&anyhow!("{}: {}", note.path.display(), note.why));
    }
    let mut images = Vec::new();
    for File { path, real } in found.files {
        let metadata = path.metadata();
        match metadata.with_context(|| format!("cannot read {}", path.display())) {
            Ok(metadata) => {
                let stamp = FileStamp::of(&metadata);
                images.push(ImageFile { path, real, stamp });
            }
            Err(error) => skipped.add(&error),
        }
    }
    let found = images.len() + skipped.count;
    ensure!(found > 0, "{shown} holds no pictures: PNG, JPEG, WebP and GIF are searched");
    Ok(images)
}

/// The query as a unit vector `[1, E]` on the CPU.
fn encode_query(pipeline: &Pipeline, query: &Input) -> Result<Tensor> {
    let embedding = match query {
        Input::File(path) => {
            pipeline.prepare_image_encoder()?;
            encode_image(pipeline, path, open_image(path)?)?
        }
        Input::Caption(caption) => {
            pipeline.prepare_clip()?;
            warn(pipeline, "", caption)?;
            pipeline.encode_text(&[caption])?.embedding
        }
    };
    Ok(normalised(&embedding).to_device(Device::Cpu))
}

/// Takes pictures off the front of `rest`, as many as fit into memory together, and reads them.
fn read_batch<'a>(
    rest: &mut &[&'a ImageFile],
    skipped: &mut SkippedFiles,
) -> Vec<(&'a ImageFile, RgbImage)> {
    let (mut batch, mut pixels) = (Vec::new(), 0);
    while let [first, others @ ..] = *rest
        && batch.len() < BATCH
        && pixels < BATCH_PIXELS
    {
        *rest = others;
        match read_image(&first.path) {
            Ok(DecodedImage { image, .. }) => {
                pixels += u64::from(image.width()) * u64::from(image.height());
                batch.push((*first, image));
            }
            Err(error) => skipped.add(&error.into()),
        }
    }
    batch
}

/// The pictures' embeddings, each a unit vector `[E]` on the CPU. One that cannot be encoded takes no other with it; a model
/// that encodes none is an error.
fn encode_batch(pipeline: &Pipeline, images: &[RgbImage]) -> Result<Vec<Result<Tensor>>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    match pipeline.encode_images(images) {
        Ok(embeddings) => {
            let embeddings = normalised(&embeddings).to_device(Device::Cpu);
            Ok(embeddings.unbind(0).into_iter().map(Ok).collect())
        }
        Err(error) if !error.is_about_image() => Err(error.into()),
        Err(error) if images.len() == 1 => Ok(vec![Err(error.into())]),
        Err(_) => {
            let alone = images.chunks(1).map(|image| encode_batch(pipeline, image));
            Ok(alone.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        }
    }
}
