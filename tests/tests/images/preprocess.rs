//! Images to the arrays that the image encoder takes.

use families::configs::{image_processor_config, image_processor_json};
use image::{Rgb, RgbImage};
use images::ImageProcessor;
use images::resize::{Filter, resize, resize_reducing};
use ndarray::{Axis, s};

fn pattern(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(std::array::from_fn(|c| ((31 * x + 57 * y + 83 * c as u32 + 13 * x * y) % 256) as u8))
    })
}

/// Recorded by golden/record_reduced.py: blocks are whole, or cut at the right and lower edge.
#[test]
fn reducing_before_resizing_is_pillows() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let open = |path: std::path::PathBuf| image::open(path).unwrap().to_rgb8();
    let mut compared = 0;
    for entry in std::fs::read_dir(golden.join("reduced")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let numbers: Vec<u32> = name.split('-').map(|number| number.parse().unwrap()).collect();
        let [index, width, height] = numbers[..] else { panic!("{name}") };
        let image = open(golden.join(format!("data/images/{index}.png")));
        let ours = resize_reducing(&image, width, height, Filter::Bicubic);
        assert!(ours == open(path), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 18);
    // A side that is less than twice as long is not reduced.
    let image = pattern(9, 7);
    assert!(
        resize_reducing(&image, 5, 8, Filter::Bicubic) == resize(&image, 5, 8, Filter::Bicubic)
    );
}

/// Recorded from Pillow 13.0.0.
#[test]
fn resizing_is_pillows() {
    use Filter::{Bicubic, Bilinear};
    type Recorded<'a> = ((u32, u32), (u32, u32), Filter, &'a [u8]);
    let recorded: [Recorded; 7] = [
        ((4, 3), (2, 2), Bicubic, &[38, 126, 167, 107, 149, 98, 134, 200, 72, 148, 109, 125]),
        ((4, 3), (2, 2), Bilinear, &[47, 130, 158, 104, 145, 105, 130, 190, 81, 144, 117, 122]),
        (
            (3, 2),
            (5, 3),
            Bicubic,
            &[
                0, 77, 159, 5, 88, 177, 26, 109, 209, 48, 131, 231, 58, 141, 241, 27, 109, 202, 40,
                123, 161, 66, 149, 104, 93, 176, 125, 106, 189, 144, 58, 141, 244, 74, 157, 145,
                106, 189, 0, 137, 220, 18, 154, 237, 47,
            ],
        ),
        // So tall that the columns come first.
        ((3, 9), (2, 2), Bicubic, &[111, 157, 122, 135, 152, 130, 123, 129, 148, 128, 123, 132]),
        ((3, 9), (2, 2), Bilinear, &[113, 156, 122, 136, 150, 129, 123, 131, 147, 127, 124, 134]),
        (
            (5, 5),
            (3, 7),
            Bicubic,
            &[
                7, 90, 188, 57, 143, 182, 107, 205, 8, 41, 128, 161, 107, 166, 96, 182, 100, 71,
                92, 185, 105, 160, 160, 57, 183, 52, 165, 142, 225, 44, 174, 109, 138, 58, 141,
                232, 195, 192, 90, 123, 127, 167, 135, 117, 106, 185, 133, 146, 117, 153, 140, 153,
                97, 108, 148, 87, 179, 140, 169, 98, 123, 93, 183,
            ],
        ),
        (
            (6, 4),
            (6, 2),
            Bicubic,
            &[
                33, 116, 178, 72, 165, 99, 120, 173, 138, 128, 94, 69, 167, 142, 107, 98, 181, 115,
                138, 221, 69, 200, 166, 100, 145, 110, 163, 90, 142, 117, 152, 87, 180, 66, 149,
                125,
            ],
        ),
    ];
    for ((width, height), (new_width, new_height), filter, levels) in recorded {
        let resized = resize(&pattern(width, height), new_width, new_height, filter);
        assert_eq!(
            resized.as_raw(),
            levels,
            "{width}x{height} to {new_width}x{new_height}, {filter:?}"
        );
    }
    let same = resize(&pattern(5, 4), 5, 4, Filter::Bicubic);
    assert_eq!(same, pattern(5, 4));
}

#[test]
fn a_picture_is_resized_by_its_shorter_side_and_cropped_in_the_middle() {
    let picture = |width, height| RgbImage::from_pixel(width, height, Rgb([255, 0, 51]));
    let clip = image_processor_config(b"{}").unwrap();
    assert_eq!(clip, ImageProcessor::clip(224));
    assert_eq!(image_processor_config(image_processor_json(&clip).as_bytes()).unwrap(), clip);
    assert_eq!(clip.output_size(), Some((224, 224)));
    let pixels = clip.preprocess(&[picture(40, 90), picture(30, 20)]).unwrap();
    assert_eq!(pixels.shape(), [2, 3, 224, 224]);
    for (channel, wanted) in
        [(1.0 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258, (0.2 - 0.40821073) / 0.27577711]
            .into_iter()
            .enumerate()
    {
        for pixel in pixels.index_axis(Axis(1), channel) {
            assert!((f64::from(*pixel) - wanted).abs() < 1e-6);
        }
    }

    // A crop that is larger than the picture is filled with black, the odd row above.
    let raw =
        br#"{"do_resize": false, "crop_size": 4, "do_rescale": false, "do_normalize": false}"#;
    let pixels = image_processor_config(raw).unwrap().preprocess(&[picture(6, 1)]).unwrap();
    let rows: Vec<f32> =
        pixels.slice(s![0, 0, .., ..]).rows().into_iter().map(|r| r.sum() / 4.0).collect();
    assert_eq!(rows, [0.0, 0.0, 255.0, 0.0]);
}

#[test]
fn a_senseless_preprocessor_config_or_picture_is_an_error() {
    for (config, wanted) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        (r#"{"size": 0}"#, "size is 0"),
        (r#"{"size": {"shortest_edge": 99999}}"#, "99999"),
        (r#"{"crop_size": "big"}"#, "crop_size"),
        (r#"{"resample": 5}"#, "resample is 5"),
        (r#"{"do_resize": 3}"#, "do_resize is 3"),
        (r#"{"image_mean": [0, 0]}"#, "image_mean"),
        (r#"{"image_std": [1, 0, 1]}"#, "image_std"),
        (r#"{"rescale_factor": -1}"#, "rescale_factor is -1"),
        (r#"{"rescale_factor": 1e300}"#, "rescale_factor is 1e+300"),
        (r#"{"image_mean": [0.5, 0.5, 0.5, 0.5]}"#, "image_mean"),
        (r#"{"image_mean": [0.5, 0.5, 0.5, null]}"#, "image_mean is [0.5,0.5,0.5,null]"),
        (r#"{"image_mean": [0.5, "x", 0.5, 0.5]}"#, "image_mean"),
        (r#"{"image_mean": [1e300, 0, 0]}"#, "image_mean"),
        (r#"{"image_std": [1, 1, 1, true]}"#, "image_std"),
        (r#"{"image_std": [1e-300, 1, 1]}"#, "image_std"),
        (r#"{"image_std": [-1, 1, 1]}"#, "image_std"),
        (r#"{"size": {"shortest_edge": 224, "longest_edge": 300}}"#, "size is"),
        (r#"{"size": {"shortest_edge": 224, "height": 3, "width": 3}}"#, "size is"),
        (r#"{"size": {"height": 3, "width": 3, "depth": 3}}"#, "size is"),
        (r#"{"crop_size": {"shortest_edge": 224}}"#, "crop_size is"),
        (r#"{"size": 224, "size": 225}"#, "\"size\" is there twice"),
    ] {
        let error = image_processor_config(config.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{config}: {error}");
    }
    let clip = ImageProcessor::clip(224);
    let error = clip.preprocess(&[RgbImage::new(1, 60000)]).unwrap_err().to_string();
    assert!(error.contains("1x60000"), "{error}");
    assert!(clip.preprocess(&[RgbImage::new(0, 5)]).is_err());
    let uncut = image_processor_config(br#"{"size": 8, "do_center_crop": false}"#).unwrap();
    let error =
        uncut.preprocess(&[RgbImage::new(8, 8), RgbImage::new(16, 8)]).unwrap_err().to_string();
    assert!(error.contains("8x8 and 16x8"), "{error}");
}
