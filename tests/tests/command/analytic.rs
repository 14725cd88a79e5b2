//! `unclip calibrate`, and `--solver analytic`, which needs what it measures.

use std::fs;
use std::path::PathBuf;

use diffusion::{NoiseLevel, Schedule};
use families::DENOISING_ERRORS;
use noise::Generator;
use pipeline::{Pipeline, Solver, Stages, Task};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use super::{CAPTION, Workplace};
use crate::pipeline::{model, open};
use crate::settings::karlo_settings;

/// The tiny model's errors by a few scenes.
const CALIBRATE: [&str; 3] = ["calibrate", "--model=model", "--samples=40"];

fn errors_file(place: &Workplace) -> PathBuf {
    place.path("model/prior").join(DENOISING_ERRORS)
}

#[test]
fn errors_are_those_of_the_network() {
    let pipeline = open("deep");
    let text = pipeline.encode_text(&[CAPTION, "a rocket", ""]).unwrap();
    let mut generator = Generator::new(4);
    let mut normal = || Tensor::from_slice(&generator.normal(60)).view([3, 20]);
    let (embeddings, eps) = (normal(), normal());
    let timesteps = [0, 400, 999];
    let errors = pipeline.denoising_errors(&text, &embeddings, &eps, &timesteps).unwrap();

    let folder = Folder::open(model("deep")).unwrap();
    let open = families::open_prior(&folder.component("prior"), Device::Cpu, Kind::Float);
    let prior = open.unwrap();
    let config = families::open_scheduler(&folder.component("prior_scheduler")).unwrap();
    let schedule = Schedule::of(&config);
    for (timestep, error) in timesteps.into_iter().zip(errors) {
        let NoiseLevel { sqrt_alpha_bar, sqrt_one_minus_alpha_bar } =
            schedule.level(Some(timestep));
        let x_0 = prior.whiten(&embeddings);
        let x_t = &x_0 * sqrt_alpha_bar + &eps * sqrt_one_minus_alpha_bar;
        let t = Tensor::from_slice(&[timestep; 3]);
        let predicted = prior.forward(&x_t, &t, &text.embedding, &text.states, &text.mask);
        let off = predicted.clamp(-10.0, 10.0) - x_0;
        let expected = off.square().mean(Kind::Double).double_value(&[]);
        assert!((error / expected - 1.0).abs() < 1e-4, "{error}, not {expected}: {timestep}");
    }
}

#[test]
fn the_errors_of_a_model_let_it_sample_by_the_optimal_variance() {
    let place = Workplace::new();
    let few = ["--prior-steps=5", "--decoder-steps=2", "--upsampler-steps=2", "--seed=3"];
    let draw = |more: &[&str]| {
        let generate = ["generate", "--model=model", CAPTION];
        place.run(&[&generate[..], more].concat())
    };
    let with = |solver: &str, out: &str| {
        let (solver, out) = (format!("--solver={solver}"), format!("--out={out}"));
        draw(&[&few[..], &[&*solver, &*out]].concat())
    };
    let lacking = ["--solver is analytic", "were not measured", "unclip calibrate"];
    with("analytic", "none.png").refuses(&lacking);

    let ran = place.run(&CALIBRATE).succeeds();
    assert!(ran.stdout.trim_end().ends_with("model/prior/denoising_errors.json"), "{}", ran.stdout);
    let text = fs::read_to_string(errors_file(&place)).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["samples"], 40);
    assert_eq!(told["timesteps"].as_array().unwrap().len(), 101);
    place.run(&CALIBRATE).refuses(&["denoising_errors.json is there already", "--force"]);
    place.run(&[&CALIBRATE[..], &["--force"]].concat()).succeeds();
    assert_eq!(fs::read_to_string(errors_file(&place)).unwrap(), text, "a run is reproducible");

    with("analytic", "analytic.png").succeeds();
    with("ddpm", "ddpm.png").succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("analytic.png") != read("ddpm.png"));
    let info = place.run(&["info", "analytic.png"]).succeeds().stdout;
    let told: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(told["settings"]["solver"], "analytic");
    draw(&["--from=analytic.png", "--out=again.png"]).succeeds();
    assert!(read("again.png") == read("analytic.png"));

    // The errors go with the prior.
    place.run(&["convert", "model", "copy"]).succeeds();
    let copied = fs::read_to_string(place.path("copy/prior").join(DENOISING_ERRORS)).unwrap();
    assert_eq!(copied, text);
    let mut broken = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    broken["mean_squared_errors"][3] = 0.into();
    fs::write(errors_file(&place), broken.to_string()).unwrap();
    let words = ["model/prior/denoising_errors.json", "timestep 30 is 0", "above 0"];
    with("analytic", "broken.png").refuses(&words);
}

#[test]
fn the_decoder_samples_as_published_beside_an_analytic_prior() {
    let place = Workplace::new();
    place.run(&CALIBRATE).succeeds();
    let folders = families::ModelFolders::new(Folder::open(place.path("model")).unwrap());
    let pipeline = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let [published, analytic] = [Solver::Ddpm, Solver::Analytic].map(|solver| {
        let settings = settings!(karlo_settings(), decoder_steps: 3, solver: solver);
        let task = Task { stages: Stages::Base, ..Task::GENERATE };
        pipeline.prepare(task, &settings).unwrap();
        let text = pipeline.encode_text(&[CAPTION]).unwrap();
        let embedding = Tensor::ones([1, 20], (Kind::Float, Device::Cpu));
        let streams = &mut [Generator::new(5)];
        pipeline.decode(&embedding, &text, &settings, streams, &mut pipeline::Silent).unwrap()
    });
    assert!(published.equal(&analytic));
}

#[test]
fn models_and_priors_without_an_analytic_variance_are_refused() {
    let place = Workplace::with_pictures();
    let solver = "--solver=analytic";
    let glide = ["generate", "--model=builtin:glide", solver, "a red boat"];
    place.run(&glide).refuses(&["--solver is analytic", "GLIDE has no prior"]);
    let codes = ["generate", "--prior=autoregressive", solver, "a red boat"];
    place.run(&codes).refuses(&["--solver is analytic", "autoregressive", "code by code"]);

    let vary = ["variations", "one.png", "--model=model", solver, "--out=new.png"];
    let few = ["--decoder-steps=2", "--upsampler-steps=2"];
    let ran = place.run(&[&vary[..], &few].concat()).succeeds();
    let warning = "nothing comes of --solver analytic: it is the prior's, which takes no part here";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);

    place.run(&["calibrate"]).refuses(&["is not yours to write into", "unclip convert"]);
    place.run(&["calibrate", "--model=builtin:glide"]).refuses(&["no diffusion prior"]);
    place
        .run(&["calibrate", "--prior=autoregressive", "--model=model"])
        .refuses(&["--prior", "code by code"]);
    place.run(&[&CALIBRATE[..], &["--data=gone"]].concat()).refuses(&["--data gone"]);
    assert!(!errors_file(&place).exists());
}

#[test]
fn a_prior_that_is_trained_anew_loses_the_errors_of_the_one_before() {
    let place = Workplace::new();
    place.run(&CALIBRATE).succeeds();
    assert!(errors_file(&place).is_file());
    let train = ["train", "prior", "--init=model", "--out=model", "--set=prior.run.steps=1"];
    let small = ["--set=prior.run.batch=4", "--set=prior.run.warmup=0", "--samples-every=0"];
    let statistics = ["--set=prior.statistics_scenes=64"];
    place.run(&[&train[..], &small, &statistics].concat()).succeeds();
    assert!(!errors_file(&place).exists());
}

#[test]
fn pictures_and_their_embeddings_calibrate_too() {
    let place = Workplace::new();
    let scenes = ["scenes", "--count=12", "--seed=3", "--size=32", "--out=mine"];
    place.run(&scenes).succeeds();
    place.run(&["embed", "--model=model", "--data=mine", "--shards=shards"]).succeeds();
    let measure = |data: &str| {
        let data = format!("--data={data}");
        place.run(&[&CALIBRATE[..], &[&*data, "--force"]].concat()).succeeds();
        let text = fs::read_to_string(errors_file(&place)).unwrap();
        let told: diffusion::DenoisingErrors = serde_json::from_str(&text).unwrap();
        told.mean_squared_errors
    };
    let (pictures, embeddings) = (measure("mine"), measure("shards"));
    // Embeddings are those of centre crops, and scenes are square.
    for (one, other) in pictures.iter().zip(&embeddings) {
        assert!((one / other - 1.0).abs() < 1e-3, "{one} and {other}");
    }
    // Those of another encoder are refused.
    fs::write(place.path("model/image_encoder/notes.json"), "{}").unwrap();
    let again = [&CALIBRATE[..], &["--data=shards", "--force"]].concat();
    place.run(&again).refuses(&["--data shards", "image encoder"]);
}
