//! `unclip bench`, and what `unclip info` tells of the machine.

use super::Workplace;

#[test]
fn bench_measures_each_stage() {
    let place = Workplace::new();
    let bench = |more: &[&str]| {
        let few = [
            "bench",
            "--model=model",
            "--rounds=1",
            "--prior-steps=3",
            "--decoder-steps=2",
            "--upsampler-steps=2",
        ];
        place.run(&[&few, more].concat()).succeeds().stdout
    };
    let told: serde_json::Value = serde_json::from_str(&bench(&["--json"])).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    assert_eq!((&told["dtype"], &told["threads"]), (&"f32".into(), &1.into()));
    assert!(number(&told["load"]) < number(&told["first_picture"]));
    assert!(number(&told["peak_memory"]) > 1e7);
    assert!(number(&told["peak_matrix"]) > 1e8 && number(&told["peak_convolution"]) > 1e8);
    let stages = told["stages"].as_array().unwrap();
    let steps: Vec<_> = stages
        .iter()
        .map(|stage| (stage["stage"].as_str().unwrap(), stage["steps"].as_i64().unwrap()))
        .collect();
    assert_eq!(steps, [("prior", 3), ("decoder", 2), ("upsampler", 2)]);
    let all: f64 =
        stages.iter().map(|stage| number(&stage["step"][0]) * number(&stage["steps"])).sum();
    assert!(all > 0.0 && all < 3.0 * number(&told["picture"]), "{told}");

    let table = bench(&[]);
    assert!(table.contains("| decoder | 2 |"), "{table}");
}

#[test]
fn info_without_a_picture_tells_of_the_machine() {
    let place = Workplace::new();
    let info = |caches: &str| {
        let mut command = place.command(&["info"]);
        let ran = command.env("XDG_CACHE_HOME", place.path(caches)).output();
        String::from_utf8(ran.unwrap().stdout).unwrap()
    };
    let told = info("caches");
    assert!(told.starts_with("unclip ") && told.contains("1 threads"), "{told}");
    assert!(told.contains("no convolution was tried here yet"), "{told}");
}
