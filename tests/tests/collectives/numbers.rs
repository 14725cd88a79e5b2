//! Every collective against the numbers that it must give, for each dtype.

use collectives::{Error, Group, JoinOptions, Reduction};
use launcher::Launch;
use tch::{Device, Kind, Tensor};

use super::ranks::{Setting, join};

#[test]
fn collectives_of_two_and_four_processes_give_known_numbers() {
    for world in [2, 4] {
        Setting::new("numbers", world).run_all();
        let setting = Setting { fresh_round: false, ..Setting::new("numbers", world) };
        setting.run_all();
    }
}

const FLOATS: [Kind; 4] = [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half];
const INTEGERS: [Kind; 4] = [Kind::Int64, Kind::Uint8, Kind::Int, Kind::Int8];

fn numbers(values: &[i64], kind: Kind) -> Tensor {
    Tensor::from_slice(values).to_kind(kind)
}

pub(crate) fn collectives(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let (rank, world) = (launch.rank as i64, launch.world as i64);
    assert_eq!((group.rank(), group.world()), (launch.rank, launch.world));
    assert_eq!(group.is_first(), rank == 0);
    for kind in FLOATS.into_iter().chain(INTEGERS) {
        // Rank r has [r + 1, 2 r].
        let mine = numbers(&[rank + 1, 2 * rank], kind);
        let below = world * (world - 1) / 2;
        for (reduction, wanted) in [
            (Reduction::Sum, [below + world, 2 * below]),
            (Reduction::Max, [world, 2 * (world - 1)]),
            (Reduction::Min, [1, 0]),
        ] {
            let tensor = mine.copy();
            group.all_reduce(&tensor, reduction).unwrap();
            assert_eq!(tensor, numbers(&wanted, kind), "{kind:?} {reduction:?}");
        }
        let mean = mine.copy();
        let answer = group.all_reduce(&mean, Reduction::Mean);
        if FLOATS.contains(&kind) {
            answer.unwrap();
            assert_eq!(&mean * 2.0, numbers(&[world + 1, 2 * (world - 1)], kind), "{kind:?}");
        } else {
            // Refused before anything is sent, so the group lives on.
            let refusal = answer.unwrap_err().to_string();
            assert_eq!(refusal, format!("all_reduce of {kind:?} [2]: integers have no mean"));
        }
        let all: Vec<Tensor> =
            (0..world).map(|rank| numbers(&[rank + 1, 2 * rank], kind)).collect();
        assert_eq!(group.all_gather(&mine).unwrap(), all, "{kind:?}");
        assert_eq!(group.all_gather_into(&mine).unwrap(), Tensor::cat(&all, 0), "{kind:?}");
        // Rank r sends [10 r + part] to each part.
        let parts: Vec<i64> = (0..world).map(|part| 10 * rank + part).collect();
        let part = group.reduce_scatter(&numbers(&parts, kind), Reduction::Sum).unwrap();
        assert_eq!(part, numbers(&[10 * below + world * rank], kind), "{kind:?}");
        for (root, wanted) in all.iter().enumerate() {
            let mut tensor = mine.copy();
            group.broadcast(&mut tensor, root).unwrap();
            assert_eq!(&tensor, wanted, "{kind:?} of {root}");
        }
    }
    others(&group, rank, world);
    group.barrier().unwrap();
}

fn others(group: &Group, rank: i64, world: i64) {
    // Tensors that are no neighbouring numbers, that require a gradient, that are scalars, or empty.
    let matrix = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]);
    let column = matrix.narrow(1, 1, 1);
    group.all_reduce(&column, Reduction::Sum).unwrap();
    let wanted = [0., world as f32, 2., 3., 4. * world as f32, 5.];
    assert_eq!(matrix, Tensor::from_slice(&wanted).view([2, 3]));
    let mut leaf = Tensor::full([2], rank, (Kind::Float, Device::Cpu)).set_requires_grad(true);
    group.broadcast(&mut leaf, 1).unwrap();
    assert!(leaf.requires_grad() && leaf.is_leaf());
    assert_eq!(leaf.detach(), Tensor::from_slice(&[1f32, 1.]));
    let scalar = Tensor::from(rank as f64);
    group.all_reduce(&scalar, Reduction::Mean).unwrap();
    assert_eq!(scalar.double_value(&[]), (world - 1) as f64 / 2.0);
    assert_eq!(group.all_gather(&scalar).unwrap().len(), world as usize);
    let empty = Tensor::empty([0, 3], (Kind::Float, Device::Cpu));
    group.all_reduce(&empty, Reduction::Sum).unwrap();
    assert_eq!(group.all_gather_into(&empty).unwrap().size(), [0, 3]);
    // Several on their way at once, waited for in another order.
    let tensors: Vec<Tensor> = (0..4).map(|n| numbers(&[n + rank], Kind::Double)).collect();
    let start = |tensor| group.start_all_reduce(tensor, Reduction::Sum).unwrap();
    let works: Vec<_> = tensors.iter().map(start).collect();
    works.into_iter().rev().for_each(|work| work.wait().unwrap());
    for (n, tensor) in (0..).zip(tensors) {
        assert_eq!(tensor, numbers(&[n * world + world * (world - 1) / 2], Kind::Double));
    }
    let [a, b] = [1., 2.].map(|n: f64| Tensor::from(n));
    group.all_reduce_many(&[&a, &b], Reduction::Sum).unwrap();
    assert_eq!((a.double_value(&[]), b.double_value(&[])), (world as f64, 2. * world as f64));
    // Bytes of any length, none too.
    let text = "na".repeat(rank as usize);
    let wanted: Vec<Vec<u8>> = (0..world).map(|rank| "na".repeat(rank as usize).into()).collect();
    assert_eq!(group.all_gather_bytes(text.as_bytes()).unwrap(), wanted);
    assert_eq!(group.all_gather_bytes(b"").unwrap(), vec![Vec::<u8>::new(); world as usize]);
    // Refusals that end nothing.
    for refused in [
        group.all_reduce(&Tensor::from_slice(&[true]), Reduction::Max),
        group.broadcast(&mut Tensor::from(1f32), world as usize),
        group.all_gather_into(&Tensor::from(1f32)).map(drop),
        group
            .reduce_scatter(&Tensor::zeros([world + 1], (Kind::Float, Device::Cpu)), Reduction::Sum)
            .map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Tensor { .. })), "{refused:?}");
    }
    assert_eq!(group.failure(), None);
}

#[test]
fn alone_every_collective_is_the_identity() {
    fn assert_send<T: Send>() {}
    assert_send::<Group>();
    assert_send::<collectives::Work>();
    let group = Group::default();
    assert_eq!((group.rank(), group.world(), group.is_first()), (0, 1, true));
    let mut tensor = numbers(&[3, 4], Kind::Float);
    group.all_reduce(&tensor, Reduction::Mean).unwrap();
    group.broadcast(&mut tensor, 0).unwrap();
    group.barrier().unwrap();
    assert_eq!(tensor, numbers(&[3, 4], Kind::Float));
    assert_eq!(group.all_gather(&tensor).unwrap(), [tensor.shallow_clone()]);
    assert_eq!(group.all_gather_into(&tensor).unwrap(), tensor);
    assert_eq!(group.reduce_scatter(&tensor, Reduction::Sum).unwrap(), tensor);
    assert_eq!(group.gather_with_gradient(&tensor).unwrap(), tensor);
    assert_eq!(group.all_gather_bytes(b"one").unwrap(), [b"one"]);
}
