//! A rank in Rust of a group that has one in Python too: `tests/cluster/peer.py`, line by line.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use collectives::{Group, JoinOptions, Reduction};
use launcher::Launch;
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let launch = Launch::from_environment()?.ok_or("this process is alone")?;
    let minute = Duration::from_secs(60);
    let options = JoinOptions {
        join_timeout: minute,
        timeout: minute,
        // Python takes part in no round.
        fresh_round: std::env::var_os("FRESH_ROUND").is_some(),
        ..JoinOptions::default()
    };
    let group = Group::join(&launch, &options)?;
    let (rank, world) = (launch.rank as i64, launch.world as i64);
    let range = Tensor::arange(4, (Kind::Int64, Device::Cpu));
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half, Kind::Int64, Kind::Uint8] {
        let tensor = (&range + rank).to_kind(kind);
        group.all_reduce(&tensor, Reduction::Sum)?;
        assert_eq!(tensor, (&range * world + world * (world - 1) / 2).to_kind(kind));
    }
    let full = |count: i64, value: f64| Tensor::full([count], value, (Kind::Float, Device::Cpu));
    let mean = full(3, rank as f64);
    group.all_reduce(&mean, Reduction::Mean)?;
    assert_eq!(mean, full(3, (world - 1) as f64 / 2.0));
    for root in 0..launch.world {
        let mut tensor = full(5, (10 * rank + 7) as f64);
        group.broadcast(&mut tensor, root)?;
        assert_eq!(tensor, full(5, (10 * root + 7) as f64));
    }
    let gathered = group.all_gather_into(&full(2, rank as f64))?;
    let wanted: Vec<Tensor> = (0..world).map(|rank| full(2, rank as f64)).collect();
    assert_eq!(gathered, Tensor::cat(&wanted, 0));
    group.barrier()?;
    println!("rank {rank} of {world}, in Rust: all as it must be");
    Ok(())
}
