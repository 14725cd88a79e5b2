//! `unclip classify`: labels and their shares.

use std::fs;
use std::path::Path;

use ::pipeline::zero_shot::{normalised, probabilities};
use ::pipeline::{LOGIT_FACTOR, Template};

use super::{Ran, Workplace};
use crate::pipeline::{copy_folder, open};

impl Workplace {
    fn classify(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["classify", "--model=model"], arguments].concat())
    }
}

/// What the library says of a picture in percent, the most probable label first.
fn wanted(place: &Workplace, picture: &str, labels: &[&str], templates: &[Template]) -> String {
    let pipeline = open("deep");
    let picture = image::open(place.path(picture)).unwrap().to_rgb8();
    let picture = normalised(&pipeline.encode_images(&[picture]).unwrap());
    let classes = pipeline.class_embeddings(labels, templates).unwrap();
    let shares = probabilities(&picture, &classes, LOGIT_FACTOR).squeeze_dim(0);
    let shares = Vec::<f64>::try_from(shares.to_kind(tch::Kind::Double)).unwrap();
    let mut lines: Vec<(f64, &str)> = shares.into_iter().zip(labels.iter().copied()).collect();
    lines.sort_by(|one, other| other.0.total_cmp(&one.0));
    let line = |(share, label): (f64, &str)| format!("{:>6.1}%  {label}\n", 100.0 * share);
    lines.into_iter().map(line).collect()
}

#[test]
fn labels_are_told_with_their_shares() {
    let place = Workplace::with_pictures();
    let labels = ["house", "orange boat", "tree"];
    let one = wanted(&place, "one.png", &labels, &Template::defaults());
    let ran = place.classify(&["one.png", "--labels=house, orange boat,tree"]).succeeds();
    assert_eq!(ran.stdout, one);
    assert_eq!(
        ran.stderr,
        "unclip: the model does not say its logit scale: cosines are multiplied by 100, as CLIP's are\n"
    );

    // Flags that repeat, a file, several pictures, and the first label alone.
    fs::write(place.path("labels.txt"), "\u{feff}orange boat\r\n\n tree \n").unwrap();
    let two = wanted(&place, "two.png", &labels, &Template::defaults());
    let both = ["one.png", "two.png", "--labels", "house", "--labels-file=labels.txt"];
    let ran = place.classify(&both).succeeds();
    assert_eq!(ran.stdout, format!("one.png\n{one}two.png\n{two}"));
    let ran = place.classify(&[&both[..], &["--top=1"]].concat()).succeeds();
    let firsts = [&one, &two].map(|lines| lines.split_inclusive('\n').next().unwrap());
    assert_eq!(ran.stdout, format!("one.png\n{}two.png\n{}", firsts[0], firsts[1]));

    let templates = ["a {} at sea", "{}!"];
    let given = ["--template", templates[0], "--template", templates[1]];
    let other = wanted(&place, "one.png", &labels, &templates.map(|t| Template::new(t).unwrap()));
    assert_ne!(other, one);
    let arguments = ["one.png", "--labels=house,orange boat,tree"];
    let ran = place.classify(&[&arguments[..], &given].concat()).succeeds();
    assert_eq!(ran.stdout, other);
}

#[test]
fn labels_are_told_in_json() {
    let place = Workplace::with_pictures();
    let arguments = ["one.png", "two.png", "--labels=house,boat,tree", "--json"];
    let ran = place.classify(&arguments).succeeds();
    let lines = ran.stdout.lines();
    let lines: Vec<serde_json::Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["path"]), (2, &"two.png".into()));
    for line in &lines {
        let labels = line["labels"].as_array().unwrap();
        let shares = labels.iter().map(|l| l["probability"].as_f64().unwrap());
        let cosines: Vec<f64> = labels.iter().map(|l| l["cosine"].as_f64().unwrap()).collect();
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(cosines.is_sorted_by(|one, other| one >= other), "{cosines:?}");
        // A share's logarithm rises by the factor as its cosine does.
        let share = |i: usize| labels[i]["probability"].as_f64().unwrap().ln();
        let rise = (share(0) - share(1)) / (cosines[0] - cosines[1]);
        assert!((rise / LOGIT_FACTOR - 1.0).abs() < 0.01, "{rise}");
    }
}

#[test]
fn a_folder_of_clip_alone_is_enough() {
    let place = Workplace::with_pictures();
    for part in ["decoder", "prior", "text_proj", "super_res_first"] {
        fs::remove_dir_all(place.path("model").join(part)).unwrap();
    }
    let labels = "--labels=house,tree";
    place.classify(&["one.png", labels]).succeeds();
    fs::rename(place.path("model/image_encoder"), place.path("encoder")).unwrap();
    place.classify(&["one.png", labels]).refuses(&["image_encoder", "--image-encoder"]);
    place.classify(&["one.png", labels, "--image-encoder=encoder"]).succeeds();
    // transformers' whole CLIP, which says its logit scale.
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/zero_shot/model");
    copy_folder(&whole, &place.path("clip"));
    let whole = ["classify", "one.png", labels, "--model=clip"];
    let ran = place.run(&whole).succeeds();
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (2, ""));
    place.run(&["generate", "a house", "--model=clip"]).refuses(&["clip has no text_proj/"]);
}

#[test]
fn the_table_needs_no_more_than_clip() {
    let place = Workplace::new();
    for part in ["decoder", "decoder_scheduler", "prior", "text_proj"] {
        fs::remove_dir_all(place.path("model").join(part)).unwrap();
    }
    let evaluate = |arguments: &[&str]| {
        place.run(&[&["evaluate", "zero-shot", "--model=model"], arguments].concat())
    };
    let ran = evaluate(&["--scenes=3", "--batch=2", "--json=table.json"]).succeeds();
    for words in [
        "zero-shot: pairs",
        "| held-out | size | 2 |",
        "| second colour | ",
        "search: pairs",
        "n 3 |",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let json = fs::read(place.path("table.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let table = &json["zero-shot"];
    assert_eq!(table["classification"][13]["ensemble"]["asked"], 3);
    assert_eq!(table["retrieval"][0]["own_place"]["count"], 3);
    evaluate(&["--scenes=0"]).refuses(&["--scenes", "from 1 to 67108864"]);
    evaluate(&["--sheet=sheet.png"]).refuses(&["--sheet", "captions"]);
    fs::remove_dir_all(place.path("model/tokenizer")).unwrap();
    evaluate(&[]).refuses(&["model has no tokenizer/"]);
}

#[test]
fn words_that_the_model_never_saw_are_named() {
    let place = Workplace::with_pictures();
    let ran =
        place.run(&["classify", "one.png", "--labels=zeppelin,house,zeppelin at sea"]).succeeds();
    let warning = "unclip: warning: the model was trained on no caption with: zeppelin\n";
    assert_eq!(ran.stderr, warning);
    let ran = place.run(&["classify", "one.png", "--labels=house,zeppelin or baloon"]).succeeds();
    assert_eq!(ran.stderr, warning.replace("zeppelin", "zeppelin, or, baloon (nearest: balloon)"));
    let long = format!("--labels=house,{}", "boat ".repeat(40));
    let ran = place.run(&["classify", "one.png", &long]).succeeds();
    assert!(ran.stderr.contains("cut off: boat"), "{}", ran.stderr);
    let long = format!("--labels=house,boat\u{1b}[31m {}", "cat ".repeat(1000));
    let ran = place.run(&["classify", "one.png", &long]).succeeds();
    assert!(ran.stderr.len() < 2000 && ran.stderr.contains("more characters"));
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn a_choice_among_nothing_is_refused() {
    let place = Workplace::with_pictures();
    fs::write(place.path("empty.txt"), "\n \n").unwrap();
    fs::write(place.path("note.txt"), "words").unwrap();
    fs::write(place.path("latin.txt"), b"house\ncaf\xe9\n").unwrap();
    fs::create_dir(place.path("folder.png")).unwrap();
    for (arguments, words) in [
        (&["one.png"][..], &["--labels", "--labels-file"][..]),
        (&["one.png", "--labels-file=empty.txt"], &["no labels"]),
        (&["one.png", "--labels-file=gone.txt"], &["--labels-file", "gone.txt"]),
        (&["one.png", "--labels-file=latin.txt"], &["latin.txt", "line 2"]),
        (&["one.png", "--labels=house"], &["house", "at least two"]),
        (&["one.png", "--labels=house,tree,House"], &["House", "twice"]),
        (&["one.png", "--labels=house,,tree"], &["empty"]),
        (&["one.png", "--labels=", "--labels=tree"], &["empty"]),
        (&["--labels=house,tree"], &["IMAGE"]),
        (&["gone.png", "--labels=house,tree"], &["gone.png"]),
        (&["one.png", "note.txt", "--labels=house,tree"], &["note.txt is no picture"]),
        (&["folder.png", "--labels=house,tree"], &["folder.png"]),
        (&["one.png", "--labels=house,tree", "--template=house"], &["--template", "0 times"]),
        (&["one.png", "--labels=house,tree", "--template={} {}"], &["--template", "2 times"]),
        (&["one.png", "--labels=house,tree", "--template="], &["--template", "empty"]),
        (&["one.png", "--labels=house,tree", "--top=0"], &["--top", "from 1 on"]),
        (&["one.png", "--labels=house,tree", "--top=-1"], &["--top", "from 1 on"]),
        (&["one.png", "--labels=house,tree", "--dtype=f16"], &["f16"]),
    ] {
        place.classify(arguments).refuses(words);
    }
}
