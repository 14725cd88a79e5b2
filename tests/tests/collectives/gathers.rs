//! The gather of a contrastive loss, whose gradient goes back to every rank.

use collectives::{JoinOptions, Reduction};
use launcher::Launch;
use tch::{Device, Kind, Tensor};

use super::ranks::{Setting, join};

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
        let gradients = part.each_ref().map(Tensor::grad);
        group.all_reduce_many(&gradients.each_ref(), Reduction::Mean).unwrap();
        let pairs = gradients.iter().zip(&whole);
        let distance =
            pairs.map(|(part, whole)| (part - whole.grad()).abs().max().double_value(&[]));
        distances.push(distance.fold(0.0, f64::max));
    }
    assert!(distances[0] < 1e-6, "{distances:?}");
    assert!(distances[1] > 1e-3, "without its gradient the gather gives another: {distances:?}");
    group.barrier().unwrap();
}
