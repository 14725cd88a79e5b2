//! Pictures side by side, for eyes: their captions, the nearest training pictures, the judge's verdicts.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage, imageops};
use images::contact_sheet;
use scenes::{Scene, Split};
use tch::{Kind, Tensor};

use crate::examples::{Example, render};
use crate::{Error, Judge};

/// Pictures are compared at this side.
const COMPARED: u32 = 32;

/// Captions as a markdown table laid out as [`contact_sheet`] lays out their pictures.
pub fn caption_table(captions: &[&str], columns: usize) -> String {
    let columns = columns.clamp(1, captions.len().max(1));
    let mut table = format!("|{}\n|{}\n", " |".repeat(columns), " --- |".repeat(columns));
    for row in captions.chunks(columns) {
        writeln!(table, "| {} |", row.join(" | ")).expect("strings can be written to");
    }
    table
}

/// Writes a picture as PNG, whole or not at all.
pub fn save_png(picture: &RgbImage, path: &Path) -> Result<(), Error> {
    let mut bytes = Cursor::new(Vec::new());
    let failed = |cause: String| Error::File { path: path.to_owned(), cause };
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| failed(error.to_string()))?;
    save(path, bytes.get_ref())
}

/// Writes a file, whole or not at all.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed =
        |source| weights::Error::Io { action: "write", path: path.display().to_string(), source };
    Ok(weights::write_atomically(path, |out| out.write_all(bytes).map_err(failed))?)
}

/// The training scene nearest to each picture, in Euclidean distance at 32 pixels, among `seeds`; with its distance,
/// the root of the mean square over all values from 0 to 1.
pub fn nearest_scenes(pictures: &[RgbImage], seeds: std::ops::Range<u64>) -> Vec<(u64, f64)> {
    let small = |bytes: &[u8], count: usize| {
        Tensor::from_slice(bytes).view([count as i64, -1]).to_kind(Kind::Float) / 255.0 // [B, H * W * 3]
    };
    let bytes: Vec<u8> = pictures.iter().flat_map(|picture| shrunk(picture).into_raw()).collect();
    let pictures = small(&bytes, pictures.len());
    let mut nearest = vec![(seeds.start, f64::INFINITY); pictures.size()[0] as usize];
    for first in seeds.clone().step_by(500) {
        let some: Vec<u64> = (first..seeds.end.min(first + 500)).collect();
        let bytes: Vec<u8> = some
            .iter()
            .flat_map(|&seed| Scene::draw(seed, Split::Training).render(COMPARED))
            .collect();
        let scenes = small(&bytes, some.len());
        let squares =
            Tensor::cdist(&pictures, &scenes, 2.0, None::<i64>).square() / scenes.size()[1] as f64; // [B, scenes]
        let (least, place) = squares.min_dim(1, false);
        for (i, best) in nearest.iter_mut().enumerate() {
            let distance = least.double_value(&[i as i64]).sqrt();
            if distance < best.1 {
                *best = (some[place.int64_value(&[i as i64]) as usize], distance);
            }
        }
    }
    nearest
}

/// The distances of all pairs of pictures, as [`nearest_scenes`] measures them.
pub fn distances(pictures: &[RgbImage]) -> Vec<f64> {
    let values: Vec<Vec<u8>> = pictures.iter().map(|p| shrunk(p).into_raw()).collect();
    let distance = |one: &[u8], other: &[u8]| {
        let squares = one.iter().zip(other);
        let squares = squares.map(|(&a, &b)| ((f64::from(a) - f64::from(b)) / 255.0).powi(2));
        (squares.sum::<f64>() / one.len() as f64).sqrt()
    };
    let pairs = (0..values.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| distance(&values[i], &values[j])).collect()
}

/// Each picture with the training scene of that seed on its right, four pairs to a row.
pub fn nearest_sheet(pictures: &[RgbImage], nearest: &[(u64, f64)]) -> RgbImage {
    let pairs = pictures.iter().zip(nearest).flat_map(|(picture, &(seed, _))| {
        let side = picture.width();
        let scene = Scene::draw(seed, Split::Training);
        [picture.clone(), render(&scene, side)]
    });
    contact_sheet(&pairs.collect::<Vec<_>>(), 8)
}

/// What the judge says of each picture, as a numbered markdown table for a person to agree or disagree with; where the
/// picture has a caption, the caption stands beside it.
pub fn verdicts(judge: &Judge, pictures: &[(Option<&Example>, RgbImage)]) -> String {
    let mut table = String::from("| picture |");
    for question in judge.subject().questions() {
        write!(table, " {} |", question.name()).expect("strings can be written to");
    }
    table.push_str(" caption |\n| --- |");
    table.push_str(&" --- |".repeat(judge.subject().questions().len() + 1));
    table.push('\n');
    let only: Vec<RgbImage> = pictures.iter().map(|(_, picture)| picture.clone()).collect();
    for ((number, reading), (example, _)) in (1..).zip(judge.read(&only)).zip(pictures) {
        write!(table, "| {number} |").expect("strings can be written to");
        for question in judge.subject().questions() {
            write!(table, " {} |", reading.name(*question)).expect("strings can be written to");
        }
        let caption = example.map_or("", |example| example.caption.text.as_str());
        writeln!(table, " {caption} |").expect("strings can be written to");
    }
    table
}

fn shrunk(picture: &RgbImage) -> RgbImage {
    imageops::resize(picture, COMPARED, COMPARED, imageops::FilterType::Triangle)
}
