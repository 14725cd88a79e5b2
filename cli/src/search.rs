//! `unclip search`: the pictures in a folder that a caption or a picture is closest to, by CLIP alone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use files::endings::{is_image, is_unread_image};
use files::walk::{File, walk};
use image::RgbImage;
use image::imageops::thumbnail;
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::zero_shot::{cosines, normalised};
use pipeline::{DecodedImage, Pipeline, contact_sheet, read_image};
use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

use crate::destinations::Files;
use crate::generate::warn;
use crate::input::{Given, encode_picture, open_picture};
use crate::interrupt;
use crate::messages::say;
use crate::model::{ImageEncoderArgs, ModelArgs};
use crate::numbers;
use crate::output::save;
use crate::path_json::insert_path;
use crate::picture_index::{PictureIndex, State};
use crate::run::columns;
use crate::sentence;
use crate::stdout::{print_bytes, print_line, print_path};

/// For the help.
pub const EXAMPLES: &str = "\
Examples:
  unclip search \"a red boat at night\" pictures/
  unclip search photo.png pictures/ --top 12 --grid like-it.png
  unclip search \"a red boat\" pictures/ --index pictures.index";

/// The most pictures that are encoded at once, and the most pixels that they have together.
const BATCH: usize = 32;
const BATCH_PIXELS: u64 = 1 << 25;

/// The longest side of a picture in the contact sheet.
const THUMBNAIL: u32 = 256;

/// What `unclip search` is told.
#[derive(Args)]
pub struct Search {
    /// What the pictures should show, in plain words, or a picture that they should be like
    query: OsString,
    /// The folder, whose folders are searched too; what is hidden is passed over
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How many pictures to tell
    #[arg(long, value_name = "N", default_value = "5", value_parser = numbers::count, allow_negative_numbers = true)]
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
    image_encoder: ImageEncoderArgs,
}

/// A picture in the folder.
struct Picture {
    path: PathBuf,
    /// Where it lies, with all links followed: what an index calls it.
    real: PathBuf,
    state: State,
}

/// What could not be read: told, with the progress out of the way, and counted.
struct LeftOut {
    count: usize,
    bar: ProgressBar,
}

impl LeftOut {
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
    pub fn run(&self) -> Result<()> {
        self.check_files()?;
        let query = Given::new(&self.query)?;
        let mut left_out = LeftOut::none()?;
        let pictures = pictures_in(&self.folder, &mut left_out)?;
        self.check_grid(&pictures)?;
        let pipeline = self.model.open(None, Some(&self.image_encoder))?;
        let query = encode_query(&pipeline, &query)?; // [1, E]
        let encoder = format!("{} {}", pipeline.image_encoder_fingerprint()?, self.model.dtype());
        let mut index = match &self.index {
            Some(path) => PictureIndex::open(path, encoder, query.size()[1])?,
            None => PictureIndex::new(encoder),
        };
        self.encode(&pipeline, &pictures, &mut index, &mut left_out)?;
        let known = |picture: &Picture| {
            let embedding = index.get(&picture.real, picture.state)?;
            Some((picture.path.clone(), embedding.shallow_clone()))
        };
        let (paths, embeddings): (Vec<PathBuf>, Vec<Tensor>) =
            pictures.iter().filter_map(known).unzip();
        let (found, folder) = (paths.len() + left_out.count, self.folder.display());
        ensure!(!paths.is_empty(), "none of the {found} pictures in {folder} can be read");
        if left_out.count > 0 {
            let count = left_out.count;
            say!("{count} of {found} pictures in {folder} cannot be read and are left out");
        }
        let scores = cosines(&query, &Tensor::stack(&embeddings, 0)); // [1, N]
        let scores = Vec::<f64>::try_from(scores.squeeze_dim(0).to_kind(Kind::Double))?;
        let mut best: Vec<(f64, PathBuf)> = scores.into_iter().zip(paths).collect();
        best.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        best.truncate(self.top as usize);
        self.tell(&best)
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
    fn check_grid(&self, pictures: &[Picture]) -> Result<()> {
        let grid = self.grid.as_ref().and_then(|grid| {
            let real = grid.canonicalize().ok()?;
            Some((grid, real))
        });
        match grid.filter(|(_, real)| pictures.iter().any(|picture| picture.real == *real)) {
            Some((grid, _)) => {
                bail!("--grid {}: this is one of the pictures that are searched", grid.display())
            }
            None => Ok(()),
        }
    }

    /// Adds to the index what it lacks, and writes it. What cannot be read is told and counted in `left_out`.
    fn encode(
        &self,
        pipeline: &Pipeline,
        pictures: &[Picture],
        index: &mut PictureIndex,
        left_out: &mut LeftOut,
    ) -> Result<()> {
        let there: HashSet<&Path> = pictures.iter().map(|p| p.real.as_path()).collect();
        index.forget(&self.folder.canonicalize()?, |path| there.contains(path));
        let new = pictures.iter().filter(|p| index.get(&p.real, p.state).is_none());
        let new: Vec<&Picture> = new.collect();
        if let Some(path) = &self.index {
            // An index is worth finishing, where there is something to put into it.
            if !new.is_empty() {
                interrupt::drawing();
            }
            let (there, of) = (pictures.len() - new.len(), pictures.len());
            say!("{there} of {of} pictures are in {}", path.display());
        }
        if !new.is_empty() {
            self.model.warn_of_idle_processors()?;
        }
        left_out.bar.set_length(new.len() as u64);
        let mut rest = &new[..];
        let mut stopped = Ok(());
        while !rest.is_empty() && stopped.is_ok() {
            let batch = read_batch(&mut rest, left_out);
            let (pictures, read): (Vec<&Picture>, Vec<RgbImage>) = batch.into_iter().unzip();
            let embeddings = encode_batch(pipeline, &read)?;
            for (picture, embedding) in pictures.into_iter().zip(embeddings) {
                match embedding.with_context(|| picture.path.display().to_string()) {
                    Ok(embedding) => index.insert(picture.real.clone(), picture.state, embedding),
                    Err(error) => left_out.add(&error),
                }
            }
            let done = new.len() - rest.len();
            left_out.bar.set_position(done as u64);
            if !rest.is_empty() {
                stopped = interrupt::check(done, new.len(), "pictures are encoded");
            }
        }
        left_out.bar.finish_and_clear();
        if let Some(path) = &self.index {
            index.save(path)?;
        }
        stopped
    }

    /// Prints what was found, the best first, and writes the contact sheet.
    fn tell(&self, best: &[(f64, PathBuf)]) -> Result<()> {
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
        let small = |(_, path): &(f64, PathBuf)| Ok(shrunk(read_image(path)?.image));
        let pictures: Vec<RgbImage> = best.iter().map(small).collect::<Result<_>>()?;
        let sheet = contact_sheet(&pictures, columns(pictures.len()));
        save(grid, &sheet, &[], true)?;
        if !self.json {
            print_path(grid)?;
        }
        Ok(())
    }
}

/// The pictures under a folder in the order of their paths, by the endings of their names. What cannot be looked into is
/// told and counted in `left_out`.
fn pictures_in(folder: &Path, left_out: &mut LeftOut) -> Result<Vec<Picture>> {
    let shown = folder.display();
    let metadata = folder.metadata();
    let metadata = metadata.with_context(|| format!("cannot search {shown}"))?;
    ensure!(metadata.is_dir(), "cannot search {shown}: it is no folder");
    let found = walk(folder, |path| is_image(path) || is_unread_image(path));
    for note in &found.repeated {
        say!("{}: {}", note.path.display(), note.why);
    }
    for note in &found.unreadable {
        left_out.add(&anyhow!("{}: {}", note.path.display(), note.why));
    }
    let mut pictures = Vec::new();
    for File { path, real } in found.files {
        let metadata = path.metadata();
        match metadata.with_context(|| format!("cannot read {}", path.display())) {
            Ok(metadata) => {
                let state = State::of(&metadata);
                pictures.push(Picture { path, real, state });
            }
            Err(error) => left_out.add(&error),
        }
    }
    let found = pictures.len() + left_out.count;
    ensure!(found > 0, "{shown} holds no pictures: PNG, JPEG, WebP and GIF are searched");
    Ok(pictures)
}

/// The query as a unit vector `[1, E]` on the CPU.
fn encode_query(pipeline: &Pipeline, query: &Given) -> Result<Tensor> {
    let embedding = match query {
        Given::File(path) => {
            pipeline.prepare_image_encoder()?;
            encode_picture(pipeline, path, open_picture(path)?)?
        }
        Given::Caption(caption) => {
            pipeline.prepare_clip()?;
            let text = pipeline.encode_text(&[caption])?;
            warn(pipeline, "", caption, &text)?;
            text.embedding
        }
    };
    Ok(normalised(&embedding).to_device(Device::Cpu))
}

/// Takes pictures off the front of `rest`, as many as fit into memory together, and reads them.
fn read_batch<'a>(
    rest: &mut &[&'a Picture],
    left_out: &mut LeftOut,
) -> Vec<(&'a Picture, RgbImage)> {
    let (mut batch, mut pixels) = (Vec::new(), 0);
    while let [first, others @ ..] = *rest
        && batch.len() < BATCH
        && pixels < BATCH_PIXELS
    {
        *rest = others;
        match read_image(&first.path) {
            Ok(DecodedImage { image: picture, .. }) => {
                pixels += u64::from(picture.width()) * u64::from(picture.height());
                batch.push((*first, picture));
            }
            Err(error) => left_out.add(&error.into()),
        }
    }
    batch
}

/// The pictures' embeddings, each a unit vector `[E]` on the CPU. One that cannot be encoded takes no other with it; a model
/// that encodes none is an error.
fn encode_batch(pipeline: &Pipeline, pictures: &[RgbImage]) -> Result<Vec<Result<Tensor>>> {
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    match pipeline.encode_pictures(pictures) {
        Ok(embeddings) => {
            let embeddings = normalised(&embeddings).to_device(Device::Cpu);
            Ok(embeddings.unbind(0).into_iter().map(Ok).collect())
        }
        Err(error) if !error.is_about_picture() => Err(error.into()),
        Err(error) if pictures.len() == 1 => Ok(vec![Err(error.into())]),
        Err(_) => {
            let alone = pictures.chunks(1).map(|picture| encode_batch(pipeline, picture));
            Ok(alone.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        }
    }
}

/// A picture as the contact sheet shows it.
fn shrunk(picture: RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL {
        return picture;
    }
    let side = |length: u32| (length * THUMBNAIL / longest).max(1);
    thumbnail(&picture, side(width), side(height))
}
