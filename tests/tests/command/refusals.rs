//! What a user may get wrong: one sentence that names it, exit code 2, and no panic.

use std::fs;

use super::{CAPTION, Workplace};
use crate::pipeline::{copy_folder, model};

#[test]
fn empty_caption_is_refused() {
    Workplace::new().generate(&[""]).refuses(&["the caption is empty"]);
    Workplace::new().generate(&[" \t\n"]).refuses(&["the caption is empty"]);
}

#[test]
fn missing_caption_is_refused() {
    Workplace::new().generate(&[]).refuses(&["CAPTION"]);
}

#[test]
fn unknown_flag_is_refused() {
    Workplace::new().generate(&["--sede=3", CAPTION]).refuses(&["--sede"]);
}

#[test]
fn missing_model_folder_is_refused() {
    Workplace::new()
        .run(&["generate", "--model", "no-such", CAPTION])
        .refuses(&["--model", "no-such"]);
}

#[test]
fn each_missing_component_is_named() {
    let place = Workplace::new();
    for part in
        ["tokenizer", "text_encoder", "text_proj", "decoder", "decoder_scheduler", "super_res_last"]
    {
        fs::rename(place.path("model").join(part), place.path("away")).unwrap();
        place.generate(&[CAPTION]).refuses(&["model", part]);
        fs::rename(place.path("away"), place.path("model").join(part)).unwrap();
    }
}

#[test]
fn missing_prior_is_named_with_the_flag_that_completes_it() {
    let place = Workplace::new();
    fs::rename(place.path("model/prior"), place.path("prior")).unwrap();
    place.generate(&[CAPTION]).refuses(&["prior", "--prior"]);
    place.generate(&["--prior", "prior", "--seed=1", "--out=one.png", CAPTION]).succeeds();
    place.generate(&["--prior", "nowhere", CAPTION]).refuses(&["--prior", "nowhere"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.generate(&["--prior", "empty", CAPTION]).refuses(&["--prior", "empty"]);
}

#[test]
fn truncated_weights_are_refused() {
    let place = Workplace::new();
    let file = place.path("model/decoder/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&file).unwrap();
    for length in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&file, &bytes[..length]).unwrap();
        place.generate(&[CAPTION]).refuses(&["decoder/diffusion_pytorch_model.safetensors"]);
    }
}

#[test]
fn garbage_weights_are_refused() {
    let place = Workplace::new();
    fs::write(place.path("model/prior/diffusion_pytorch_model.safetensors"), [0xA5; 4096]).unwrap();
    place.generate(&[CAPTION]).refuses(&["prior/diffusion_pytorch_model.safetensors"]);
}

#[test]
fn a_component_in_anothers_place_is_refused() {
    let place = Workplace::new();
    let (decoder, upsampler) = (place.path("model/decoder"), place.path("model/super_res_first"));
    fs::remove_dir_all(&decoder).unwrap();
    copy_folder(&upsampler, &decoder);
    place.generate(&[CAPTION]).refuses(&["decoder"]);
}

#[test]
fn a_component_of_another_model_is_refused() {
    let place = Workplace::new();
    fs::remove_dir_all(place.path("model/text_encoder")).unwrap();
    copy_folder(&model("odd").join("text_encoder"), &place.path("model/text_encoder"));
    place.generate(&[CAPTION]).refuses(&["text_encoder", "24", "20"]);
}

#[test]
fn broken_tokenizer_is_refused() {
    let place = Workplace::new();
    let file = place.path("model/tokenizer/tokenizer.json");
    let whole = fs::read_to_string(&file).unwrap();
    for broken in ["", "{}", "[1, 2", &whole[..whole.len() / 2]] {
        fs::write(&file, broken).unwrap();
        place.generate(&[CAPTION]).refuses(&["tokenizer"]);
    }
}

#[test]
fn a_config_that_contradicts_its_weights_is_refused() {
    let place = Workplace::new();
    let file = place.path("model/prior/config.json");
    let config = fs::read_to_string(&file).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_layers"] = 7.into();
    fs::write(&file, config.to_string()).unwrap();
    place.generate(&[CAPTION]).refuses(&["prior", "transformer_blocks"]);
}

#[test]
fn a_broken_config_is_refused() {
    let place = Workplace::new();
    fs::write(place.path("model/decoder/config.json"), "{\"sample_size\": ").unwrap();
    place.generate(&[CAPTION]).refuses(&["decoder", "config.json"]);
}

#[test]
fn steps_outside_the_schedule_are_refused() {
    let place = Workplace::new();
    for flag in ["--prior-steps", "--decoder-steps", "--upsampler-steps"] {
        for steps in ["0", "1001", "-1", "many"] {
            place
                .run(&["generate", "--model", "model", flag, steps, CAPTION])
                .refuses(&[flag, steps]);
        }
    }
}

#[test]
fn numbers_of_pictures_outside_reason_are_refused() {
    let place = Workplace::new();
    for count in ["0", "10001", "-3", "18446744073709551616", "some"] {
        place.generate(&["--num-images", count, CAPTION]).refuses(&[
            "--num-images",
            count,
            "10000",
        ]);
    }
}

#[test]
fn guidance_that_is_not_finite_is_refused() {
    let place = Workplace::new();
    for flag in ["--prior-guidance-scale", "--decoder-guidance-scale"] {
        for scale in ["nan", "inf", "-inf", "1e999", "strong"] {
            place.generate(&[flag, scale, CAPTION]).refuses(&[flag, scale]);
        }
    }
}

#[test]
fn presets_solvers_and_intervals_that_there_are_not_are_refused() {
    let place = Workplace::new();
    for (flag, value, there) in [
        ("--preset", "best", "fast, balanced, quality"),
        ("--solver", "euler", "ddpm, ddim, dpm-solver++"),
        ("--guidance-interval", "0.8,0.2", "from 0 to 1"),
        ("--guidance-interval", "-1,1", "from 0 to 1"),
        ("--guidance-interval", "0,nan", "from 0 to 1"),
        ("--guidance-interval", "0.5", "from 0 to 1"),
    ] {
        place.generate(&[flag, value, CAPTION]).refuses(&[flag, value, there]);
    }
    place
        .run(&[
            "generate",
            "--model=model",
            "--solver=dpm-solver++",
            "--decoder-steps=980",
            CAPTION,
        ])
        .refuses(&["--decoder-steps", "980", "979"]);
    place
        .run(&["evaluate", "presets", "--model=model", "--captions=256"])
        .refuses(&["256 pictures", "257"]);
}

#[test]
fn a_seed_that_is_no_number_is_refused() {
    let place = Workplace::new();
    for seed in ["lucky", "-1", "1.5", "18446744073709551616"] {
        place.generate(&["--seed", seed, CAPTION]).refuses(&["--seed", seed]);
    }
    let last = u64::MAX.to_string();
    place.generate(&["--seed", &last, "-n", "2", CAPTION]).refuses(&["--seed", &last]);
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    let place = Workplace::new();
    fs::create_dir(place.path("folder.png")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    for (out, word) in [
        ("no/such/folder/one.png", "no/such/folder"),
        ("file/one.png", "file"),
        ("/proc/one.png", "/proc"),
        ("", "--out"),
        ("one.bmp", ".png"),
        ("one", ".png"),
        ("{number}.png", "{number}"),
    ] {
        place.generate(&["--out", out, CAPTION]).refuses(&["--out", word]);
    }
    assert_eq!(place.files(), ["file", "folder.png"]);
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    Workplace::new().generate(&["--device", "cuda:7", CAPTION]).refuses(&["--device cuda:7"]);
    Workplace::new().generate(&["--device", "tpu", CAPTION]).refuses(&["--device", "tpu"]);
}

#[test]
fn half_precision_on_the_cpu_is_refused_with_advice() {
    Workplace::new().generate(&["--dtype=f16", "--device=cpu", CAPTION]).refuses(&["f16", "f32"]);
}

#[test]
fn schedulers_in_each_others_place_are_refused() {
    let place = Workplace::new();
    let scheduler = |name: &str| place.path("model").join(name).join("scheduler_config.json");
    let names = ["prior_scheduler", "decoder_scheduler", "super_res_scheduler"];
    for (right, wrong) in [(names[0], names[1]), (names[1], names[0]), (names[2], names[1])] {
        let kept = fs::read(scheduler(right)).unwrap();
        fs::copy(scheduler(wrong), scheduler(right)).unwrap();
        place.generate(&[CAPTION]).refuses(&[right, "the number of outputs"]);
        fs::write(scheduler(right), kept).unwrap();
    }
}

#[test]
fn outputs_of_an_evaluation_are_checked_before_it_begins() {
    let place = Workplace::new();
    let evaluate =
        |arguments: &[&str]| place.run(&[&["evaluate", "--model", "model"], arguments].concat());
    evaluate(&["--captions=0"]).refuses(&["--captions", "0"]);
    evaluate(&["--json", "nowhere/table.json"]).refuses(&["--json", "nowhere"]);
    fs::write(place.path("sheet.md"), "mine").unwrap();
    evaluate(&["--sheet", "sheet.png"]).refuses(&["sheet.md exists", "--force"]);
    assert_eq!(fs::read(place.path("sheet.md")).unwrap(), b"mine");
}

#[test]
fn a_recipe_that_cannot_be_trained_is_refused() {
    let place = Workplace::new();
    let tiny = include_str!("../../../training/presets/tiny.toml");
    for (from, to, named) in [
        ("batch = 4", "batch = 0", "batch"),
        ("heads = 2", "heads = 3", "num_attention_heads"),
        ("crop = ", "crop = 10", "upsampler.crop"),
    ] {
        assert!(tiny.contains(from), "{from}");
        fs::write(place.path("recipe.toml"), tiny.replacen(from, to, 1)).unwrap();
        place
            .run(&["train", "--config", "recipe.toml", "--out", "new"])
            .refuses(&["recipe.toml", named]);
    }
    assert!(!place.path("new").exists());
}
