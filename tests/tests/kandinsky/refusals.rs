//! Refusals of one sentence each: abilities that Kandinsky 2.2 lacks, and those that it alone has.

use images::RgbImage;
use pipeline::{Error, Inpainting, Mask, Pipeline, Request, Settings, Silent, Stages, Task};
use tch::{Device, Kind, Tensor};

use super::{both, decoder, prior};
use families::ModelFolders;

fn open() -> Pipeline {
    Pipeline::open(both("two"), Device::Cpu, Kind::Float).unwrap()
}

fn settings() -> Settings {
    let mut settings = Settings::of_family(&families::kandinsky());
    settings.prior.as_mut().unwrap().steps = 2;
    settings.stages[0].steps = pipeline::TimestepRespacing::Count(2);
    settings
}

fn karlo() -> Pipeline {
    let folder = weights::Folder::open(crate::golden::data().join("karlo/model")).unwrap();
    Pipeline::open(ModelFolders::new(folder), Device::Cpu, Kind::Float).unwrap()
}

fn message(result: Result<impl Sized, Error>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn sizes_that_are_no_multiples_are_refused() {
    let prepare = |width, height| {
        let settings = Settings { width, height, ..settings() };
        open().prepare(Task::GENERATE, &settings)
    };
    assert!(prepare(Some(20), Some(4)).is_ok());
    for (width, height, named) in [
        (Some(18), None, "width is 18: "),
        (Some(16), Some(2), "height is 2: "),
        (Some(0), None, "width is 0: "),
        (None, Some(4100), "height is 4100: "),
    ] {
        let message = message(prepare(width, height));
        assert!(message.starts_with(named), "{message}");
        assert!(message.contains("a multiple of 4, and 4096 at most"), "{message}");
    }
}

#[test]
fn models_of_one_size_and_without_negative_captions_say_so() {
    let settings = crate::settings::karlo_settings();
    let sized = Settings { height: Some(64), ..settings.clone() };
    let refused = message(karlo().prepare(Task::GENERATE, &sized));
    assert_eq!(refused, "height is 64: Karlo draws squares of 32 pixels a side alone");
    let request = Request::new("a red house", 0, settings).with_negative_caption("blue");
    let refused = message(karlo().sample(&[request], &mut Silent));
    assert!(refused.starts_with("negative_caption: Karlo takes no caption"), "{refused}");
}

#[test]
fn pictures_to_start_from_are_refused_where_nothing_is_denoised_but_noise() {
    let settings = crate::settings::karlo_settings();
    let strong = Settings { strength: Some(0.5), ..settings.clone() };
    let refused = message(karlo().prepare(Task::GENERATE, &strong));
    assert_eq!(refused, "Karlo draws from noise alone, and not from a picture on");
    let request = Request::new("a red house", 0, settings).with_image(RgbImage::new(16, 16));
    assert_eq!(message(karlo().sample(&[request], &mut Silent)), refused);
}

#[test]
fn strengths_that_leave_no_step_are_refused() {
    let prepare = |strength| {
        let settings = Settings { strength: Some(strength), ..self::settings() };
        open().prepare(Task::GENERATE, &settings)
    };
    assert!(prepare(0.5).is_ok());
    assert_eq!(
        message(prepare(0.49)),
        "strength is 0.49: of 2 steps it leaves none: it must be 1/2 at least, or the steps 3"
    );
    for strength in [0.0, -1.0, 1.5, f64::NAN] {
        assert!(message(prepare(strength)).contains("it must lie above 0 and be 1 at most"));
    }
}

#[test]
fn a_negative_caption_needs_the_prior() {
    let embedding =
        Tensor::ones([1, open().embedding_width().unwrap()], (Kind::Float, Device::Cpu));
    let request = Request::of_embedding(&embedding, 0, settings()).with_negative_caption("blue");
    let refused = message(open().sample(&[request], &mut Silent));
    assert!(refused.contains("the prior reads it"), "{refused}");
}

#[test]
fn latents_are_not_painted_in_without_a_mask() {
    let image = RgbImage::new(16, 16);
    let mask = Mask::new(16, vec![true; 256]).unwrap();
    let request = Request::new("a red house", 0, settings());
    let request = request.with_inpainting(Inpainting { image, mask });
    let refused = message(open().sample(&[request], &mut Silent));
    assert_eq!(
        refused,
        "this decoder of Kandinsky 2.2's takes no mask, so it paints in no picture: kandinsky-community/kandinsky-2-2-decoder-inpaint does"
    );
}

/// Guidance starts from CLIP's embedding of zeros: without guidance the decoder's repository decodes embeddings alone.
#[test]
fn the_decoder_alone_decodes_embeddings_without_guidance() {
    let folders = ModelFolders::new(decoder("two"));
    let alone = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let embedding = Tensor::ones([1, alone.embedding_width().unwrap()], (Kind::Float, Device::Cpu));
    let mut settings = settings().without_prior();
    let refused = message(alone.prepare(Task::DECODE, &settings));
    assert!(refused.contains("kandinsky-community/kandinsky-2-2-prior"), "{refused}");
    settings.stages[0].guidance_scale = Some(1.0);
    let request = || Request::of_embedding(&embedding, 0, settings.clone());
    let picture = alone.sample(&[request()], &mut Silent).unwrap();
    assert_eq!(open().sample(&[request()], &mut Silent).unwrap(), picture);
}

#[test]
fn the_prior_alone_samples_embeddings_and_no_pictures() {
    let alone = || {
        let folders = ModelFolders::new(prior("two"));
        Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
    };
    alone().prepare(Task { stages: Stages::None, ..Task::EMBEDDING }, &settings()).unwrap();
    let refused = message(alone().prepare(Task::GENERATE, &settings()));
    assert!(refused.contains("kandinsky-community/kandinsky-2-2-decoder"), "{refused}");
}

#[test]
fn embeddings_of_another_width_are_refused() {
    let folders = ModelFolders { prior: Some(prior("three")), ..both("two") };
    let other = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let refused = message(other.prepare(Task::GENERATE, &settings()));
    assert!(refused.contains("the width of an embedding is 20 in the first and 16"), "{refused}");
    assert!(refused.contains("unet"), "{refused}");
}
