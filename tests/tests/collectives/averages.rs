//! Averages of gradients, in buckets, while the backward pass runs, and through a gather.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use collectives::{
    GradientBuckets, GradientHooks, Group, JoinOptions, OverlappedBuckets, Reduction,
};
use launcher::Launch;
use tch::{Device, Kind, Tensor, no_grad};

use super::ranks::{Setting, join};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Numbers that look random, the same everywhere.
fn noise(size: &[i64], seed: i64) -> Tensor {
    let count: i64 = size.iter().product();
    let x = Tensor::arange(count, (Kind::Double, Device::Cpu)) + (seed * 1000) as f64;
    ((x * 12.9898).sin() * 43758.5453).frac().to_kind(Kind::Float).view(size)
}

fn leaf(size: &[i64], seed: i64) -> Tensor {
    noise(size, seed).set_requires_grad(true)
}

#[test]
fn buckets_fill_in_reverse_order_the_first_at_one_mebibyte_and_others_at_25() {
    let zeros = |count: i64| Tensor::zeros([count], CPU);
    let mebi = (1 << 20) / 4;
    let half = zeros(8).to_kind(Kind::Half);
    let parameters = [
        zeros(30 * mebi),
        zeros(4),
        zeros(13 * mebi),
        half,
        zeros(12 * mebi),
        zeros(mebi),
        zeros(2),
    ];
    let buckets = GradientBuckets::new(&parameters);
    assert_eq!(buckets.assignment(), [&[6, 5][..], &[4, 2], &[1, 0], &[3]]);
    assert!(GradientBuckets::new(&[]).assignment().is_empty());
}

#[test]
fn gradients_in_buckets_have_the_mean_of_all_ranks() {
    for world in [2, 4] {
        Setting::new("averages", world).run_all();
    }
}

/// Parameters of a network with layers that fill several buckets; the third is used by rank 0 alone, the last by none.
fn parameters() -> Vec<Tensor> {
    let mut parameters =
        vec![leaf(&[300, 500], 1), leaf(&[500, 700], 2), leaf(&[500], 3), leaf(&[700, 400], 4)];
    parameters.push(leaf(&[7], 5));
    parameters
}

fn loss(parameters: &[Tensor], rank: i64) -> Tensor {
    let x = noise(&[8, 300], 10 + rank).matmul(&parameters[0]).tanh();
    let x = if rank == 0 { x + &parameters[2] } else { x };
    x.matmul(&parameters[1]).tanh().matmul(&parameters[3]).square().mean(Kind::Float)
}

/// The means by one plain all-reduce a gradient.
fn plain(group: &Group, rank: i64) -> Vec<Tensor> {
    let parameters = parameters();
    loss(&parameters, rank).backward();
    let gradients = parameters.iter().map(|parameter| {
        let gradient = parameter.grad();
        let gradient = if gradient.defined() { gradient } else { parameter.zeros_like().detach() };
        group.all_reduce(&gradient, Reduction::Mean).unwrap();
        gradient
    });
    gradients.collect()
}

/// But for the rounding of sums in another order.
fn assert_near(one: &Tensor, other: &Tensor) {
    let difference = (one - other).abs().max().double_value(&[]);
    let greatest = other.abs().max().double_value(&[]);
    assert!(difference < 1e-6 * greatest, "{difference} of {greatest}");
}

fn assert_means(parameters: &[Tensor], means: &[Tensor], world: usize) {
    for (n, (parameter, mean)) in parameters.iter().zip(means).enumerate() {
        let gradient = parameter.grad();
        if n == parameters.len() - 1 {
            assert!(!gradient.defined(), "no rank has the last one's");
        } else if world == 2 {
            // A sum of two has one order.
            assert_eq!(&gradient, mean, "parameter {n}");
        } else {
            assert_near(&gradient, mean);
        }
    }
}

pub(crate) fn buckets(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let rank = launch.rank as i64;
    let means = plain(&group, rank);
    let parameters = parameters();
    let buckets = GradientBuckets::new(&parameters);
    assert!(buckets.assignment().len() > 1);
    loss(&parameters, rank).backward();
    let before = parameters[0].grad().copy();
    buckets.average(&group, &parameters).unwrap();
    assert_means(&parameters, &means, launch.world);
    assert_ne!(parameters[0].grad(), before, "ranks have other gradients");
    group.barrier().unwrap();
}

#[test]
fn buckets_leave_while_the_backward_pass_runs() {
    for world in [2, 4] {
        Setting::new("overlap", world).run_all();
    }
}

pub(crate) fn overlap(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let rank = launch.rank as i64;
    let means = plain(&group, rank);
    let mut parameters = parameters();
    let overlapped = OverlappedBuckets::new(&group, &parameters).unwrap();
    for step in 0..3 {
        parameters.iter_mut().for_each(|parameter| parameter.zero_grad());
        loss(&parameters, rank).backward();
        overlapped.finish().unwrap();
        if step == 0 {
            assert_means(&parameters, &means, launch.world);
        }
    }
    drop(overlapped);
    // Without the parameter that no rank uses, the first bucket leaves before the backward pass ends.
    let used = [0, 1, 3].map(|n| parameters[n].shallow_clone());
    let overlapped = OverlappedBuckets::new(&group, &used).unwrap();
    let halves = |count: usize| {
        used.iter().for_each(|parameter| no_grad(|| drop(parameter.grad().zero_())));
        for n in 0..count {
            overlapped.accumulate(n + 1 < count);
            (loss(&parameters, rank) / count as f64).backward();
            assert_eq!(overlapped.left() > 0, n + 1 == count);
        }
        overlapped.finish().unwrap();
        used.each_ref().map(|parameter| parameter.grad().copy())
    };
    for (once, twice) in halves(1).iter().zip(halves(2)) {
        assert_near(once, &twice);
    }
    for (gradient, n) in halves(1).iter().zip([0, 1, 3]) {
        assert_near(gradient, &means[n]);
    }
    group.barrier().unwrap();
}

#[test]
fn a_gradient_that_comes_after_its_bucket_left_is_an_error() {
    Setting::new("twice", 2).run_all();
}

pub(crate) fn twice(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let parameters = [leaf(&[3], 1)];
    let overlapped = OverlappedBuckets::new(&group, &parameters).unwrap();
    for _ in 0..2 {
        parameters[0].sum(Kind::Float).backward();
    }
    let error = overlapped.finish().unwrap_err().to_string();
    assert!(error.starts_with("a gradient hook: parameter 0 got a gradient twice"), "{error}");
}

#[test]
fn hooks_run_once_a_backward_pass_in_the_order_of_gradients_until_they_are_dropped() {
    let parameters = [leaf(&[2, 2], 1), leaf(&[2, 2], 2), leaf(&[2], 3)];
    let loss = || noise(&[1, 2], 4).matmul(&parameters[0]).matmul(&parameters[1]).sum(Kind::Float);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let hooks =
        GradientHooks::register(&parameters, move |n| seen.lock().unwrap().push(n)).unwrap();
    let again = GradientHooks::register(&parameters, |_| ()).err().expect("one hook a parameter");
    assert!(again.to_string().contains("parameter 0 has a hook already"), "{again}");
    loss().backward();
    assert_eq!(*calls.lock().unwrap(), [1, 0]);
    assert!(parameters[0].grad().defined() && !parameters[2].grad().defined());
    drop(hooks);
    loss().backward();
    assert_eq!(*calls.lock().unwrap(), [1, 0]);
    let no_leaf = [&parameters[0] * 2.0];
    let refusal = GradientHooks::register(&no_leaf, |_| ()).err().expect("no leaf");
    assert!(refusal.to_string().contains("parameter 0 is no leaf"), "{refusal}");
}

#[test]
fn a_panic_in_a_hook_stays_out_of_the_backward_pass() {
    let parameters = [leaf(&[2], 1)];
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let hooks = GradientHooks::register(&parameters, move |n| {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("hook {n} fails");
    });
    let hooks = hooks.unwrap();
    parameters[0].sum(Kind::Float).backward();
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(hooks.take_panic().as_deref(), Some("hook 0 fails"));
    assert_eq!(hooks.take_panic(), None);
}

#[test]
fn the_gradient_through_a_gather_is_that_of_one_process_with_all_the_data() {
    for world in [2, 4] {
        Setting::new("gather", world).run_all();
    }
}

const BATCH: i64 = 3;

fn embeddings(x: &Tensor, weight: &Tensor) -> Tensor {
    let y = x.matmul(weight);
    let norm = y.norm_scalaropt_dim(2, [-1], true);
    y / norm
}

/// CLIP's loss of the rows of a batch that begin at `first`, within all of it.
fn contrastive(rows: [&Tensor; 2], all: [&Tensor; 2], first: i64) -> Tensor {
    let labels = Tensor::arange_start(first, first + rows[0].size()[0], (Kind::Int64, Device::Cpu));
    let one = |rows: &Tensor, all: &Tensor| {
        (rows.matmul(&all.tr()) * 5.0).cross_entropy_for_logits(&labels)
    };
    (one(rows[0], all[1]) + one(rows[1], all[0])) / 2.0
}

pub(crate) fn gather(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let (rank, world) = (launch.rank as i64, launch.world as i64);
    let [images, texts] = [noise(&[BATCH * world, 6], 1), noise(&[BATCH * world, 5], 2)];
    let weights = || [leaf(&[6, 4], 3), leaf(&[5, 4], 4)];
    let whole = weights();
    let all = [embeddings(&images, &whole[0]), embeddings(&texts, &whole[1])];
    contrastive([&all[0], &all[1]], [&all[0], &all[1]], 0).backward();
    let mut distances = Vec::new();
    for exact in [true, false] {
        let part = weights();
        let mine = |x: &Tensor| x.narrow(0, rank * BATCH, BATCH);
        let rows = [embeddings(&mine(&images), &part[0]), embeddings(&mine(&texts), &part[1])];
        let all = rows.each_ref().map(|rows| match exact {
            true => group.gather_with_gradient(rows).unwrap(),
            false => group.all_gather_into(rows).unwrap(),
        });
        contrastive(rows.each_ref(), all.each_ref(), rank * BATCH).backward();
        GradientBuckets::new(&part).average(&group, &part).unwrap();
        let pairs = part.iter().zip(&whole);
        let distance =
            pairs.map(|(part, whole)| (part.grad() - whole.grad()).abs().max().double_value(&[]));
        distances.push(distance.fold(0.0, f64::max));
    }
    assert!(distances[0] < 1e-6, "{distances:?}");
    assert!(distances[1] > 1e-3, "without its gradient the gather gives another: {distances:?}");
    group.barrier().unwrap();
}
