//! The Frechet distance against closed forms and against scipy's matrix root (recorded by golden/record_solver.py).

use std::ops::Range;

use evaluation::Example;
use evaluation::frechet::{Gaussian, frechet};
use image::{DynamicImage, RgbImage};
use judge::{Judge, Subject};
use noise::Generator;
use scenes::Pairs;
use tch::{Kind, Tensor};

fn matrix(rows: &[&[f64]]) -> Tensor {
    Tensor::stack(&rows.iter().map(|row| Tensor::from_slice(row)).collect::<Vec<_>>(), 0)
}

fn gaussian(mean: &[f64], covariance: Tensor) -> Gaussian {
    Gaussian { mean: Tensor::from_slice(mean), covariance }
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-10 * expected.max(1.0), "{found}, not {expected}");
}

/// A rotation of three dimensions about two axes.
fn rotation() -> Tensor {
    let (sin, cos) = 0.7f64.sin_cos();
    let first = matrix(&[&[cos, -sin, 0.0], &[sin, cos, 0.0], &[0.0, 0.0, 1.0]]);
    let second = matrix(&[&[1.0, 0.0, 0.0], &[0.0, cos, -sin], &[0.0, sin, cos]]);
    first.matmul(&second)
}

fn diagonal(values: [f64; 3]) -> Tensor {
    Tensor::from_slice(&values).diag(0)
}

#[test]
fn gaussians_with_covariances_that_commute_have_the_distance_of_their_axes() {
    // |m - m'|^2 + sum (s - s')^2 over the deviations along the axes.
    let (one, other) = (diagonal([4.0, 1.0, 0.25]), diagonal([1.0, 9.0, 0.04]));
    let expected = 9.0 + 1.0 + (1.0 + 4.0 + 0.09);
    let means = [[1.0, 0.0, 2.0], [1.0, 3.0, 1.0]];
    let distance = |turn: &dyn Fn(&Tensor) -> Tensor| {
        let [a, b] = [(means[0], &one), (means[1], &other)].map(|(m, c)| gaussian(&m, turn(c)));
        near(a.distance(&b), b.distance(&a));
        a.distance(&b)
    };
    near(distance(&|covariance| covariance.shallow_clone()), expected);
    let turn = rotation();
    near(distance(&|covariance| turn.matmul(covariance).matmul(&turn.tr())), expected);
}

#[test]
fn two_dimensional_gaussians_have_the_closed_form_where_nothing_commutes() {
    // The trace of the root of a 2 x 2 matrix P is sqrt(tr P + 2 sqrt(det P)), here of P = C C'.
    let one = gaussian(&[0.0, 0.0], matrix(&[&[2.0, 1.0], &[1.0, 3.0]]));
    let other = gaussian(&[1.0, -2.0], matrix(&[&[5.0, -2.0], &[-2.0, 1.0]]));
    let product = one.covariance.matmul(&other.covariance);
    assert!(!product.allclose(&product.tr(), 1e-3, 1e-3, false), "they commute");
    // tr P = 10 - 2 - 2 + 3 and det P = 5 * 1.
    let root = (9.0 + 2.0 * 5.0f64.sqrt()).sqrt();
    near(one.distance(&other), 5.0 + (5.0 + 6.0) - 2.0 * root);
}

#[test]
fn the_distance_of_features_is_that_of_scipys_root() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../golden/solver/frechet.json")).unwrap();
    let sets: Vec<Vec<Vec<f64>>> = serde_json::from_value(recorded["sets"].clone()).unwrap();
    let [one, other] = [&sets[0], &sets[1]].map(|set| {
        let rows: Vec<&[f64]> = set.iter().map(Vec::as_slice).collect();
        matrix(&rows)
    });
    let expected = recorded["distance"].as_f64().unwrap();
    let found = frechet(&one, &other).unwrap();
    assert!((found - expected).abs() < 1e-9 * expected, "{found}, not {expected}");
    assert!(frechet(&one, &one).unwrap().abs() < 1e-9);
}

#[test]
fn no_more_pictures_than_features_are_refused_with_their_number() {
    let features = |count: i64| {
        Tensor::from_slice(&Generator::new(count as u64).normal(5 * count as usize))
            .view([count, 5])
    };
    assert!(frechet(&features(6), &features(6)).is_ok());
    for (one, other) in [(5, 6), (6, 5)] {
        let error = frechet(&features(one), &features(other)).unwrap_err().to_string();
        assert!(
            error.starts_with("5 pictures are too few") && error.contains("5 features: it takes 6"),
            "{error}"
        );
    }
}

#[test]
fn pictures_without_colour_lie_further_from_true_ones_than_other_true_ones_do() {
    let judge = Judge::shipped(Subject::Scene).unwrap();
    let scenes = |numbers: Range<u64>| -> Vec<RgbImage> {
        numbers.map(|n| Example::draw(n, Pairs::Seen).scene.to_image(64)).collect()
    };
    let pictures = scenes(0..300);
    let features = judge.features(&pictures);
    assert_eq!((features.size(), features.kind()), (vec![300, 256], Kind::Double));
    // Pictures that lose their colour move away from themselves, further than they lie from other true pictures.
    let grey: Vec<_> = pictures
        .iter()
        .map(|picture| DynamicImage::ImageRgb8(picture.clone()).grayscale().into_rgb8())
        .collect();
    let far = frechet(&judge.features(&grey), &features).unwrap();
    let floor = frechet(&judge.features(&scenes(300..600)), &features).unwrap();
    assert!(far > 2.0 * floor && floor > 0.0, "{far} and {floor}");
}
