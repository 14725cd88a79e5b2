//! Files that are no pictures for the decoders are named by what they are.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use files::extensions::{IMAGES, UNSUPPORTED_IMAGES, is_image, is_unsupported_image};
use image::{ImageFormat, Rgb, RgbImage};
use images::formats::FileKind;
use images::{DecodeError, MAX_FILE_BYTES, decode_image, read_image, read_stream};

fn ftyp(brands: &str) -> Vec<u8> {
    let length = 8 + brands.len() as u32;
    [&length.to_be_bytes()[..], b"ftyp", brands.as_bytes(), b"\0\0\0\x08free"].concat()
}

#[test]
fn other_formats_are_named_with_a_converter() {
    let bmp = [b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(), &[0; 40]].concat();
    let svg =
        b"<?xml version=\"1.0\"?>\n<!-- drawn -->\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let tiff = b"II*\0\x08\0\0\0\0\0\0\0";
    let cases: [(&str, &[u8], &str, &str); 26] = [
        ("a.png", &ftyp("heic\0\0\0\0mif1heic"), "HEIC", "heif-convert"),
        ("a.jpg", &ftyp("mif1\0\0\0\0mif1heic"), "HEIC", "heif-convert"),
        ("a.heic", &ftyp("avif\0\0\0\0mif1avif"), "AVIF", "heif-convert"),
        ("a", &ftyp("mif1\0\0\0\0avifmiaf"), "AVIF", "heif-convert"),
        ("a.jpg", &ftyp("crx \0\0\0\x01crx isom"), "raw", "darktable-cli"),
        ("a.jpg", &ftyp("isom\0\0\x02\0isomiso2mp41"), "video", "ffmpeg"),
        ("a.jpg", b"\xff\x0a\xfa\x7f\x01", "JPEG XL", "djxl"),
        ("a.jpg", b"\0\0\0\x0cJXL \r\n\x87\n\0", "JPEG XL", "djxl"),
        ("a.jpg", b"\0\0\0\x0cjP  \r\n\x87\n\0", "JPEG 2000", "opj_decompress"),
        ("a.png", tiff, "TIFF", "magick"),
        ("a.png", b"MM\0+\0\x08\0\0", "TIFF", "magick"),
        ("a.NEF", tiff, "raw", "darktable-cli"),
        ("a.dng", b"MM\0*\0\0\0\x08", "raw", "darktable-cli"),
        ("a.tif", b"II*\0\x10\0\0\0CR\x02\0", "raw", "darktable-cli"),
        ("a.png", b"FUJIFILMCCD-RAW 0201", "raw", "darktable-cli"),
        ("a.png", &bmp, "BMP", "magick"),
        ("a.png", svg, "SVG", "rsvg-convert"),
        ("a.svgz", b"\x1f\x8b\x08\0", "SVG", "rsvg-convert"),
        ("a.png", b"%PDF-1.7\n", "PDF", "pdftoppm"),
        ("a.png", b"8BPS\0\x01\0\0", "Photoshop", "magick"),
        ("a.ico", b"\0\0\x01\0\x01\0\x10\x10", "icon", "magick"),
        ("a.png", b"\x76\x2f\x31\x01\x02\0\0\0", "OpenEXR", "magick"),
        ("a.png", b"qoif\0\0\0\x01", "QOI", "magick"),
        ("a.png", b"P6 2 2 255\n\0\0", "Netpbm", "magick"),
        // Its first bytes say nothing.
        ("a.TGA", b"\0\0\x02\0\0\0\0\0\0\0\0\0\x02\0\x02\0\x18\0", "TGA", "magick"),
        ("a.webp", b"gimp xcf v011\0", "GIMP", "magick"),
    ];
    for (name, bytes, format, converter) in cases {
        let error = decode_image(bytes, name).unwrap_err();
        assert!(matches!(error, DecodeError::Unknown { .. }), "{name}: {error}");
        let error = error.to_string();
        for word in [name, format, "not read", converter] {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let cases: [(&str, &[u8], &str); 9] = [
        ("a.png", b"", "an empty file"),
        ("a.heic", b"", "an empty file"),
        ("a.jpg", pointer, "git lfs pull"),
        ("a.jpg", b"<!DOCTYPE html><html><svg/></html>", "HTML page"),
        ("a.gif", b"{\"error\": \"not found\"}", "JSON"),
        ("a.webp", b"BMW makes cars", "a text"),
        ("a.webp", b"P3 is a plan", "a text"),
        ("a.png", b"PK\x03\x04\x14\0", "zip"),
        ("a.png", b"\x01\x02\x03\x04", "is no picture: PNG"),
    ];
    for (name, bytes, words) in cases {
        let error = decode_image(bytes, name).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(words), "{error}");
    }
}

#[test]
fn contents_win_over_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let picture = RgbImage::from_pixel(8, 8, Rgb([200, 40, 40]));
    for (name, format) in [
        ("jpeg.png", ImageFormat::Jpeg),
        ("png.jpg", ImageFormat::Png),
        ("webp.heic", ImageFormat::WebP),
        ("gif.tga", ImageFormat::Gif),
        ("jpeg", ImageFormat::Jpeg),
    ] {
        let path = folder.path().join(name);
        picture.save_with_format(&path, format).unwrap();
        let read = read_image(&path).unwrap().image;
        assert!(read.get_pixel(4, 4)[0] > 190, "{name}");
    }
}

#[test]
fn every_ending_of_other_images_is_named_and_none_is_read() {
    for ending in UNSUPPORTED_IMAGES {
        let name = format!("a.{}", ending.to_uppercase());
        assert!(is_unsupported_image(&name) && !is_image(&name), "{name}");
        let kind = FileKind::of(b"\x01\x02\x03\x04", Path::new(&name)).unwrap();
        assert!(matches!(kind, FileKind::Image { .. }), "{name}: {kind}");
    }
    for ending in IMAGES {
        let name = format!("a.{}", ending.to_uppercase());
        assert!(is_image(&name) && !is_unsupported_image(&name), "{name}");
        let kind = FileKind::of(b"\x01\x02\x03\x04", Path::new(&name));
        assert_eq!(kind, Some(FileKind::Unknown), "{name}");
    }
}

#[test]
fn no_more_is_read_than_a_picture_may_have() {
    let folder = tempfile::tempdir().unwrap();
    // A file with a hole takes no room.
    let path = folder.path().join("long.png");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"\x89PNG\r\n\x1a\n").unwrap();
    file.seek(SeekFrom::Start(MAX_FILE_BYTES)).unwrap();
    file.write_all(b"\0").unwrap();
    let error = read_image(&path).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { .. }), "{error}");
    assert!(error.to_string().contains(&MAX_FILE_BYTES.to_string()));
    // What is no picture is refused at its first bytes.
    let error = read_stream(std::io::repeat(1), "noise").unwrap_err();
    assert!(matches!(error, DecodeError::Unknown { .. }), "{error}");
}

#[test]
fn pngs_that_are_shorter_than_a_row_of_theirs_are_read() {
    use png::{BitDepth, ColorType, Compression, Encoder};
    let kinds = [
        (ColorType::Grayscale, BitDepth::One, 2048, 256),
        (ColorType::Rgba, BitDepth::Eight, 1024, 4096),
        (ColorType::Rgba, BitDepth::Sixteen, 1024, 8192),
    ];
    for (color, depth, width, row) in kinds {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, 64);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_compression(Compression::High);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![0; row * 64]).unwrap();
        writer.finish().unwrap();
        let levels = width as usize * color.samples();
        assert!(2 * bytes.len() < levels, "{} bytes of {color:?}", bytes.len());
        let image = decode_image(&bytes, "short.png").unwrap().image;
        assert_eq!(image.dimensions(), (width, 64));
    }
}
