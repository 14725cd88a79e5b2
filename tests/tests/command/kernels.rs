//! The cache of `--tune`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{Ran, Workplace};

impl Workplace {
    /// `unclip` with the caches in a folder of the workplace, as users run it.
    fn run_with_caches(&self, caches: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command
            .env_remove("UNCLIP_DETERMINISTIC")
            .env("HOME", self.path("home"))
            .env("XDG_CACHE_HOME", caches);
        Ran::new(command.output().unwrap())
    }

    fn absolute(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// The only file of a folder of caches.
    fn cache(&self, caches: &str) -> PathBuf {
        let mut files = fs::read_dir(self.path(caches).join("unclip/kernels")).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

#[test]
fn only_tune_measures_and_what_it_measured_is_used_again() {
    let place = Workplace::new();
    let caches = place.absolute("caches");
    // The model inside has convolutions that are large enough.
    let draw = |more: &[&str]| {
        let usual = [
            "generate",
            "--prior-steps=1",
            "--decoder-steps=1",
            "--upsampler-steps=1",
            "--seed=1",
            "--force",
            "--out=one.png",
            super::CAPTION,
        ];
        place.run_with_caches(&caches, &[&usual, more].concat()).succeeds();
    };
    draw(&[]);
    assert!(!place.path("caches").exists());
    draw(&["--tune"]);
    let measured = fs::read(place.cache("caches")).unwrap();
    draw(&["--tune"]);
    assert_eq!(fs::read(place.cache("caches")).unwrap(), measured);
    let table = place.run_with_caches(&caches, &["info"]).succeeds().stdout;
    assert!(table.contains("| 256 x 256 |"), "{table}");
    // A cache that nobody wrote is measured anew.
    fs::write(place.cache("caches"), "[[[").unwrap();
    draw(&["--tune"]);
    assert!(fs::read(place.cache("caches")).unwrap().starts_with(b"{"));
    place
        .run_with_caches(&caches, &["generate", "--tune", "--deterministic", super::CAPTION])
        .refuses(&["--tune", "--deterministic"]);
}

#[test]
fn a_cache_that_is_no_plain_file_is_not_there() {
    let place = Workplace::new();
    let caches = place.absolute("caches");
    let nothing = place.run_with_caches(&caches, &["info"]).succeeds().stdout;
    assert!(nothing.contains("--tune"), "{nothing}");
    // The file's name, as a run writes it.
    let line = nothing.lines().next().unwrap();
    let processor = line.split_once(", ").unwrap().1.rsplit_once(", ").unwrap().0;
    let slug: Vec<String> = processor
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let file = place.path("caches/unclip/kernels").join(format!("{}-1.json", slug.join("-")));
    fs::create_dir_all(file.parent().unwrap()).unwrap();

    let table = r#"{"processor":"P","threads":1,"trials":[{"shape":{"batch":1,"inputs":7,"outputs":7,"height":7,"width":7,"doubled":false,"halves":false},"seconds":[1.0,1.0,1.0,1.0]}]}"#;
    let table = table.replace('P', processor);
    fs::write(&file, &table).unwrap();
    let read = place.run_with_caches(&caches, &["info"]).succeeds().stdout;
    assert!(read.contains("| 7 x 7 |"), "{read}");

    let is_absent = |what: &str| {
        let read = place.run_with_caches(&caches, &["info"]).succeeds().stdout;
        assert_eq!(read, nothing, "{what}");
        fs::remove_file(&file).unwrap();
    };
    fs::write(&file, table + &" ".repeat(1 << 20)).unwrap();
    is_absent("a file of more than 1 MiB");
    symlink("/dev/zero", &file).unwrap();
    is_absent("/dev/zero");
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    is_absent("a fifo");

    // A relative folder of caches would be another one in every folder.
    let relative = place.run_with_caches("caches", &["info"]).succeeds().stdout;
    assert_eq!(relative, nothing);
}

#[test]
fn the_instructions_of_kernels_are_chosen_by_name() {
    let place = Workplace::new();
    let info = |name: &str| {
        let mut command = place.command(&["info"]);
        Ran::new(command.env("UNCLIP_SIMD", name).output().unwrap())
    };
    for simd in kernels::Simd::ALL.into_iter().filter(|simd| simd.is_available()) {
        let table = info(simd.name()).succeeds().stdout;
        assert!(table.contains(&format!(", {}, ", simd.name())), "{table}");
    }
    let widest = info("").succeeds().stdout;
    assert!(widest.contains(&format!(", {}, ", kernels::Simd::current().name())), "{widest}");
    let narrowest = kernels::Simd::Bits128.name();
    info("avx3").refuses(&["UNCLIP_SIMD is avx3: the kernels have", narrowest]);
}

#[test]
fn weights_in_bf16_draw_nearly_the_same_and_are_refused_where_they_gain_nothing() {
    let place = Workplace::new();
    let draw = |name: &str, more: &[&str]| {
        let out = format!("--out={name}");
        place.generate(&[&["--seed=1", &out], more].concat())
    };
    draw("f32.png", &[super::CAPTION]).succeeds();
    draw("bf16.png", &["--weights=bf16", super::CAPTION]).succeeds();
    let pixels = |name: &str| image::open(place.path(name)).unwrap().to_rgb8().into_raw();
    let [f32s, halves] = ["f32.png", "bf16.png"].map(pixels);
    let off: f64 = f32s.iter().zip(&halves).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let off = off / f32s.len() as f64;
    assert!((0.001..8.0).contains(&off), "{off}");
    // The picture knows, and is drawn again from itself without a warning with the same flag alone.
    let again =
        |more: &[&str]| draw("again.png", &[&["--force", "--from=bf16.png"], more].concat());
    assert!(again(&[]).succeeds().stderr.contains("another --weights drew that picture"));
    assert!(!again(&["--weights=bf16"]).succeeds().stderr.contains("--weights"));
    let reason = "gain nothing in another dtype, on a GPU or with the model inside";
    draw("no.png", &["--weights=bf16", "--dtype=bf16", super::CAPTION])
        .refuses(&["--weights bf16", reason]);
    let inside = ["generate", "--weights=bf16", "--out=no.png", super::CAPTION];
    place.run(&inside).refuses(&["--weights bf16", reason]);
}
