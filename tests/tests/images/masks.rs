//! Alpha as files have it, and masks by alpha, brightness and rectangles.

use std::io::Cursor;

use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use images::{Margins, PaintMask, Rect, decode_alpha, decode_image};

fn write(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Three pixels by two, each of another alpha: opaque, none, and between.
fn levels(x: u32, y: u32) -> u8 {
    [[255, 0, 127], [128, 1, 254]][y as usize][x as usize]
}

#[test]
fn alpha_of_every_format_is_read() {
    let rgba = RgbaImage::from_fn(3, 2, |x, y| Rgba([9, 99, 199, levels(x, y)]));
    let grey = GrayAlphaImage::from_fn(3, 2, |x, y| LumaA([77, levels(x, y)]));
    for (name, bytes) in [
        ("rgba.png", write(rgba.clone(), ImageFormat::Png)),
        ("grey.png", write(grey, ImageFormat::Png)),
        ("rgba.webp", write(rgba.clone(), ImageFormat::WebP)),
    ] {
        let alpha = decode_alpha(&bytes, name).unwrap().unwrap();
        assert_eq!(alpha, GrayImage::from_fn(3, 2, |x, y| Luma([levels(x, y)])), "{name}");
        assert_eq!(decode_image(&bytes, name).unwrap().image.dimensions(), (3, 2));
    }
    // A GIF knows two levels.
    let hole = RgbaImage::from_fn(3, 2, |x, _| Rgba([200, 0, 0, if x == 1 { 0 } else { 255 }]));
    let alpha = decode_alpha(&write(hole, ImageFormat::Gif), "hole.gif").unwrap().unwrap();
    assert_eq!(alpha, GrayImage::from_fn(3, 2, |x, _| Luma([if x == 1 { 0 } else { 255 }])));
}

#[test]
fn what_is_opaque_has_no_alpha() {
    let rgb = RgbImage::from_pixel(4, 3, Rgb([1, 2, 3]));
    let rgba = RgbaImage::from_pixel(4, 3, Rgba([1, 2, 3, 255]));
    for (image, format) in [
        (DynamicImage::from(rgb.clone()), ImageFormat::Png),
        (rgba.clone().into(), ImageFormat::Png),
        (rgb.clone().into(), ImageFormat::WebP),
        (rgba.into(), ImageFormat::WebP),
        (rgb.clone().into(), ImageFormat::Gif),
        (rgb.into(), ImageFormat::Jpeg),
    ] {
        let bytes = write(image, format);
        assert_eq!(decode_alpha(&bytes, "a").unwrap(), None, "{format:?}");
    }
    let error = decode_alpha(b"words", "a.png").unwrap_err().to_string();
    assert!(error.contains("a.png"), "{error}");
}

#[test]
fn a_palette_has_its_transparent_colours() {
    // One row of a palette of two colours, the first of which is transparent.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette([10, 20, 30, 40, 50, 60].as_slice());
    encoder.set_trns([0].as_slice());
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 0, 1]).unwrap();
    writer.finish().unwrap();
    let alpha = decode_alpha(&bytes, "a.png").unwrap().unwrap();
    assert_eq!(alpha.into_raw(), [255, 0, 255]);
}

#[test]
fn alpha_is_turned_as_the_picture_is() {
    // Two pixels beside each other, the left one clear; orientation 6 turns them by a quarter to the right.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    writer.write_chunk(png::chunk::eXIf, tiff).unwrap();
    writer.write_image_data(&[0, 0, 0, 0, 50, 60, 70, 255]).unwrap();
    writer.finish().unwrap();
    let image = decode_image(&bytes, "a.png").unwrap().image;
    assert_eq!(image.dimensions(), (1, 2));
    assert_eq!((image[(0, 0)].0, image[(0, 1)].0), ([255; 3], [50, 60, 70]));
    let alpha = decode_alpha(&bytes, "a.png").unwrap().unwrap();
    assert_eq!((alpha.dimensions(), alpha.into_raw()), ((1, 2), vec![0, 255]));
}

#[test]
fn transparent_and_white_are_painted_from_half_on() {
    let alpha = GrayImage::from_raw(4, 1, vec![0, 127, 128, 255]).unwrap();
    assert_eq!(painted(&PaintMask::of_alpha(&alpha)), [(0, 0), (1, 0)]);
    let grey = [[0; 3], [127; 3], [128; 3], [255; 3]];
    // The luma of these is 76, 149 and 29.
    let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];
    let image = |colours: &[[u8; 3]]| {
        RgbImage::from_raw(colours.len() as u32, 1, colours.concat()).unwrap()
    };
    assert_eq!(painted(&PaintMask::of_brightness(&image(&grey))), [(2, 0), (3, 0)]);
    assert_eq!(painted(&PaintMask::of_brightness(&image(&colours))), [(1, 0)]);
}

fn painted(mask: &PaintMask) -> Vec<(u32, u32)> {
    let (width, height) = mask.dimensions();
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let painted: Vec<_> = pixels.filter(|&(x, y)| mask.contains(x, y)).collect();
    assert_eq!(painted.len(), mask.count());
    painted
}

#[test]
fn rectangles_are_filled_erased_inverted_and_extended() {
    let mut mask = PaintMask::new(4, 3);
    assert_eq!((mask.count(), mask.bounds()), (0, None));
    mask.fill(Rect { x: -2, y: 1, width: 4, height: 9 });
    assert_eq!(painted(&mask), [(0, 1), (1, 1), (0, 2), (1, 2)]);
    mask.fill(Rect { x: 4, y: 0, width: 3, height: 3 });
    assert_eq!(mask.count(), 4, "outside nothing is painted");
    mask.erase(Rect { x: 0, y: 0, width: 1, height: 3 });
    assert_eq!(painted(&mask), [(1, 1), (1, 2)]);
    assert_eq!(mask.bounds(), Some(Rect { x: 1, y: 1, width: 1, height: 2 }));
    let larger = mask.extend(Margins { left: 2, top: 1, right: 0, bottom: 0 });
    assert_eq!((larger.dimensions(), larger.count()), ((6, 4), 6 * 4 - 12 + 2));
    assert!(larger.contains(3, 2) && !larger.contains(2, 2) && larger.contains(5, 0));
    mask.invert();
    assert_eq!(mask.count(), 10);
}

#[test]
fn a_mask_is_resized_by_its_nearest_pixels() {
    let mut mask = PaintMask::new(4, 2);
    mask.fill(Rect { x: 1, y: 0, width: 1, height: 1 });
    let double = mask.resize(8, 4);
    assert_eq!(painted(&double), [(2, 0), (3, 0), (2, 1), (3, 1)]);
    assert_eq!(double.resize(4, 2), mask);
    // The nearest pixel to the middle of a single one is the one behind the middle.
    assert_eq!(mask.resize(1, 1).count(), 0);
    mask.fill(Rect { x: 2, y: 1, width: 1, height: 1 });
    assert_eq!(mask.resize(1, 1).count(), 1);
}
