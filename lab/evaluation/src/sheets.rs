//! Images for eyes: their captions, the nearest training scenes, the judge's predictions.

use std::fmt::Write;
use std::ops::Range;

use image::Rgb;
use images::{RgbImage, contact_sheet};
use judge::Judge;
use judge::markdown::table;
use scenes::{Scene, Split};
use tch::{Kind, Tensor};

use crate::edit_examples::EditExample;
use crate::image_metrics::{COMPARISON_SIDE, thumbnail};

/// Examples on a row of [`edit_sheet`].
pub const EDIT_COLUMNS: usize = 2;

/// Scenes that are compared at once.
const BATCH: usize = 500;

/// Captions as a markdown table laid out as [`contact_sheet`] lays out their images.
pub fn caption_table(captions: &[&str], columns: usize) -> String {
    let columns = columns.clamp(1, captions.len().max(1));
    let mut table = format!("|{}\n|{}\n", " |".repeat(columns), " --- |".repeat(columns));
    for row in captions.chunks(columns) {
        writeln!(table, "| {} |", row.join(" | ")).expect("strings can be written to");
    }
    table
}

/// A nearest neighbour among the training scenes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestScene {
    /// The scene's seed.
    pub seed: u64,
    /// The Euclidean distance at [`COMPARISON_SIDE`]: the root of the mean square over all values from 0 to 1.
    pub distance: f64,
}

/// The training scene of `seeds` nearest to each image.
pub fn nearest_scenes(images: &[RgbImage], seeds: Range<u64>) -> Vec<NearestScene> {
    let flat = |images: Vec<Vec<u8>>| {
        Tensor::from_slice(&images.concat()).view([images.len() as i64, -1]).to_kind(Kind::Float)
            / 255.0 // [B, H * W * 3]
    };
    let images = flat(images.iter().map(|image| thumbnail(image).into_raw()).collect());
    let none = NearestScene { seed: seeds.start, distance: f64::INFINITY };
    let mut nearest = vec![none; images.size()[0] as usize];
    for first in seeds.clone().step_by(BATCH) {
        let batch = first..seeds.end.min(first + BATCH as u64);
        let render = |seed| Scene::draw(seed, Split::Training).render(COMPARISON_SIDE);
        let scenes = flat(batch.map(render).collect());
        let squares =
            Tensor::cdist(&images, &scenes, 2.0, None::<i64>).square() / scenes.size()[1] as f64; // [B, scenes]
        let (least, index) = squares.min_dim(1, false);
        for (i, best) in (0..).zip(&mut nearest) {
            let distance = least.double_value(&[i]).sqrt();
            if distance < best.distance {
                *best = NearestScene { seed: first + index.int64_value(&[i]) as u64, distance };
            }
        }
    }
    nearest
}

/// Each image with its nearest training scene on its right, four pairs to a row.
pub fn nearest_sheet(images: &[RgbImage], nearest: &[NearestScene]) -> RgbImage {
    let pairs = images.iter().zip(nearest).flat_map(|(image, nearest)| {
        let scene = Scene::draw(nearest.seed, Split::Training);
        [image.clone(), scene.to_image(image.width())]
    });
    contact_sheet(&pairs.collect::<Vec<_>>(), 8)
}

/// Each scene, the scene with its mask in grey, and the image that a model made of it, two examples to a row.
pub fn edit_sheet(samples: &[(EditExample, RgbImage)]) -> RgbImage {
    let triplets = samples.iter().flat_map(|(example, image)| {
        let original = example.scene.to_image(image.width());
        let grey = RgbImage::from_pixel(image.width(), image.height(), Rgb([128; 3]));
        let masked = example.mask.paste(&original, &grey);
        [original, masked, image.clone()]
    });
    contact_sheet(&triplets.collect::<Vec<_>>(), 3 * EDIT_COLUMNS as u32)
}

/// The judge's predictions for images, each after its caption, as a numbered markdown table with the captions, for a person to
/// agree or disagree with.
pub fn prediction_table(judge: &Judge, samples: &[(String, RgbImage)]) -> String {
    let questions = judge.subject().questions();
    let names = questions.iter().map(|question| question.name());
    let header = format!("picture | {} | caption", names.collect::<Vec<_>>().join(" | "));
    let images: Vec<RgbImage> = samples.iter().map(|(_, image)| image.clone()).collect();
    let predictions = (1..).zip(judge.predict(&images)).zip(samples);
    let name = |question, answer| judge.subject().answer_name(question, answer).to_owned();
    let rows = predictions.map(|((number, prediction), (caption, _)): ((u64, _), _)| {
        let mut row = vec![number.to_string()];
        row.extend(questions.iter().map(|&question| name(question, prediction.answer(question))));
        row.push(caption.clone());
        row
    });
    table(&header, rows)
}
