//! The chain on the tiny golden models: what it refuses, and what a picture may not depend on. That its pictures are the
//! reference's is tested in `golden`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::settings::karlo_settings;
use families::{Completion, ModelFolders};
use files::walk::walk;
use image::RgbImage;
use noise::Generator;
use pipeline::{Error, Pipeline, Request, Settings, Silent, Step, Task, check_caption, to_images};
use tch::{Device, Kind, Tensor};
use weights::Folder;

mod low_memory;
mod settings;

const CAPTION: &str = "a red house under a blue sky";

/// The folder of a tiny model.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data").join(name).join("model")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files below a folder, by their paths in it.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap().to_owned();
        (name, fs::read(&path).unwrap())
    };
    walk(folder, |_| true).files.into_iter().map(|file| read(file.path)).collect()
}

/// A tiny model's pipeline, in f32 on the CPU.
pub(crate) fn open(name: &str) -> Pipeline {
    open_at(&model(name), None, Kind::Float).unwrap()
}

/// Two steps a stage, else as Karlo's authors draw.
pub(crate) fn few_steps() -> Settings {
    settings!(karlo_settings(), prior_steps: 2, decoder_steps: 2, upsampler_steps: 2)
}

fn open_at(path: &Path, prior: Option<&Path>, kind: Kind) -> Result<Pipeline, Error> {
    // Threads have nothing to share in such small networks, and wait for each other.
    tch::set_num_threads(1);
    let folder = |path: &Path| Folder::open(path).unwrap();
    let folders = ModelFolders { prior: prior.map(folder), ..ModelFolders::new(folder(path)) };
    Pipeline::open(folders, Device::Cpu, kind)
}

/// The way to complete a model that lacks a component.
fn completion(error: &Error) -> Option<Completion> {
    match error {
        Error::Families(families::Error::Missing { completion, .. }) => *completion,
        _ => None,
    }
}

fn draw(pipeline: &Pipeline, settings: &Settings, seed: u64) -> RgbImage {
    let request = Request::new(CAPTION, seed, settings.clone());
    pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
}

fn largest_difference(one: &Tensor, other: &Tensor) -> f64 {
    (one - other).abs().max().double_value(&[])
}

#[test]
fn every_stage_gives_each_picture_of_a_batch_what_it_gives_it_alone() {
    let pipeline = open("odd");
    // The last steps divide by next to nothing, so rounding shows: the bounds are loose, and another picture's noise or
    // caption would be off by more than 1.
    let settings =
        settings!(karlo_settings(), prior_steps: 3, decoder_steps: 3, upsampler_steps: 3);
    let captions = [CAPTION, "a rocket above the hills", "a mushroom"];
    let streams = || [11, 12, 13].map(Generator::new);
    let quiet = &mut Silent;
    let text = pipeline.encode_text(&captions).unwrap();
    let mut together = streams();
    let embedding = pipeline.sample_embedding(&text, &settings, &mut together, quiet).unwrap();
    let small = pipeline.decode(&embedding, &text, &settings, &mut together, quiet).unwrap();
    let large = pipeline.upsample(&small, &settings, &mut together, quiet).unwrap();
    assert_eq!(large.size(), [3, 3, 40, 40]);
    for (i, caption) in captions.iter().enumerate() {
        let row = |batch: &Tensor| batch.narrow(0, i as i64, 1);
        let text = pipeline.encode_text(&[caption]).unwrap();
        let mut alone = [streams()[i].clone()];
        let embedding_alone =
            pipeline.sample_embedding(&text, &settings, &mut alone, quiet).unwrap();
        assert!(
            largest_difference(&embedding_alone, &row(&embedding)) < 1e-3,
            "the embedding of {caption}"
        );
        let small_alone =
            pipeline.decode(&row(&embedding), &text, &settings, &mut alone, quiet).unwrap();
        assert!(
            largest_difference(&small_alone, &row(&small)) < 2e-2,
            "the small picture of {caption}"
        );
        let large_alone = pipeline.upsample(&row(&small), &settings, &mut alone, quiet).unwrap();
        assert!(
            largest_difference(&large_alone, &row(&large)) < 2e-2,
            "the large picture of {caption}"
        );
        assert!(alone[0] == together[i], "the noise drawn for {caption}");
    }
}

#[test]
fn a_seed_draws_the_same_picture_again_and_another_seed_another() {
    let pipeline = open("karlo");
    let pictures = pipeline.generate(CAPTION, &[4, 5, 4], &few_steps(), &mut Silent).unwrap();
    assert!(pictures[0] == pictures[2]);
    assert!(pictures[0] != pictures[1]);
}

#[test]
fn progress_is_told_stage_by_stage() {
    let settings =
        settings!(karlo_settings(), prior_steps: 2, decoder_steps: 3, upsampler_steps: 1);
    let mut told = Vec::new();
    open("karlo")
        .generate(CAPTION, &[1], &settings, &mut |step: Step<'_>| {
            told.push((step.stage.to_owned(), step.done, step.steps));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        told,
        [
            ("prior".to_owned(), 1, 2),
            ("prior".to_owned(), 2, 2),
            ("decoder".to_owned(), 1, 3),
            ("decoder".to_owned(), 2, 3),
            ("decoder".to_owned(), 3, 3),
            ("upsampler".to_owned(), 1, 1)
        ]
    );
}

#[test]
fn captions_without_words_or_with_nul_are_refused() {
    assert!(check_caption("a house").is_ok());
    assert!(matches!(check_caption(""), Err(Error::EmptyCaption)));
    assert!(matches!(check_caption(" \n"), Err(Error::EmptyCaption)));
    assert!(check_caption(&"a ".repeat(1 << 15)).is_ok());
    assert!(matches!(
        check_caption(&"a ".repeat((1 << 15) + 1)),
        Err(Error::LongCaption { length: 65538 })
    ));
    assert!(matches!(check_caption("a\0house"), Err(Error::NulInCaption { position: 1 })));
}

#[test]
fn f16_on_the_cpu_is_refused() {
    assert!(matches!(open_at(&model("karlo"), None, Kind::Half), Err(Error::HalfOnCpu)));
}

#[test]
fn bf16_draws_nearly_the_f32_embedding() {
    let embedding = |kind| {
        let pipeline = open_at(&model("karlo"), None, kind).unwrap();
        let text = pipeline.encode_text(&[CAPTION]).unwrap();
        let mut stream = [Generator::new(1)];
        pipeline
            .sample_embedding(&text, &few_steps(), &mut stream, &mut Silent)
            .unwrap()
            .to_kind(Kind::Float)
    };
    let (exact, rounded) = (embedding(Kind::Float), embedding(Kind::BFloat16));
    let off = largest_difference(&exact, &rounded) / exact.abs().max().double_value(&[]);
    assert!(off > 0.0 && off < 0.1, "off by {off} of the largest value");
}

#[test]
fn bf16_draws_a_whole_picture() {
    let pipeline = open_at(&model("odd"), None, Kind::BFloat16).unwrap();
    assert_eq!(draw(&pipeline, &few_steps(), 1).dimensions(), (40, 40));
}

#[test]
fn a_missing_prior_is_named_with_its_flag_and_completed() {
    let place = tempfile::tempdir().unwrap();
    let (lacking, whole) = (place.path().join("lacking"), model("karlo"));
    copy_folder(&whole, &lacking);
    fs::remove_dir_all(lacking.join("prior")).unwrap();
    fs::remove_dir_all(lacking.join("prior_scheduler")).unwrap();
    let missing = open_at(&lacking, None, Kind::Float)
        .unwrap()
        .prepare(Task::GENERATE, &few_steps())
        .unwrap_err();
    assert!(missing.to_string().contains("lacking"), "{missing}");
    assert_eq!(completion(&missing), Some(Completion::Prior));
    let expected = draw(&open("karlo"), &few_steps(), 1);
    for prior in [whole.clone(), whole.join("prior")] {
        let pipeline = open_at(&lacking, Some(&prior), Kind::Float).unwrap();
        pipeline.prepare(Task::GENERATE, &few_steps()).unwrap();
        assert!(draw(&pipeline, &few_steps(), 1) == expected, "completed with {}", prior.display());
    }
}

#[test]
fn a_prior_without_its_scheduler_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let lacking = place.path().join("lacking");
    copy_folder(&model("karlo"), &lacking);
    fs::remove_dir_all(lacking.join("prior_scheduler")).unwrap();
    let missing = open_at(&lacking, None, Kind::Float)
        .unwrap()
        .prepare(Task::GENERATE, &few_steps())
        .unwrap_err()
        .to_string();
    assert!(missing.contains("prior_scheduler"), "{missing}");
}

#[test]
fn parts_of_different_models_are_refused_with_both_numbers() {
    let pipeline = open_at(&model("karlo"), Some(&model("deep")), Kind::Float).unwrap();
    let refused = pipeline.prepare(Task::GENERATE, &few_steps()).unwrap_err();
    let Error::Mismatch { second, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(Path::new(&second), model("deep").join("prior"), "the folder of the part");
}

#[test]
fn parts_that_do_not_fit_are_named_by_their_folders() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&model("deep"), place.path());
    fs::remove_dir_all(place.path().join("text_encoder")).unwrap();
    let from = model("karlo").join("text_encoder");
    copy_folder(&from, &place.path().join("text_encoder"));
    let pipeline = open_at(place.path(), None, Kind::Float).unwrap();
    let refused = pipeline.prepare(Task::GENERATE, &few_steps()).unwrap_err();
    let refused = refused.to_string();
    let folder = |part: &str| place.path().join(part).display().to_string();
    for word in [folder("text_encoder"), "do not fit each other".to_owned()] {
        assert!(refused.contains(&word), "{word} is not in: {refused}");
    }
}

#[test]
fn pictures_are_encoded_for_the_decoder() {
    let pipeline = open("deep");
    let picture = RgbImage::from_fn(50, 40, |x, y| image::Rgb([x as u8 * 5, y as u8 * 6, 99]));
    let embedding = pipeline.encode_images(&[picture.clone(), picture]).unwrap();
    assert_eq!(embedding.size(), [2, 20]);
    assert!(largest_difference(&embedding.get(0), &embedding.get(1)) < 1e-5);
}

#[test]
fn a_missing_image_encoder_is_named_with_its_completion() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&model("deep"), place.path());
    fs::remove_dir_all(place.path().join("image_encoder")).unwrap();
    let pipeline = open_at(place.path(), None, Kind::Float).unwrap();
    pipeline.prepare(Task::GENERATE, &few_steps()).unwrap();
    let missing = pipeline.prepare(Task::VARY, &few_steps()).unwrap_err();
    assert!(missing.to_string().contains("image_encoder"), "{missing}");
    assert_eq!(completion(&missing), Some(Completion::ImageEncoder));
}

#[test]
fn defaults_come_from_the_model_and_are_karlos_where_it_has_none() {
    assert_eq!(open("karlo").defaults().unwrap(), karlo_settings());
    let place = tempfile::tempdir().unwrap();
    let ours = settings!(karlo_settings(), prior_steps: 9, decoder_guidance_scale: 2.5);
    let index = |defaults: serde_json::Value| {
        let index =
            serde_json::json!({"_class_name": "UnCLIPPipeline", "unclip_defaults": defaults});
        fs::write(place.path().join("model_index.json"), index.to_string()).unwrap();
        open_at(place.path(), None, Kind::Float).unwrap().defaults()
    };
    assert_eq!(index(serde_json::to_value(&ours).unwrap()).unwrap(), ours);
    let refused = index(serde_json::json!({"prior_steps": "nine"})).unwrap_err().to_string();
    assert!(
        refused.contains("model_index.json") && refused.contains("unclip_defaults"),
        "{refused}"
    );
}

#[test]
fn values_become_the_nearest_of_256_levels() {
    let level = |n: f32| n / 127.5 - 1.0;
    // 0 lies halfway between two levels and goes to the even one, as numpy rounds.
    let values = [0.0, level(1.6), level(254.6), -7.0, 7.0, level(100.2)];
    let picture = &to_images(&Tensor::from_slice(&values).view([1, 3, 1, 2]))[0];
    // The planes are red, green and blue.
    assert_eq!(picture.get_pixel(0, 0).0, [128, 255, 255]);
    assert_eq!(picture.get_pixel(1, 0).0, [2, 0, 100]);
}

#[test]
fn the_small_picture_that_clip_finds_closest_is_kept() {
    let pipeline = open("deep");
    let text = pipeline.encode_text(&[CAPTION, "a mushroom"]).unwrap();
    let quiet = &mut Silent;
    let three = settings!(few_steps(), candidates: 3);
    pipeline.prepare(Task::GENERATE, &three).unwrap();
    let width = pipeline.embedding_width().unwrap();
    let given = Tensor::from_slice(&Generator::new(5).normal(2 * width as usize)).view([2, width]);
    let mut chosen = BTreeSet::new();
    for given in [None, Some(&given)] {
        let mut streams = [31, 32].map(Generator::new);
        let kept = pipeline.sample_base(given, &text, &three, &mut streams, quiet).unwrap();
        let mut alone = [31, 32].map(Generator::new);
        let drawn = [0; 3]
            .map(|_| pipeline.sample_base(given, &text, &few_steps(), &mut alone, quiet).unwrap());
        assert!(alone == streams, "three candidates draw the noise of three");
        let seen = drawn.each_ref().map(|small| pipeline.encode_images(&to_images(small)).unwrap());
        for row in 0..2 {
            let asked = given.unwrap_or(&text.embedding).get(row);
            let cosine = |seen: &Tensor| {
                let seen = seen.get(row);
                let dot = (&seen * &asked).sum(Kind::Float) / (seen.norm() * asked.norm());
                dot.double_value(&[])
            };
            let cosines = seen.each_ref().map(cosine);
            let best = (0..3).max_by(|&a, &b| cosines[a].total_cmp(&cosines[b])).unwrap();
            assert_eq!(kept.get(row), drawn[best].get(row), "{cosines:?}");
            chosen.insert(best);
        }
    }
    assert!(chosen.len() > 1, "always candidate {chosen:?}");
    let none = settings!(few_steps(), candidates: 0);
    let refusal = pipeline.prepare(Task::GENERATE, &none).unwrap_err();
    assert!(refusal.to_string().contains("candidates is 0"), "{refusal}");
}

#[test]
fn the_candidate_closest_to_the_caption_is_kept() {
    let pipeline = open("deep");
    let text = pipeline.encode_text(&[CAPTION, "a mushroom"]).unwrap();
    let quiet = &mut Silent;
    let settings = settings!(few_steps(), prior_candidates: 3);
    let mut streams = [21, 22].map(Generator::new);
    let kept = pipeline.sample_embedding(&text, &settings, &mut streams, quiet).unwrap();
    let mut alone = [21, 22].map(Generator::new);
    let drawn =
        [0; 3].map(|_| pipeline.sample_embedding(&text, &few_steps(), &mut alone, quiet).unwrap());
    assert!(alone == streams, "three candidates draw the noise of three");
    for row in 0..2 {
        let cosine = |embedding: &Tensor| {
            let (one, other) = (embedding.get(row), text.embedding.get(row));
            (&one * &other).sum(Kind::Float) / (one.norm() * other.norm())
        };
        let cosines = drawn.each_ref().map(|one| cosine(one).double_value(&[]));
        let best = (0..3).max_by(|&a, &b| cosines[a].total_cmp(&cosines[b])).unwrap();
        assert_eq!(kept.get(row), drawn[best].get(row), "{cosines:?}");
    }
}
