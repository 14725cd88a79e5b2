//! Pictures that users bring, inversion, and moving in CLIP's space.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use images::{DecodeError, read_image};
use noise::Generator;
use pipeline::manipulation::{slerp, text_diff};
use pipeline::{Decoding, Inversion, Silent};
use prior::Pca;
use tch::{Kind, Tensor};

use crate::pipeline::open;

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float)
}

fn close(one: &Tensor, other: &Tensor, bound: f64) {
    let off = (one - other).abs().max().double_value(&[]);
    assert!(off < bound, "off by {off}");
}

#[test]
fn slerp_follows_the_great_circle_and_keeps_the_length() {
    let (from, to) = (vector(&[2.0, 0.0, 0.0]), vector(&[0.0, 4.0, 0.0]));
    close(&slerp(&from, &to, 0.0), &from, 1e-6);
    close(&slerp(&from, &to, 1.0), &to, 1e-6);
    // A third of a right angle, and a third of the way from length 2 to length 4.
    let (length, angle) = (8.0 / 3.0, std::f64::consts::FRAC_PI_6);
    let expected = vector(&[length * angle.cos(), length * angle.sin(), 0.0]);
    close(&slerp(&from, &to, 1.0 / 3.0), &expected, 1e-6);
    // The angle is that of the whole vectors: a picture's noise is one vector.
    let picture = |seed| {
        vector(&Generator::new(seed).normal(48).iter().map(|v| f64::from(*v)).collect::<Vec<_>>())
    };
    let (one, other) = (picture(1).view([1, 3, 4, 4]), picture(2).view([1, 3, 4, 4]));
    let flat = slerp(&one.view([48]), &other.view([48]), 0.4);
    close(&slerp(&one, &other, 0.4).view([48]), &flat, 1e-6);
    let straight = &one * 0.6 + &other * 0.4;
    assert!((&flat - straight.view([48])).abs().max().double_value(&[]) > 0.05);
    // Equal, opposite and empty vectors have no circle.
    close(&slerp(&from, &from, 0.7), &from, 1e-6);
    close(&slerp(&from, &(-&from), 0.25), &(&from * 0.5), 1e-6);
    close(&slerp(&from, &(&from * 0.0), 0.5), &(&from * 0.5), 1e-6);
}

#[test]
fn a_text_diff_turns_towards_what_the_second_caption_adds() {
    let picture = vector(&[3.0, 0.0, 0.0]);
    let (from, to) = (vector(&[0.0, 2.0, 0.0]), vector(&[0.0, 0.0, 5.0]));
    close(&text_diff(&picture, &from, &to, 0.0), &picture, 1e-6);
    // The unit vectors of the captions differ by (0, -1, 1), which is added to that of the picture.
    let turned = text_diff(&picture, &from, &to, 1.0);
    let third = 3.0 / 3f64.sqrt();
    close(&turned, &vector(&[third, -third, third]), 1e-5);
    let some = text_diff(&picture, &from, &to, 0.3);
    let (scale, part) = (3.0 / 1.18f64.sqrt(), 0.3);
    close(&some, &vector(&[scale, -part * scale, part * scale]), 1e-5);
    assert!((some.norm().double_value(&[]) - 3.0).abs() < 1e-5);
    close(&text_diff(&picture, &from, &from, 0.5), &picture, 1e-6);
}

#[test]
fn pictures_of_a_batch_move_each_on_its_own() {
    let values = |seed: u64, shape: &[i64]| {
        let count = shape.iter().product::<i64>() as usize;
        Tensor::from_slice(&Generator::new(seed).normal(count)).view(shape)
    };
    let latents = |seed: u64| Inversion {
        embedding: values(seed, &[2, 20]),
        noise: values(seed + 1, &[2, 3, 4, 4]),
        steps: 5,
    };
    let (from, to) = (latents(1), latents(3));
    let between = from.between(&to, 0.3);
    let edited = from.edited(&to.embedding, &latents(5).embedding, 0.4);
    assert_eq!(edited.noise, from.noise);
    for row in 0..2 {
        let one = |x: &Tensor| x.narrow(0, row, 1);
        let [a, b] = [&from, &to].map(|latents| one(&latents.noise));
        close(&one(&between.noise), &slerp(&a, &b, 0.3), 1e-6);
        let [a, b] = [&from, &to].map(|latents| one(&latents.embedding));
        close(&one(&between.embedding), &slerp(&a, &b, 0.3), 1e-6);
        let turned = text_diff(&a, &b, &one(&latents(5).embedding), 0.4);
        close(&one(&edited.embedding), &turned, 1e-6);
    }
}

#[test]
fn principal_components_are_those_that_the_data_were_made_of() {
    // Three directions at right angles, of deviations 3, 2 and 0.5, around a mean.
    let normal = |seed| Tensor::from_slice(&Generator::new(seed).normal(4000)).unsqueeze(1);
    let directions =
        [vector(&[0.6, 0.8, 0.0]), vector(&[-0.8, 0.6, 0.0]), vector(&[0.0, 0.0, 1.0])];
    let mean = vector(&[5.0, -1.0, 2.0]);
    let data = &mean
        + normal(1) * 3.0 * &directions[0]
        + normal(2) * 2.0 * &directions[1]
        + normal(3) * 0.5 * &directions[2];
    let pca = Pca::fit(&data);
    close(&pca.mean.unsqueeze(0), &mean, 0.15);
    for (index, (direction, deviation)) in directions.iter().zip([3.0f64, 2.0, 0.5]).enumerate() {
        let component = pca.components.get(index as i64);
        let cosine = (component * direction).sum(Kind::Double).double_value(&[]);
        assert!(cosine.abs() > 0.999, "component {index}: {cosine}");
        let variance = pca.variances.double_value(&[index as i64]);
        assert!((variance / deviation.powi(2) - 1.0).abs() < 0.07, "{variance}");
    }
    assert!((pca.explained(1) - 9.0 / 13.25).abs() < 0.02);
    assert!((pca.explained(3) - 1.0).abs() < 1e-6);

    let point = &mean + &directions[0] * 2.0 + &directions[1] * 1.5 + &directions[2] * 4.0;
    close(&pca.truncate(&point, 3), &point, 1e-5);
    let flat = &mean + &directions[0] * 2.0 + &directions[1] * 1.5;
    close(&pca.truncate(&point, 2), &flat, 0.1);
    let once = pca.truncate(&point, 1);
    close(&pca.truncate(&once, 1), &once, 1e-5);
}

#[test]
fn an_inversion_decodes_to_its_picture_and_only_with_its_own_embedding() {
    let pipeline = open("deep");
    let picture =
        RgbImage::from_fn(40, 40, |x, y| Rgb([(x * 6) as u8, (y * 6) as u8, ((x + y) * 3) as u8]));
    let pictures = [picture];
    let inversion = pipeline.invert(&pictures, 50, &mut Silent).unwrap();
    let back = |inversion: &Inversion, eta: f64, seed: u64| {
        let streams = &mut [Generator::new(seed)];
        pipeline
            .decode_inversion(inversion, Decoding { eta, ..Decoding::EXACT }, streams, &mut Silent)
            .unwrap()
    };
    let base = images::ImageProcessor::signed(8).preprocess(&pictures).unwrap();
    let base = Tensor::try_from(base).unwrap();
    let error = |drawn: &Tensor| (drawn - &base).square().mean(Kind::Float).double_value(&[]);
    let own = back(&inversion, 0.0, 1);
    // 36 dB on the scale from -1 to 1, by a network that was hardly trained.
    assert!(error(&own) < 1e-3, "the mean square error is {}", error(&own));
    assert_eq!(own, back(&inversion, 0.0, 2), "without eta there is no chance in it");
    assert!(error(&back(&inversion, 1.0, 1)) > 10.0 * error(&own));
    let other = Inversion {
        embedding: &inversion.embedding * -1.0,
        noise: inversion.noise.shallow_clone(),
        steps: inversion.steps,
    };
    assert!(error(&back(&other, 0.0, 1)) > 3.0 * error(&own));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latent.safetensors");
    inversion.save(&path).unwrap();
    let read = Inversion::open(&path).unwrap();
    assert_eq!(read.steps, 50);
    assert_eq!(back(&read, 0.0, 1), own);
    let refused = open("karlo")
        .decode_inversion(&read, Decoding::EXACT, &mut [Generator::new(1)], &mut Silent)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("[1, 20]") && refused.contains("[1, 16]"), "{refused}");
    let nan = Inversion {
        noise: &inversion.noise * f64::NAN,
        embedding: inversion.embedding.shallow_clone(),
        steps: 50,
    };
    nan.save(&path).unwrap();
    let refused = Inversion::open(&path).unwrap_err().to_string();
    assert!(refused.contains("noise") && refused.contains("finite"), "{refused}");
}

#[test]
fn pictures_of_every_kind_become_upright_rgb_on_white() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, picture: DynamicImage| {
        let path = folder.path().join(name);
        picture.save(&path).unwrap();
        read_image(&path).unwrap()
    };
    let half = Rgba([10u8, 20, 30, 128]);
    let read = write("alpha.png", RgbaImage::from_pixel(3, 2, half).into());
    assert_eq!(read.image.get_pixel(0, 0).0, [132, 137, 142]);
    assert!(!read.animated);
    let clear = RgbaImage::from_pixel(1, 1, Rgba([0, 0, 0, 0]));
    assert_eq!(write("clear.png", clear.into()).image.get_pixel(0, 0).0, [255; 3]);
    let grey = image::ImageBuffer::from_pixel(1, 1, Luma([0x8080u16]));
    let read = write("grey16.png", DynamicImage::ImageLuma16(grey));
    assert_eq!(read.image.get_pixel(0, 0).0, [0x80; 3]);

    let mut bytes = Vec::new();
    let frame = |level| Frame::new(RgbaImage::from_pixel(4, 3, Rgba([level, 0, 0, 255])));
    GifEncoder::new(&mut bytes).encode_frames([frame(250), frame(10)]).unwrap();
    let path = folder.path().join("two.gif");
    fs::write(&path, bytes).unwrap();
    let read = read_image(&path).unwrap();
    assert!(read.animated);
    assert!(read.image.get_pixel(0, 0)[0] > 200, "the first frame is red");
}

/// A picture of 2 by 1 pixels, black then white, whose EXIF says that it lies on its side.
fn turned() -> Vec<u8> {
    let mut jpeg = Vec::new();
    let picture = RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
    picture.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    // Big-endian TIFF with one entry: orientation (0x0112), a short, 6: turn right by a quarter.
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = (2 + 6 + tiff.len()) as u16;
    let mut with_exif = vec![0xff, 0xd8, 0xff, 0xe1];
    with_exif.extend(length.to_be_bytes());
    with_exif.extend(b"Exif\0\0");
    with_exif.extend(tiff);
    with_exif.extend(&jpeg[2..]);
    with_exif
}

#[test]
fn an_exif_orientation_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.jpg");
    fs::write(&path, turned()).unwrap();
    let read = read_image(&path).unwrap().image;
    assert_eq!(read.dimensions(), (8, 16));
    assert!(read.get_pixel(4, 2)[0] < 60 && read.get_pixel(4, 13)[0] > 200);
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = read_image(&path).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error
    };
    assert!(matches!(refused("text.png", b"no picture"), DecodeError::Unknown { .. }));
    assert!(matches!(refused("empty.png", b""), DecodeError::Unknown { .. }));
    let mut whole = Vec::new();
    let picture = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, x as u8, y as u8]));
    picture.write_to(&mut Cursor::new(&mut whole), ImageFormat::Png).unwrap();
    for length in [20, 40, whole.len() / 2, whole.len() - 20] {
        let error = refused("short.png", &whole[..length]);
        assert!(matches!(error, DecodeError::Damaged { .. }), "{length}: {error}");
    }
    // The size is read from the header: nothing of these 16384 x 16384 pixels is there.
    let mut huge = whole[..33].to_vec();
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    huge.extend(&whole[33..]);
    let error = refused("huge.png", &huge);
    assert!(matches!(error, DecodeError::TooLarge { width: 16384, .. }), "{error}");
    assert!(read_image(Path::new("no-such.png")).unwrap_err().to_string().contains("no-such.png"));
    assert!(read_image(folder.path()).is_err());
}

/// The checksum of a PNG's chunk.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}
