//! Checkpoints: whose they are, and what is done about damaged ones.

use tch::{Device, Kind, Tensor};
use training::{AdamW, Checkpoints, Group};

use super::settings;

fn one_weight(rows: i64) -> AdamW {
    let weight = Tensor::ones([rows, 2], (Kind::Float, Device::Cpu));
    AdamW::new(vec![("w".to_owned(), weight)], settings())
}

/// Takes a step of some optimiser.
fn step(optimizer: &mut AdamW, weight: &Tensor) {
    weight.square().sum(Kind::Float).backward();
    optimizer.step(0.1).unwrap();
}

#[test]
fn a_checkpoint_of_another_model_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = |model: &'static str, upstream: &'static str| Checkpoints {
        folder: folder.path(),
        model,
        upstream,
        data: "scenes",
    };
    let own = checkpoints("prior", "encoders");
    let alone = Group::alone();
    assert!(!own.resume(&mut one_weight(2), &alone).unwrap());
    own.save(&one_weight(2), &alone).unwrap();
    let refused = |checkpoints: Checkpoints, rows: i64| {
        let error = checkpoints.resume(&mut one_weight(rows), &Group::alone()).unwrap_err();
        error.to_string()
    };
    let message = refused(checkpoints("clip", "encoders"), 2);
    assert!(message.contains("step-000000000") && message.contains("`prior`"), "{message}");
    let message = refused(checkpoints("prior", "other encoders"), 2);
    assert!(message.contains("encoders"), "{message}");
    let message = refused(checkpoints("prior", "encoders"), 3);
    assert!(message.contains("[2, 2]") && message.contains("[3, 2]"), "{message}");
    assert!(own.resume(&mut one_weight(2), &alone).unwrap());
}

#[test]
fn a_damaged_checkpoint_is_noticed_and_the_one_before_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints =
        Checkpoints { folder: folder.path(), model: "prior", upstream: "", data: "scenes" };
    let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
    let mut optimizer = AdamW::new(vec![("w".to_owned(), weight.shallow_clone())], settings());
    for _ in 0..4 {
        step(&mut optimizer, &weight);
        checkpoints.save(&optimizer, &Group::alone()).unwrap();
    }
    let resumed = || {
        let mut optimizer = one_weight(2);
        let found = checkpoints.resume(&mut optimizer, &Group::alone());
        found.map(|found| (found, optimizer.steps_taken()))
    };
    let found = checkpoints.found();
    assert_eq!(found.len(), 2, "older ones are removed");
    assert_eq!(resumed().unwrap(), (true, 4));
    for file in ["tensors.safetensors", "state.json", "manifest.json"] {
        let path = found[0].join(file);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(resumed().unwrap(), (true, 3), "byte {at} of {file}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(resumed().unwrap(), (true, 3), "{file} cut short");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(resumed().unwrap(), (true, 3), "{file} is gone");
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(resumed().unwrap(), (true, 4));
    }
    // A damaged one gives way to one of the same step, and where none is whole, nothing begins anew unasked.
    std::fs::write(found[0].join("state.json"), "{").unwrap();
    checkpoints.save(&optimizer, &Group::alone()).unwrap();
    assert_eq!(resumed().unwrap(), (true, 4));
    for path in checkpoints.found() {
        std::fs::remove_file(path.join("manifest.json")).unwrap();
    }
    let message = resumed().unwrap_err().to_string();
    assert!(message.contains("step-000000004") && message.contains("--runs"), "{message}");
}

#[test]
fn numbers_that_nothing_goes_on_from_are_noticed_by_tensor() {
    let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
    for (tensor, value, shown) in [
        ("average", f64::NAN, "NaN"),
        ("master", 1e38, "1e38"),
        ("mean", f64::NEG_INFINITY, "-inf"),
        ("square", f64::INFINITY, "inf"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints =
            Checkpoints { folder: folder.path(), model: "prior", upstream: "", data: "scenes" };
        let mut optimizer = AdamW::new(vec![("w".to_owned(), weight.copy())], settings());
        let mut state: Vec<(String, Tensor)> =
            optimizer.state().into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        let (_, damaged) = state.iter_mut().find(|(name, _)| name == tensor).unwrap();
        let _ = damaged.get(3).fill_(value);
        optimizer.restore(1, &state).unwrap();
        checkpoints.save(&optimizer, &Group::alone()).unwrap();
        let message = checkpoints.resume(&mut one_weight(2), &Group::alone()).unwrap_err();
        let message = message.to_string();
        let value = format!("of `{tensor}`, value 3 of 64 is {shown}");
        for word in ["step-000000001", "tensors.safetensors", &value] {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        // The one before it goes on.
        checkpoints.save(&one_weight(2), &Group::alone()).unwrap();
        assert!(checkpoints.resume(&mut one_weight(2), &Group::alone()).unwrap());
    }
}
