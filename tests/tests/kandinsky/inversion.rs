//! Inversion in latents, and what is done with it: text diffs and interpolations between images.

use families::kandinsky::MOVQ;
use noise::Generator;
use pipeline::{Decoding, Interpolation, Inversion, Latent, Pipeline, Settings, Silent, Step};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor, no_grad};

use super::case::golden_image;
use super::{MODELS, both};

fn open(model: &str) -> Pipeline {
    Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap()
}

/// The images `[1, 3, h, w]` of what the autoencoder encodes an image as.
fn encoded(model: &str, pipeline: &Pipeline, image: &str) -> Tensor {
    let folder = both(model).component(MOVQ).unwrap();
    let movq = families::open_movq(&folder, Device::Cpu, Kind::Float).unwrap();
    let base = pipeline.to_base_images(&[golden_image(image)]).unwrap();
    no_grad(|| movq.decode(&movq.encode(&base)).clamp(-1.0, 1.0))
}

fn error(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).square().mean(Kind::Float).double_value(&[])
}

#[test]
fn an_inversion_decodes_to_what_its_picture_is_encoded_as() {
    for model in MODELS {
        let pipeline = open(model);
        let mut previews = Vec::new();
        let mut observer = |step: Step<'_>| {
            previews.push(step.preview().unwrap()[0].dimensions());
            ControlFlow::Continue(())
        };
        let inversion = pipeline.invert(&[golden_image("3.png")], 50, &mut observer).unwrap();
        let side = pipeline.base_side().unwrap();
        assert_eq!(previews, [(side, side); 50]);
        let back = |inversion: &Inversion, eta: f64| {
            let streams = &mut [Generator::new(1)];
            let decoding = Decoding { eta, ..Decoding::EXACT };
            pipeline.decode_inversion(inversion, decoding, streams, &mut Silent).unwrap()
        };
        let known = encoded(model, &pipeline, "3.png");
        let own = error(&back(&inversion, 0.0), &known);
        let drawn = error(&back(&inversion, 1.0), &known);
        let noise = Tensor::from_slice(&Generator::new(9).normal(inversion.noise.numel()));
        let noise = noise.view_as(&inversion.noise);
        let other =
            Inversion { noise, embedding: inversion.embedding.shallow_clone(), ..inversion };
        let other = error(&back(&other, 0.0), &known);
        assert!(own < 1e-3 && drawn > 10.0 * own && other > 10.0 * own, "{own} {drawn} {other}");
    }
}

#[test]
fn one_network_at_a_time_inverts_the_same() {
    let images = [golden_image("3.png")];
    let invert = |pipeline: &Pipeline| {
        let inversion = pipeline.invert(&images, 5, &mut Silent).unwrap();
        let (streams, decoding) = (&mut [Generator::new(1)], Decoding::EXACT);
        let decoding = Decoding { guidance_scale: 2.0, ..decoding };
        pipeline.decode_inversion(&inversion, decoding, streams, &mut Silent).unwrap()
    };
    assert_eq!(invert(&open("two").low_memory()), invert(&open("two")));
}

/// A text diff of no strength is the image, and a way between two images ends at both.
#[test]
fn text_diffs_and_ways_begin_at_the_picture() {
    let pipeline = open("two");
    let settings = Settings::of_family(&families::kandinsky()).without_prior();
    let images = ["3.png", "1.png"].map(golden_image);
    let known = ["3.png", "1.png"].map(|image| encoded("two", &pipeline, image));
    let far = |image: &image::RgbImage, known: &Tensor| {
        let known = pipeline::to_images(known).remove(0);
        let pairs = image.as_raw().iter().zip(known.as_raw());
        pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / image.as_raw().len() as f64
    };
    let diff = pipeline.text_diff(&images[0], "a red house", "a boat", 50, &mut Silent).unwrap();
    let frame = |t| diff.frames(&pipeline, t, &[1], &settings, &mut Silent).unwrap().remove(0);
    let (first, last) = (frame(0.0), frame(1.0));
    assert!(far(&first, &known[0]) < 3.0, "{}", far(&first, &known[0]));
    assert!(first != last);
    let [from, to] = images.each_ref().map(|image| {
        let inversion = pipeline.invert(std::slice::from_ref(image), 50, &mut Silent).unwrap();
        Latent::Inversion(inversion)
    });
    let way = Interpolation::new(from, to, 1, &settings);
    for (t, known) in [(0.0, &known[0]), (1.0, &known[1])] {
        let frame = way.frame(&pipeline, t, &mut Silent).unwrap();
        assert!(far(&frame, known) < 3.0, "{t}: {}", far(&frame, known));
    }
}
