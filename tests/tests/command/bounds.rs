//! Messages, names and counts of any length: what is printed is bounded, and so is what is asked for.

use std::fs;

use super::{CAPTION, Ran, Workplace};

/// Refuses with these words in at most 2,000 characters, of which no value has more than 400.
fn bounded(ran: Ran, words: &[&str]) {
    let length = ran.stderr.chars().count();
    assert!(length <= 2000, "{length} characters");
    assert!(!ran.stderr.contains(&"a".repeat(401)), "{}", ran.stderr);
    ran.refuses(words);
}

#[test]
fn no_message_repeats_a_million_letters() {
    let place = Workplace::with_pictures();
    let long = "a".repeat(1_000_000);
    let argument = "a".repeat(100_000);
    let draw = |arguments: &[&str]| place.generate(arguments);
    bounded(draw(&["--seed", &argument, CAPTION]), &["--seed", "more characters", "whole number"]);
    bounded(draw(&[&format!("--{argument}"), CAPTION]), &["unexpected argument"]);
    bounded(draw(&["--seed=a\n\n\u{1b}[2Jb", CAPTION]), &["--seed", "whole number"]);
    let spaced = "a ".repeat(40_000);
    bounded(draw(&["--seed", &spaced, CAPTION]), &["--seed", "more characters", "whole number"]);
    bounded(draw(&["--model", &argument, CAPTION]), &["--model"]);

    fs::write(place.path("p.jsonl"), format!("{{\"caption\": \"b\", \"{long}\": 3}}")).unwrap();
    bounded(draw(&["--prompts=p.jsonl"]), &["p.jsonl, line 1"]);
    let solver = format!("{{\"caption\": \"b\", \"solver\": \"{}\"}}", "a ".repeat(500_000));
    fs::write(place.path("p.jsonl"), solver).unwrap();
    bounded(draw(&["--prompts=p.jsonl"]), &["p.jsonl, line 1", "solver", "more characters"]);

    for recipe in [format!("{long} = 3"), format!("x = \"{long}"), format!("[{long}]\nb = 3")] {
        fs::write(place.path("r.toml"), recipe).unwrap();
        let train = ["train", "--config=r.toml", "--out=new"];
        bounded(place.run(&train), &["r.toml"]);
    }
    let set = format!("--set={argument}=3");
    bounded(place.run(&["train", "--preset=tiny", "--out=new", &set]), &["recipe"]);
    assert!(!place.path("new").exists());
}

#[test]
fn no_message_repeats_what_a_models_files_say_in_a_million_letters() {
    let long = "a".repeat(1_000_000);
    for (file, text) in [
        ("model_index.json", format!("{{\"unclip_defaults\": {{\"{long}\": 3}}}}")),
        ("model_index.json", format!("{{\"{long}\": ")),
        (
            "tokenizer/tokenizer_config.json",
            format!("{{\"model_max_length\": 16, \"unk_token\": \"{long}\"}}"),
        ),
        ("tokenizer/tokenizer.json", format!("{{\"model\": {{\"merges\": [\"{long}\"]}}}}")),
        ("prior/config.json", format!("{{\"_class_name\": \"{long}\"}}")),
        ("prior_scheduler/scheduler_config.json", format!("{{\"variance_type\": \"{long}\"}}")),
    ] {
        let place = Workplace::new();
        fs::write(place.path("model").join(file), text).unwrap();
        bounded(place.generate(&[CAPTION]), &[]);
    }
    let place = Workplace::new();
    let tokenizer = place.path("model/tokenizer");
    fs::remove_file(tokenizer.join("tokenizer.json")).unwrap();
    fs::write(
        tokenizer.join("vocab.json"),
        "{\"a\": 0, \"<|startoftext|>\": 1, \"<|endoftext|>\": 2}",
    )
    .unwrap();
    fs::write(tokenizer.join("merges.txt"), format!("#version\n{long}\n")).unwrap();
    bounded(place.generate(&[CAPTION]), &["merges.txt"]);
}

#[test]
fn what_a_picture_says_steers_no_terminal() {
    let place = Workplace::new();
    let caption = "a \u{9b}2J\u{202e}house";
    place.generate(&["--seed=1", "--out=x.png", caption]).succeeds();
    let told = place.run(&["info", "x.png"]).succeeds().stdout;
    assert!(!told.contains(['\u{9b}', '\u{202e}']), "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["caption"], caption);
}

#[test]
fn a_picture_may_have_the_longest_name_there_is() {
    let place = Workplace::new();
    let name = format!("{}.png", "n".repeat(251));
    place.generate(&["--seed=1", "--out", &name, CAPTION]).succeeds();
    assert_eq!(place.files(), [name]);
    let longer = format!("{}.png", "n".repeat(252));
    place.generate(&["--seed=1", "--out", &longer, CAPTION]).refuses(&["--out nnn", "too long"]);
    for ending in ["npy", "safetensors"] {
        let name = format!("{}.{ending}", "n".repeat(254 - ending.len()));
        place.run(&["embed", CAPTION, "--model=model", "--out", &name]).succeeds();
        assert!(place.path(&name).is_file());
    }
}

#[test]
fn counts_outside_reason_are_refused() {
    let place = Workplace::new();
    for count in ["0", "-1", "1000000000000000000", "67108865", "many"] {
        let embed = ["embed", "--data=scenes", "--shards=shards", "--count", count];
        place.run(&embed).refuses(&["--count", count, "from 1 to 67108864"]);
        let judge = ["judge", "--count", count];
        place.run(&judge).refuses(&["--count", count, "from 1 to 67108864"]);
    }
    for (count, seed) in [("1", "1073741824"), ("2", "1073741823"), ("1", "18446744073709551615")] {
        place
            .run(&["scenes", "--out=scenes", "--count", count, "--seed", seed])
            .refuses(&[&format!("--seed is {seed}"), "seeds end at 1073741823"]);
    }
    assert!(place.files().is_empty());
}

#[test]
fn an_environment_of_rubbish_is_named_or_ignored() {
    let place = Workplace::new();
    let run = |name: &str, value: &str| {
        let mut command = place.command(&["classify", "--model=model", "--labels=a,b", "none.png"]);
        Ran::new(command.env(name, value).output().unwrap())
    };
    bounded(run("UNCLIP_THREADS", &"a".repeat(9000)), &["UNCLIP_THREADS is aaa", "1 to 1024"]);
    let warned = run("UNCLIP_LOG", "=,=");
    assert!(warned.stderr.contains("UNCLIP_LOG is =,="), "{}", warned.stderr);
    for (name, value) in
        [("COLUMNS", "-3"), ("TERM", "\u{1b}"), ("LANG", "xx"), ("TMPDIR", "/gone")]
    {
        run(name, value).refuses(&["none.png"]);
    }
}
