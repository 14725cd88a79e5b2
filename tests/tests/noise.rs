//! The generator against torch's own draws (recorded by golden/record_noise.py).

use noise::Generator;
use serde_json::Value;

fn close(ours: &[f32], recorded: &[Value], what: &str) {
    assert_eq!(ours.len(), recorded.len(), "{what}");
    for (i, (ours, recorded)) in ours.iter().zip(recorded).enumerate() {
        let recorded = recorded.as_f64().unwrap();
        let off = (f64::from(*ours) - recorded).abs();
        assert!(off <= 1e-6, "{what}, value {i}: {ours}, torch {recorded}");
    }
}

#[test]
fn normals_are_those_of_torch() {
    let record: Value = serde_json::from_str(include_str!("../golden/noise/torch.json")).unwrap();
    for (name, streams) in record.as_object().unwrap() {
        for stream in streams.as_array().unwrap() {
            let seed = stream["seed"].as_str().unwrap().parse().unwrap();
            let mut generator = Generator::new(seed);
            for draw in stream["draws"].as_array().unwrap() {
                let count = draw["count"].as_u64().unwrap() as usize;
                let recorded = draw["values"].as_array().unwrap();
                let mut ours = generator.normal(count);
                if recorded.len() < count {
                    let half = recorded.len() / 2;
                    ours.drain(half..count - half);
                }
                close(&ours, recorded, &format!("{name}, seed {seed}, {count} values"));
            }
            let off = generator.uniform() - stream["uniform"].as_f64().unwrap();
            assert!(off.abs() < 1e-15, "{name}, seed {seed}, uniform: off by {off}");
        }
    }
}

#[test]
fn a_large_draw_keeps_the_spare_value_of_a_small_one() {
    let mut whole = Generator::new(7);
    let pair = whole.normal(2);
    let mut broken = Generator::new(7);
    let first = broken.normal(1);
    broken.normal(64);
    assert_eq!([first[0], broken.normal(1)[0]], [pair[0], pair[1]]);
}

#[test]
fn a_saved_generator_goes_on_where_it_stopped() {
    let mut generator = Generator::new(11);
    generator.normal(5);
    let saved = serde_json::to_string(&generator).unwrap();
    let mut resumed: Generator = serde_json::from_str(&saved).unwrap();
    assert_eq!(resumed, generator);
    for count in [1, 40, 3] {
        assert_eq!(resumed.normal(count), generator.normal(count));
    }
    assert_eq!(resumed.below(1000), generator.below(1000));
}

#[test]
fn a_damaged_saved_generator_is_refused() {
    let mut saved = serde_json::to_value(Generator::new(1)).unwrap();
    saved["engine"]["words"].as_array_mut().unwrap().pop();
    let error = serde_json::from_value::<Generator>(saved).unwrap_err();
    assert!(error.to_string().contains("623 words"), "{error}");
}

#[test]
fn integers_and_orders_are_evenly_spread() {
    let mut generator = Generator::new(3);
    let mut counts = [0; 7];
    (0..70_000).for_each(|_| counts[generator.below(7) as usize] += 1);
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");

    let mut orders = std::collections::BTreeMap::new();
    for _ in 0..6_000 {
        let mut items = [0, 1, 2];
        generator.shuffle(&mut items);
        *orders.entry(items).or_insert(0) += 1;
    }
    assert_eq!(orders.len(), 6);
    assert!(orders.values().all(|count| (850..1_150).contains(count)), "{orders:?}");
}
