//! The objective of GLIDE's base, erased regions and the hybrid loss, and the recipes of its presets.

use std::collections::BTreeSet;

use ::diffusion::{BetaSchedule, Schedule};
use families::Shapes;
use noise::Generator;
use tch::{Device, Kind, Tensor};
use training::noising::Noising;
use training::regions::known_pixels;
use training::{Recipe, SampleGenerators, SampleRequest};

use crate::diffusion::normal;

/// The side of the masks.
const SIDE: usize = 32;

/// The kind of region that is erased from an image, as far as its mask tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Erased {
    Nothing,
    Everything,
    /// All but a rectangle.
    Frame,
    /// One rectangle or two.
    Rectangles,
    /// Strokes or a polygon.
    Free,
}

/// Whether pixels fill the smallest rectangle around them.
fn is_rectangle(pixels: &[(usize, usize)]) -> bool {
    let side = |place: fn(&(usize, usize)) -> usize| {
        let places = || pixels.iter().map(place);
        places().max().unwrap_or_default() + 1 - places().min().unwrap_or_default()
    };
    pixels.len() == side(|pixel| pixel.0) * side(|pixel| pixel.1)
}

fn erased(known: &[f32]) -> Erased {
    let pixels = |value: f32| -> Vec<(usize, usize)> {
        let found = (0..known.len()).filter(|&n| known[n] == value);
        found.map(|n| (n % SIDE, n / SIDE)).collect()
    };
    let (erased, remaining) = (pixels(0.0), pixels(1.0));
    assert_eq!(erased.len() + remaining.len(), SIDE * SIDE, "values are 0 or 1");
    let bits = |row: &[f32]| row.iter().map(|value| *value == 1.0).collect::<Vec<bool>>();
    let rows: BTreeSet<Vec<bool>> = known.chunks(SIDE).map(bits).collect();
    if remaining.is_empty() {
        Erased::Everything
    } else if erased.is_empty() {
        Erased::Nothing
    } else if is_rectangle(&remaining) {
        Erased::Frame
    } else if rows.len() <= 4 {
        // Of two rectangles come rows of four kinds at most.
        Erased::Rectangles
    } else {
        Erased::Free
    }
}

/// A generator for each of so many images.
fn generators(seed: u64, count: usize) -> SampleGenerators {
    let request = SampleRequest { subset: 0, seed, size: 0, hard_negatives: false, noise: 0 };
    SampleGenerators::new(request, 0, count)
}

fn masks(seed: u64, erase_all: f64, count: usize) -> Vec<f32> {
    let images =
        Tensor::zeros([count as i64, 3, SIDE as i64, SIDE as i64], (Kind::Float, Device::Cpu));
    let known = known_pixels(generators(seed, count).iter_mut(), erase_all, &images);
    assert_eq!(known.size(), [count as i64, 1, SIDE as i64, SIDE as i64]);
    Vec::try_from(&known.flatten(0, -1)).unwrap()
}

#[test]
fn regions_of_each_kind_are_erased() {
    const COUNT: usize = 3000;
    let known = masks(1, 0.3, COUNT);
    assert!(known == masks(1, 0.3, COUNT) && known != masks(2, 0.3, COUNT));
    assert!(masks(1, 1.0, 9).iter().all(|value| *value == 0.0));
    let kinds: Vec<Erased> = known.chunks(SIDE * SIDE).map(erased).collect();
    let share = |wanted| kinds.iter().filter(|kind| **kind == wanted).count() as f64 / COUNT as f64;
    // Of the images that are not erased as a whole, two fifths lose rectangles, and a fifth each strokes, a polygon, a frame:
    // more free shapes than a fifth are both kinds.
    for (kind, expected) in [
        (Erased::Everything, 0.3),
        (Erased::Rectangles, 0.7 * 0.4),
        (Erased::Free, 0.7 * 0.4),
        (Erased::Frame, 0.7 * 0.2),
    ] {
        let share = share(kind);
        assert!((share - expected).abs() < 0.04, "{kind:?}: {share}");
    }
    assert!(share(Erased::Nothing) < 0.01, "a frame seldom has no side");
    let erased = known.iter().filter(|value| **value == 0.0).count() as f64 / known.len() as f64;
    assert!((0.45..0.65).contains(&erased), "{erased}");
    let kinds = masks(1, 0.0, 300);
    let kinds: Vec<Erased> = kinds.chunks(SIDE * SIDE).map(self::erased).collect();
    assert!(!kinds.contains(&Erased::Everything));
}

#[test]
fn regions_seldom_cut_a_thing() {
    // A white disc on black, as a thing in a scene; a region cuts it where it erases a part.
    const COUNT: usize = 400;
    const RADIUS: f64 = 0.2 * SIDE as f64;
    let is_thing = |place: usize| {
        let [x, y] = [place % SIDE, place / SIDE].map(|at| at as f64 + 0.5 - SIDE as f64 / 2.0);
        x.powi(2) + y.powi(2) < RADIUS.powi(2)
    };
    let thing: Vec<f32> = (0..SIDE * SIDE).map(|place| f32::from(is_thing(place))).collect();
    let shape = [COUNT as i64, 3, SIDE as i64, SIDE as i64];
    let scenes =
        Tensor::from_slice(&thing).view([1, 1, SIDE as i64, SIDE as i64]).expand(shape, true);
    let share_of_cuts = |images: &Tensor| {
        let known = known_pixels(generators(1, COUNT).iter_mut(), 0.0, images);
        let known = Vec::<f32>::try_from(&known.flatten(0, -1)).unwrap();
        let cuts = known.chunks(SIDE * SIDE).filter(|known| {
            let rest: f32 = known.iter().zip(&thing).map(|(known, thing)| known * thing).sum();
            0.0 < rest && rest < thing.iter().sum()
        });
        cuts.count() as f64 / COUNT as f64
    };
    let (blind, seeing) = (share_of_cuts(&scenes.zeros_like()), share_of_cuts(&scenes));
    // A fourth of the images loses any region.
    assert!(seeing > 0.15 * blind && seeing < 0.5 * blind, "{seeing} of {blind}");
}

#[test]
fn the_hybrid_loss_is_that_of_its_formulas() {
    const COUNT: usize = 6;
    const VALUES: usize = 3 * 4 * 4;
    const LIMIT: f64 = 5.0;
    let generator = &mut Generator::new(4);
    let shape = [COUNT as i64, 3, 4, 4];
    let levels: Vec<f32> =
        (0..COUNT * VALUES).map(|_| generator.below(256) as f32 / 127.5 - 1.0).collect();
    let clean = Tensor::from_slice(&levels).view(shape);
    let eps = normal(generator, &shape);
    let noising = Noising::new(Device::Cpu);
    let noised = noising.noise(&clean, &eps, &mut generators(4, COUNT));
    let timesteps = Vec::<i64>::try_from(&noised.timesteps).unwrap();
    assert!(timesteps.iter().all(|t| *t > 0), "the image's own cost is another formula");
    // A prediction that is nearly right, and variances between the bounds.
    let predicted = &eps + normal(generator, &shape) * 0.1;
    let variance = normal(generator, &shape) * 0.5;
    let output = Tensor::cat(&[&predicted, &variance], 1).set_requires_grad(true);
    let (loss, metrics) = noising.hybrid_loss(&output, &clean, &noised, LIMIT);
    loss.backward();

    let numbers = |tensor: &Tensor| -> Vec<f64> {
        Vec::try_from(&tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
    };
    let [clean, eps, x_t, predicted, variance] =
        [&clean, &eps, &noised.values, &predicted, &variance].map(numbers);
    let alpha_bar = Schedule::new(BetaSchedule::Cosine, 1000).alphas_cumprod;
    let (mut simple, mut error, mut bound) = (0.0, 0.0, 0.0);
    let mut gradients = Vec::new();
    for n in 0..COUNT * VALUES {
        let t = timesteps[n / VALUES] as usize;
        let (now, before) = (alpha_bar[t], alpha_bar[t - 1]);
        let beta = 1.0 - now / before;
        // 2102.09672, equations 9, 15 and 16; the weights of the noise's error are 2202.00512's, limited.
        let off = predicted[n] - eps[n];
        let weight = (1.0 / now).min(LIMIT);
        simple += weight * off.powi(2);
        error += off.powi(2);
        gradients.push(2.0 * weight * off / (COUNT * VALUES) as f64);
        let x_0 = (x_t[n] - (1.0 - now).sqrt() * predicted[n]) / now.sqrt();
        let posterior = beta * (1.0 - before) / (1.0 - now);
        let of_beta = (variance[n] + 1.0) / 2.0;
        let log_variance = of_beta * beta.ln() + (1.0 - of_beta) * posterior.ln();
        let apart = before.sqrt() * beta / (1.0 - now) * (x_0 - clean[n]);
        let log_ratio = posterior.ln() - log_variance;
        let divergence =
            0.5 * (log_ratio.exp() - 1.0 - log_ratio + apart.powi(2) * (-log_variance).exp());
        bound += divergence / std::f64::consts::LN_2;
    }
    let count = (COUNT * VALUES) as f64;
    let (simple, error, bound) = (simple / count, error / count, bound / count);
    let close = |ours: f64, theirs: f64, what: &str| {
        assert!((ours / theirs - 1.0).abs() < 1e-3, "{what}: {ours} and {theirs}");
    };
    close(loss.double_value(&[]), simple + bound, "the loss");
    assert_eq!(metrics.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["noise_error", "bound"]);
    close(metrics[0].1, error, "the noise's error");
    close(metrics[1].1, bound, "the bound");
    // The bound trains the variance alone.
    let ours = numbers(&output.grad().narrow(1, 0, 3));
    for (ours, theirs) in ours.iter().zip(&gradients) {
        assert!((ours - theirs).abs() < 1e-6, "{ours} and {theirs}");
    }
    assert!(numbers(&output.grad().narrow(1, 3, 3)).iter().any(|gradient| *gradient != 0.0));
}

fn refused(text: &str, changes: &[&str]) -> String {
    let message = Recipe::read(text, &Shapes::default(), changes).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn recipes_whose_glide_does_not_fit_are_refused_with_the_numbers() {
    let tiny = Recipe::preset_text("tiny").unwrap();
    for (change, sentence) in [
        ("glide.text.heads=3", "glide.text: its hidden_size 16 is not a multiple"),
        ("glide.unet.norm_groups=3", "glide.unet: its block_out_channels 8 is not a multiple"),
        ("glide.text.width=24", "glide.unet.attention.context_width must agree, but are 24 and 16"),
        (
            "glide.text.time_width=48",
            "the time embedding of glide.unet must agree, but are 48 and 32",
        ),
        (
            "glide.unet.out_channels=5",
            "twice the channels of a picture must agree, but are 5 and 6",
        ),
        ("glide.unet.in_channels=4", "the channels of a picture must agree, but are 4 and 3"),
        ("glide.unet.sample_size=16", "glide.unet.sample_size must agree, but are 8 and 16"),
        ("glide.drop_caption=1.5", "glide.drop_caption is 1.5, and must be between 0 and 1"),
        ("glide.inpainting.erase_all=-0.5", "erase_all is -0.5, and must be between 0 and 1"),
        ("glide.inpainting.erase=0.5", "no `erase` there, but erase_all, run"),
        ("glide.weight_limit=0.0", "glide.weight_limit is 0, and must be above 0"),
        ("glide.drawing.decoder_steps=0", "decoder_steps is 0, and must be between 1 and 1000"),
        ("glide.drawing.upsampler_steps=1001", "upsampler_steps is 1001, and must be between 1"),
        ("glide.drawing.decoder_guidance_scale=nan", "scale is NaN, and must be a finite number"),
        ("glide.run.batch=0", "glide.run.batch is 0, and must be between 1 and 1048576"),
        ("glide.inpainting.run.accumulate=3", "glide.inpainting.run.batch is 4, which cannot"),
        ("noised_clip.text.heads=3", "noised_clip.text: its hidden_size 16 is not a multiple"),
        ("noised_clip.image.patch_size=3", "noised_clip.image: its image_size 8 is not a multiple"),
        (
            "noised_clip.text.embedding=24",
            "noised_clip.image.embedding must agree, but are 24 and 16",
        ),
        ("noised_clip.image.timesteps=500", "the schedule's must agree, but are 500 and 1000"),
        ("noised_clip.run.accumulate=2", "noised_clip.run.accumulate is 2, and must be 1"),
        ("noised_clip.run.learning_rate=-1.0", "noised_clip.run.learning_rate is -1"),
    ] {
        let message = refused(tiny, &[change]);
        assert!(message.contains(sentence), "{change}: {message}");
    }
    // A network that knows to paint has the channels of that already.
    Recipe::read(tiny, &Shapes::default(), &["glide.unet.in_channels=7"]).unwrap();

    let (before, network) = tiny.split_once("[glide.unet]").unwrap();
    let attention = network.lines().find(|line| line.starts_with("attention")).unwrap();
    let without = format!("{before}[glide.unet]{}", network.replacen(attention, "", 1));
    let message = refused(&without, &[]);
    assert!(message.contains("glide.unet has no attention, by which it reads"), "{message}");
}

#[test]
fn presets_have_the_parts_of_a_compact_glide_but_for_karlos() {
    for preset in ["tiny", "small", "paper"] {
        let recipe = Recipe::preset(preset).unwrap();
        let (glide, clip) = (recipe.glide().unwrap(), recipe.noised_clip().unwrap());
        let sides = (glide.unet.sample_size, clip.image.image_size);
        assert_eq!((glide.unet.in_channels, sides.0), (3, sides.1), "{preset}");
        assert_eq!(glide.inpainting_unet().in_channels, 7);
    }
    let karlo = Recipe::preset("karlo").unwrap();
    for (part, refused) in [
        ("`glide`", karlo.glide().unwrap_err().to_string()),
        ("`noised_clip`", karlo.noised_clip().unwrap_err().to_string()),
    ] {
        assert!(refused.contains(part) && refused.contains("small, tiny and paper"), "{refused}");
    }
}
