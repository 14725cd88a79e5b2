//! Pictures as people send them, and as attackers do.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, GrayImage, Luma};
use serde_json::json;

use super::{Answer, Form, Running, decode, encode, mask, png};
use crate::command::CAPTION;

/// A PNG of chunks, whose checksums are right.
fn png_of(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let body = [&name[..], data].concat();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    }
    bytes
}

fn header(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Files that are small and would be large, and files that are cut short or none.
fn bombs() -> Vec<Vec<u8>> {
    let mut bombs = Vec::new();
    for side in [16_384, 65_535, (1 << 31) - 1, u32::MAX] {
        for (depth, color) in [(8, 2), (16, 6), (8, 0)] {
            bombs.push(png_of(&[
                (b"IHDR", header(side, side, depth, color)),
                (b"IDAT", zlib(&[0; 100])),
                (b"IEND", vec![]),
            ]));
        }
    }
    bombs.push(png_of(&[(b"IHDR", header(0, 0, 8, 2)), (b"IEND", vec![])]));
    let whole = png(64, 64);
    bombs.extend((1..50).map(|share| whole[..whole.len() * share / 50].to_vec()));
    bombs.extend([
        b"GIF89a".to_vec(),
        b"RIFF\x04\0\0\0WEBP".to_vec(),
        b"\xff\xd8\xff\xe0".to_vec(),
        b"<svg/>".to_vec(),
        vec![0; 1000],
    ]);
    bombs
}

#[test]
fn bombs_and_damaged_files_are_refused_and_the_memory_stays() {
    let server = Running::start(&[]);
    let vary = |bytes: &[u8]| {
        server.post_form("/v1/images/variations", &Form::default().file("image", bytes).fast())
    };
    vary(&png(64, 64)).ok();
    let before = server.memory();
    for (n, bomb) in bombs().iter().enumerate() {
        let error = vary(bomb).error(400);
        assert_eq!(error["param"], "image", "bomb {n}");
        let message = error["message"].as_str().unwrap();
        for word in ["/", "0x", "panicked", "Some(", "Err("] {
            assert!(
                !message.contains(word) || word == "/" && !message.contains("/home"),
                "{message}"
            );
        }
    }
    // A text of a gigabyte that is not read.
    let text = zlib(&vec![b'a'; 200 << 20]);
    let packed = [&b"unclip\0\0"[..], &text].concat();
    let row = [&[0u8][..], &[90; 64 * 3]].concat().repeat(64);
    let bomb = png_of(&[
        (b"IHDR", header(64, 64, 8, 2)),
        (b"zTXt", packed),
        (b"IDAT", zlib(&row)),
        (b"IEND", vec![]),
    ]);
    vary(&bomb).ok();
    let record = server.post_form("/v1/images/record", &Form::default().file("image", &bomb));
    assert_eq!(record.ok()["record"], serde_json::Value::Null);
    let after = server.memory();
    assert!(after < before + 64.0, "{before} MB, then {after} MB");
}

/// A route, the field of its picture, and the other fields that it needs.
type Upload = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Every route that takes a picture.
const UPLOADS: [Upload; 8] = [
    ("/v1/images/variations", "image", &[]),
    ("/v1/images/edits", "image", &[("prompt", "a house")]),
    ("/v1/images/interpolations", "image_a", &[("prompt_b", "a house"), ("frames", "1")]),
    ("/v1/images/edits/text", "image", &[("from", "a house"), ("to", "a tree")]),
    ("/v1/images/classifications", "image", &[("labels", "a,b")]),
    ("/v1/images/record", "image", &[]),
    ("/v1/embeddings", "image", &[]),
    ("/v1/jobs", "image", &[("task", "variations")]),
];

#[test]
fn every_upload_refuses_bombs_and_damaged_files() {
    let server = Running::start(&[]);
    for (path, field, others) in UPLOADS {
        let form = others.iter().fold(Form::default(), |form, (name, text)| form.text(name, text));
        for (n, bomb) in bombs().iter().enumerate() {
            // The record of a picture is read from its header on.
            let is_header_enough = path == "/v1/images/record";
            let answer = server.post_form(path, &form.clone().file(field, bomb));
            let fits = answer.status == 400 || (is_header_enough && answer.status == 200);
            assert!(fits, "{path}, bomb {n}: {}", answer.status);
        }
        let whole = form.file(field, &png(33, 21));
        let status = server.post_form(path, &whole).status;
        // An edit wants a mask too.
        assert!([200, 202].contains(&status) || path == "/v1/images/edits", "{path}: {status}");
    }
    let masked = Form::default().file("image", &png(33, 21));
    for (n, bomb) in bombs().iter().enumerate() {
        let error =
            server.post_form("/v1/images/edits", &masked.clone().file("mask", bomb)).error(400);
        assert_eq!(error["param"], "mask", "bomb {n}");
    }
}

#[test]
fn every_size_and_kind_of_picture_is_drawn_from() {
    let server = Running::start(&[]);
    let sides = [1, 2, 3, 7, 63, 64, 224, 225, 1023];
    let vary = |bytes: &[u8]| {
        let form = Form::default().file("image", bytes).fast();
        server.post_form("/v1/images/variations", &form.text("response_format", "b64_json"))
    };
    for (n, width) in sides.into_iter().enumerate() {
        // Each width with three heights.
        for height in [sides[n], sides[(n + 3) % sides.len()], sides[(n + 5) % sides.len()]] {
            let rgb = DynamicImage::from(decode(&png(width, height)));
            let kinds = [
                rgb.clone(),
                rgb.to_luma8().into(),
                rgb.to_luma_alpha8().into(),
                rgb.to_rgba8().into(),
                rgb.to_rgb16().into(),
                rgb.to_rgba16().into(),
            ];
            let kind = &kinds[(n + height as usize) % kinds.len()];
            let answer = vary(&encode(kind));
            assert_eq!(decode(&answer.images()[0]).dimensions(), (24, 24), "{width} x {height}");
        }
    }
    let gray = GrayImage::from_pixel(50, 20, Luma([7]));
    for format in [image::ImageFormat::Jpeg, image::ImageFormat::WebP, image::ImageFormat::Gif] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::from(gray.clone()).to_rgb8().write_to(&mut bytes, format).unwrap();
        vary(bytes.get_ref()).ok();
    }
}

#[test]
fn masks_are_read_as_the_command_reads_them() {
    let server = Running::start(&[]);
    let edit = |image: &[u8], mask: Option<&[u8]>| -> Answer {
        let form =
            Form::default().file("image", image).text("prompt", CAPTION).text("seed", "1").fast();
        let form = mask.map_or(form.clone(), |mask| form.file("mask", mask));
        server.post_form("/v1/images/edits", &form)
    };
    let image = png(40, 40);
    let pixels = |answer: Answer| decode(&answer.images()[0]);
    let by_alpha = pixels(edit(&image, Some(&mask(40, 40))));
    // White is painted where a mask is opaque, and a mask of another size is brought to the picture's.
    let white = GrayImage::from_fn(40, 40, |x, y| {
        Luma([if (10..30).contains(&x) && (10..30).contains(&y) { 255 } else { 0 }])
    });
    assert_eq!(pixels(edit(&image, Some(&encode(&white.into())))), by_alpha);
    assert_eq!(edit(&image, Some(&mask(80, 80))).images().len(), 1);
    assert_eq!(edit(&image, None).error(400)["param"], "mask");
    let black = GrayImage::from_pixel(40, 40, Luma([0]));
    assert_eq!(edit(&image, Some(&encode(&black.into()))).error(400)["param"], "mask");
    assert_eq!(edit(&image, Some(b"no picture")).error(400)["param"], "mask");
    // A picture's own transparency is its mask.
    assert_eq!(decode(&edit(&mask(40, 40), None).images()[0]).dimensions(), (40, 40));
    // Two pictures are one too many, and none is too few.
    let two = Form::default().file("image[]", &image).file("image[]", &image).fast();
    assert_eq!(server.post_form("/v1/images/edits", &two).error(400)["param"], "image");
    assert_eq!(
        server.post_form("/v1/images/edits", &Form::default().fast()).error(400)["param"],
        "image"
    );
    server
        .post_form(
            "/v1/images/edits",
            &Form::default().file("image[]", &image).file("mask", &mask(40, 40)).fast(),
        )
        .ok();
}

#[test]
fn thin_pictures_are_brought_to_any_size() {
    let server = Running::start(&[]);
    for (width, height) in [(60_000, 1), (1, 60_000), (1, 1), (5000, 3)] {
        // A pixel of it is painted.
        let image = image::RgbaImage::from_fn(width, height, |x, y| {
            let is_painted = (x, y) == (width / 2, height / 2);
            image::Rgba([9, 99, 199, if is_painted { 0 } else { 255 }])
        });
        let form = Form::default().file("image", &encode(&image.into())).text("size", "1024x512");
        let edited = server.post_form("/v1/images/edits", &form.fast()).images();
        assert_eq!(decode(&edited[0]).dimensions(), (1024, 512), "{width} x {height}");
    }
}

#[test]
fn a_form_without_a_boundary_is_read_to_its_bound() {
    let server = Running::start(&["--max-upload=1"]);
    let before = server.memory();
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/images/variations HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b'a'; 1 << 20], b"\r\n"].concat();
    for _ in 0..100 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let after = server.memory();
    assert!(after < before + 30.0, "{before} MB, then {after} MB");
}

#[test]
fn long_bodies_are_refused() {
    let server = Running::start(&["--max-upload=1", "--max-megapixels=1"]);
    let large = vec![0u8; 1_100_000];
    let form = Form::default().file("image", &large);
    assert_eq!(
        server.post_form("/v1/images/variations", &form).error(413)["code"],
        "request_too_large"
    );
    let text = json!({ "prompt": "a".repeat(1_100_000) });
    server.post_json("/v1/images/generations", &text).error(413);
    // Also one that does not say how long it is.
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/images/generations HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [format!("{:x}\r\n", 100_000).as_bytes(), &[b' '; 100_000], b"\r\n"].concat();
    for _ in 0..12 {
        let _ = stream.write_all(&chunk);
    }
    Answer::read(&mut stream).error(413);
    let wide = encode(&GrayImage::new(1100, 1000).into());
    let error =
        server.post_form("/v1/images/variations", &Form::default().file("image", &wide)).error(400);
    assert!(error["message"].as_str().unwrap().contains("1100 x 1000"), "{error}");
}
