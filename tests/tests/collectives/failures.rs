//! Ranks that die, stop, sleep or never come: the others end within the timeout, and say which.

use std::time::{Duration, Instant};

use collectives::{Group, JoinOptions, Reduction};
use launcher::Launch;
use tch::{Device, Kind, Tensor};

use super::ranks::{Rank, Setting, free_port, join, say};

/// Reduces until that fails, says so, and that it fails again at once.
fn reduce_until_it_fails(group: &Group) {
    let tensor = Tensor::zeros([100_000], (Kind::Float, Device::Cpu));
    let error = loop {
        if let Err(error) = group.all_reduce(&tensor, Reduction::Sum) {
            break error;
        }
    };
    say(&error.to_string());
    let begun = Instant::now();
    assert_eq!(group.barrier().unwrap_err(), error, "the group stays as it is");
    assert_eq!(group.all_gather_bytes(b"now").unwrap_err(), error);
    assert_eq!(group.failure(), Some(error));
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
}

pub(crate) fn reduce_for_ever(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    group.barrier().unwrap();
    say("joined");
    reduce_until_it_fails(&group);
    let begun = Instant::now();
    drop(group);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// The last rank sleeps after it joined, and then goes on.
pub(crate) fn sleeper(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    group.barrier().unwrap();
    say("joined");
    if launch.rank + 1 == launch.world {
        std::thread::sleep(Duration::from_secs(6));
    }
    reduce_until_it_fails(&group);
}

/// A rank dies before the backward pass, which fails with it.
pub(crate) fn backward(launch: &Launch, options: &JoinOptions) {
    let group = join(launch, options);
    let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let y = group.gather_with_gradient(&x).unwrap();
    say("joined");
    if launch.rank == 1 {
        std::thread::sleep(Duration::from_secs(600));
    }
    let loss = y.sum(Kind::Float);
    let failed = loss.f_backward().unwrap_err().to_string();
    assert!(failed.contains("a collective failed in the backward pass"), "{failed}");
    say(&group.failure().expect("a failure").to_string());
}

fn all_joined(ranks: &mut [Rank]) {
    ranks.iter_mut().for_each(|rank| assert_eq!(rank.hear(), "joined"));
}

/// Kills rank `dead` of a scenario's; what each of the others then says.
fn after_death(setting: &Setting, dead: usize, signal: &str) -> Vec<String> {
    let mut ranks = setting.start_all();
    all_joined(&mut ranks);
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    ranks[dead].signal(signal);
    let _dead = ranks.remove(dead);
    let lines: Vec<String> = ranks.into_iter().flat_map(Rank::finish).collect();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(lines.len(), setting.world - 1, "{lines:?}");
    lines
}

#[test]
fn a_rank_that_is_killed_is_named_by_all_others() {
    let wanted = "rank 2 of 4 left the group, or did not answer within 60 s: all_reduce";
    assert_eq!(after_death(&Setting::new("loop", 4), 2, "-KILL"), [wanted; 3]);
    let wanted = "rank 0, which hosts the store, is gone: all_reduce";
    assert_eq!(after_death(&Setting::new("loop", 3), 0, "-KILL"), [wanted; 2]);
}

#[test]
fn a_rank_that_computes_while_another_is_killed_is_not_named() {
    // The last rank sleeps, and goes on when rank 0 has left with the store.
    let wanted = "rank 1 of 4 left the group, or did not answer within 60 s: all_reduce";
    assert_eq!(after_death(&Setting::new("sleeper", 4), 1, "-KILL"), [wanted; 3]);
}

#[test]
fn a_rank_that_stops_is_named_after_the_timeout() {
    let setting = Setting { seconds: 5, ..Setting::new("loop", 3) };
    let wanted = "rank 1 of 3 left the group, or did not answer within 5 s: all_reduce";
    assert_eq!(after_death(&setting, 1, "-STOP"), [wanted; 2]);
}

#[test]
fn a_rank_that_is_late_is_named_though_it_runs() {
    let setting = Setting { seconds: 3, ..Setting::new("sleeper", 3) };
    let mut ranks = setting.start_all();
    all_joined(&mut ranks);
    let lines: Vec<String> = ranks.into_iter().flat_map(Rank::finish).collect();
    let wanted = "rank 2 of 3 did not come to all_reduce within 3 s, but still ran";
    assert_eq!(lines[..2], [wanted; 2]);
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[test]
fn a_rank_that_dies_before_the_backward_pass_of_a_gather_is_named() {
    let setting = Setting { seconds: 8, ..Setting::new("backward", 2) };
    let wanted = "rank 1 of 2 left the group, or did not answer within 8 s: reduce_scatter";
    assert_eq!(after_death(&setting, 1, "-KILL"), [wanted]);
}

#[test]
fn a_rank_that_never_comes_is_named() {
    for fresh_round in [true, false] {
        let setting = Setting { seconds: 4, fresh_round, ..Setting::new("sum", 3) };
        for rank in [setting.start(0), setting.start(1)] {
            let lines = rank.finish();
            assert_eq!(lines, ["rank 2 of 3 did not come within 4 s"], "fresh: {fresh_round}");
        }
        let setting = Setting { seconds: 2, fresh_round, ..Setting::new("sum", 2) };
        let lines = setting.start(1).finish();
        let wanted = format!("rank 0 did not answer at 127.0.0.1:{} within 2 s: ", setting.port);
        assert!(lines[0].starts_with(&wanted), "{lines:?}");
    }
}

#[test]
fn a_store_without_a_place_is_refused() {
    let launch = |host: Option<&str>, port| {
        let variables = |name: &str| match name {
            "RANK" => Some("0".to_owned()),
            "WORLD_SIZE" => Some("2".to_owned()),
            "MASTER_ADDR" => host.map(str::to_owned),
            "MASTER_PORT" => Some(format!("{port}")),
            _ => None,
        };
        Launch::from_variables(variables).unwrap().unwrap()
    };
    let options = JoinOptions { join_timeout: Duration::from_secs(2), ..JoinOptions::default() };
    let error = Group::join(&launch(None, 1), &options).unwrap_err().to_string();
    assert!(error.starts_with("MASTER_ADDR is not set: "), "{error}");
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    let error = Group::join(&launch(Some("127.0.0.1"), port), &options).unwrap_err().to_string();
    let wanted = format!("the store cannot be hosted at 127.0.0.1:{port}: ");
    assert!(error.starts_with(&wanted) && error.contains("EADDRINUSE"), "{error}");
}
