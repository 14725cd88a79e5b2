//! A contact sheet of scenes, and their labels as lines of text beside it.
//!
//! cargo run --release -p world --example sheet -- OUT.png [COUNT] [FIRST SEED] [PIXELS] [SCALE]

use std::fs;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use world::{Scene, Split};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: u64| {
        arguments.get(index).map_or(usual, |text| text.parse().expect("a number"))
    };
    let out = arguments.first().expect("the name of the PNG");
    let (count, first) = (number(1, 48), number(2, 0));
    let (size, scale) = (number(3, 64) as u32, number(4, 2) as u32);
    let columns = 8;
    let cell = size * scale + 4;
    let rows = count.div_ceil(columns) as u32;
    let mut sheet = RgbImage::from_pixel(cell * columns as u32, cell * rows, Rgb([255, 255, 255]));
    let mut lines = String::new();
    for index in 0..count {
        let scene = Scene::draw(first + index, Split::Training);
        let image = imageops::resize(
            &scene.to_image(size),
            size * scale,
            size * scale,
            FilterType::Nearest,
        );
        let (column, row) = (index % columns, index / columns);
        imageops::replace(
            &mut sheet,
            &image,
            (column * u64::from(cell)) as i64,
            (row * u64::from(cell)) as i64,
        );
        lines += &format!("{row},{column}: {}\n", scene.own_caption().text);
    }
    sheet.save(out).expect("the sheet is written");
    fs::write(format!("{out}.txt"), lines).expect("the lines are written");
}
