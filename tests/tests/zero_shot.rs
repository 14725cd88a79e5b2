//! What CLIP does alone: prompts, classes and probabilities, beside transformers' and beside sums by hand.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use ::images::read_image;
use ::pipeline::zero_shot::{TEMPLATES, cosines, normalised, probabilities};
use ::pipeline::{Error, Pipeline, Template};
use ::weights::Folder;
use evaluation::CaptionSet;
use evaluation::Report;
use evaluation::bindings::Difference;
use evaluation::zero_shot::{RetrievalRow, Task, evaluate_zero_shot};
use families::ModelFolders;
use judge::{Proportion, Question};
use noise::Generator;
use scenes::{Colour, Relation, Thing, held_out};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::pipeline::{copy_folder, model, open};

/// What golden/record_zero_shot.py wrote.
#[derive(Deserialize)]
struct Record {
    pictures: Vec<String>,
    templates: Vec<String>,
    prompts: Vec<(String, Vec<String>)>,
    logit_scale: f64,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn open_at(model: &Path) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders::new(Folder::open(model).unwrap());
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

fn templates(texts: &[impl AsRef<str>]) -> Vec<Template> {
    let new = |text: &_| Template::new(AsRef::<str>::as_ref(text)).unwrap();
    texts.iter().map(new).collect()
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    Vec::<Vec<f64>>::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

fn close(what: &str, ours: &Tensor, recorded: &Tensor) {
    assert_eq!(ours.size(), recorded.size(), "{what}");
    let off = (ours - recorded).abs().max().double_value(&[]);
    assert!(off < 2e-5, "{what} is off by {off}");
}

#[test]
fn a_whole_clip_tells_labels_apart_as_the_reference_does() {
    let place = golden().join("zero_shot");
    let record: Record =
        serde_json::from_slice(&fs::read(place.join("record.json")).unwrap()).unwrap();
    let recorded = ::weights::load_safetensors(place.join("record.safetensors")).unwrap();
    let recorded = |name: &str| &recorded.iter().find(|(n, _)| n == name).unwrap().1;
    let clip = open_at(&place.join("model"));
    clip.prepare_clip().unwrap();
    let factor = clip.logit_factor().unwrap().unwrap();
    assert!((factor - record.logit_scale.exp()).abs() < 1e-5, "{factor}");

    let templates = templates(&record.templates);
    for (label, prompts) in &record.prompts {
        let ours: Vec<String> = templates.iter().map(|t| t.fill(label)).collect();
        assert_eq!(&ours, prompts);
    }
    let labels: Vec<&str> = record.prompts.iter().map(|(label, _)| &**label).collect();
    let classes = clip.class_embeddings(&labels, &templates).unwrap();
    close("the classes", &classes, recorded("classes"));
    let pictures: Vec<_> = record
        .pictures
        .iter()
        .map(|name| {
            let file = golden().join(format!("data/images/{name}.png"));
            read_image(&file).unwrap().image
        })
        .collect();
    let pictures = normalised(&clip.encode_images(&pictures).unwrap());
    let ensemble = probabilities(&pictures, &classes, factor);
    close("the ensemble", &ensemble, recorded("ensemble"));
    let single = clip.class_embeddings(&labels, &templates[1..2]).unwrap();
    let single = probabilities(&pictures, &single, factor);
    close("the single prompt", &single, recorded("single"));
}

#[test]
fn a_class_is_the_mean_direction_of_its_prompts() {
    let pipeline = open("deep");
    let labels = ["red house", "umbrella", "the sea"];
    let prompts = [
        ["red house", "a picture of a red house"],
        ["umbrella", "a picture of an umbrella"],
        ["the sea", "a picture of the sea"],
    ];
    let templates = templates(&["{}", "a picture of a {}"]);
    let classes = rows(&pipeline.class_embeddings(&labels, &templates).unwrap());
    let unit = |vector: &[f64]| -> Vec<f64> {
        let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.iter().map(|v| v / length).collect()
    };
    for (class, prompts) in classes.iter().zip(prompts) {
        let embedded = prompts.map(|prompt| {
            let text = pipeline.encode_text(&[prompt]).unwrap();
            unit(&rows(&text.embedding)[0])
        });
        let mean: Vec<f64> =
            (0..class.len()).map(|i| (embedded[0][i] + embedded[1][i]) / 2.0).collect();
        for (ours, wanted) in class.iter().zip(unit(&mean)) {
            assert!((ours - wanted).abs() < 1e-5, "{ours} instead of {wanted}");
        }
    }
}

#[test]
fn probabilities_are_the_softmax_of_scaled_cosines() {
    let pictures = Tensor::from_slice2(&[[1.0f32, 0.0], [0.6, 0.8]]);
    let classes = Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 1.0], [-1.0, 0.0]]);
    let found = rows(&probabilities(&pictures, &classes, 10.0));
    for (row, cosines) in found.iter().zip([[1.0, 0.0, -1.0], [0.6, 0.8, -0.6]]) {
        let powers = cosines.map(|cosine: f64| (10.0 * cosine).exp());
        let sum: f64 = powers.iter().sum();
        for (ours, power) in row.iter().zip(powers) {
            assert!((ours - power / sum).abs() < 1e-6, "{ours}");
        }
    }
    let large = Tensor::from_slice2(&[[3.0f32, 4.0], [0.0, 0.0]]);
    assert_eq!(rows(&normalised(&large))[1], [0.0, 0.0]);
    let own = rows(&cosines(&normalised(&large), &normalised(&large)))[0][0];
    assert!(own <= 1.0 && own > 0.999_999, "{own}");
}

#[test]
fn articles_fit_their_labels() {
    for (template, label, prompt) in [
        ("{}", "orange", "orange"),
        ("a {}", "house", "a house"),
        ("a {}", "orange house", "an orange house"),
        ("an {}", "house", "a house"),
        ("A {} at sea", "umbrella", "An umbrella at sea"),
        ("An {}", "cat", "A cat"),
        ("a picture of a {}", "Apple", "a picture of an Apple"),
        ("a picture of a {}", "the moon", "a picture of the moon"),
        ("a picture of a {}", "a cat", "a picture of a cat"),
        ("a {}", "unicorn", "a unicorn"),
        ("a {}", "hour", "an hour"),
        ("a {}", "house boat", "a house boat"),
        ("a {}", "unidentified thing", "an unidentified thing"),
        // A label that is an article, and words that only end in one.
        ("the letter {}", "a", "the letter a"),
        ("a {}", "a", "an a"),
        ("banana {}", "orange", "banana orange"),
        ("a{}", "orange", "aorange"),
        ("a {} thing", "eerie", "an eerie thing"),
        ("été\u{a0}a {}", "île", "été\u{a0}a île"),
        ("\u{3000}a\u{3000}{}", "owl", "\u{3000}an owl"),
    ] {
        let template = Template::new(template).unwrap();
        assert_eq!(template.fill(label), prompt, "{template:?}");
    }
}

#[test]
fn templates_have_one_place_for_the_label() {
    for (template, found) in [("a house", 0), ("", 0), ("{}{}", 2), ("{} {} {}", 3)] {
        match Template::new(template) {
            Err(error @ Error::Template { .. }) => {
                let sentence = error.to_string();
                assert!(sentence.contains(&format!("{found} times")), "{sentence}");
            }
            other => panic!("{template:?}: {other:?}"),
        }
    }
    assert_eq!(Template::defaults(), templates(&TEMPLATES));
}

#[test]
fn a_logit_scale_is_read_where_the_model_says_it() {
    assert_eq!(open("karlo").logit_factor().unwrap(), None);
    let shipped = golden().join("../../model");
    let factor = open_at(&shipped).logit_factor().unwrap().unwrap();
    let index = fs::read(shipped.join("model_index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let scale = index["unclip_logit_scale"].as_f64().unwrap();
    assert!((factor - scale.exp()).abs() < 1e-9 && factor > 1.0);

    let place = tempfile::tempdir().unwrap();
    let index = place.path().join("model_index.json");
    fs::write(&index, r#"{"unclip_logit_scale": 1e4}"#).unwrap();
    let error = open_at(place.path()).logit_factor().unwrap_err();
    assert!(error.to_string().contains("10000"), "{error}");

    let clip = place.path().join("clip");
    copy_folder(&golden().join("zero_shot/model"), &clip);
    let file = clip.join("model.safetensors");
    let mut tensors = ::weights::load_safetensors(&file).unwrap();
    let scale = tensors.iter().position(|(name, _)| name == "logit_scale").unwrap();
    tensors[scale].1 = Tensor::from_slice(&[1.0f32, 2.0]);
    ::weights::save_safetensors(&file, &tensors, Kind::Float).unwrap();
    let error = open_at(&clip).logit_factor().unwrap_err();
    assert!(error.to_string().contains("logit_scale"), "{error}");
    drop(tensors.remove(scale));
    ::weights::save_safetensors(&file, &tensors, Kind::Float).unwrap();
    assert_eq!(open_at(&clip).logit_factor().unwrap(), None);
}

#[test]
fn clip_alone_is_opened_and_checked() {
    let parts = ["tokenizer", "text_encoder", "image_encoder", "feature_extractor"];
    let place = tempfile::tempdir().unwrap();
    let part = |name: &str| place.path().join(name);
    for name in parts {
        copy_folder(&model("deep").join(name), &part(name));
    }
    open_at(place.path()).prepare_clip().unwrap();
    for name in parts {
        fs::rename(part(name), part("away")).unwrap();
        let error = open_at(place.path()).prepare_clip().unwrap_err();
        let Error::Families(families::Error::Missing { component, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*component, name);
        fs::rename(part("away"), part(name)).unwrap();
    }
    fs::remove_dir_all(part("tokenizer")).unwrap();
    open_at(place.path()).prepare_image_encoder().unwrap();

    copy_folder(&model("deep").join("tokenizer"), &part("tokenizer"));
    for name in ["image_encoder", "feature_extractor"] {
        fs::remove_dir_all(part(name)).unwrap();
        copy_folder(&model("odd").join(name), &part(name));
    }
    let error = open_at(place.path()).prepare_clip().unwrap_err();
    let sentence = error.to_string();
    assert!(sentence.contains("is 20 in the first and 15"), "{sentence}");
}

#[test]
fn pictures_that_are_prepared_for_another_encoder_are_refused() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&model("deep"), place.path());
    let config = r#"{"do_resize": false, "do_center_crop": false}"#;
    let file = place.path().join("feature_extractor/preprocessor_config.json");
    fs::write(file, config).unwrap();
    let pipeline = open_at(place.path());
    pipeline.prepare_clip().unwrap();
    let square = |side| image::RgbImage::new(side, side);
    let _ = pipeline.encode_images(&[square(28)]).unwrap();
    let error = pipeline.encode_images(&[square(30)]).unwrap_err();
    assert!(error.to_string().contains("is 30 in the first and 28"), "{error}");
}

#[test]
fn tasks_name_what_scenes_show_in_words_that_the_model_knows() {
    let shipped = open_at(&golden().join("../../model"));
    let tasks = Task::all();
    assert_eq!(tasks.len(), 7);
    for example in
        CaptionSet::Seen.examples(0..60).iter().chain(&CaptionSet::HeldOut.examples(0..20))
    {
        let shown = example.scene.labels();
        for task in &tasks {
            let label = &task.labels[(task.truth)(&shown).unwrap()];
            let names: &[&str] = match task.name {
                "thing" => &[shown.thing.name()],
                "colour" => &[shown.colour.name()],
                "thing and colour" => &[shown.colour.name(), shown.thing.name()],
                "place" => &[shown.place.name()],
                "size" => &[shown.size.name()],
                "sky" => &[shown.sky.name()],
                "ground" => &[shown.ground.name()],
                other => panic!("{other}"),
            };
            let words: Vec<&str> = label.split(' ').collect();
            assert!(names.iter().all(|name| words.contains(name)), "{label}");
        }
    }
    for task in &tasks {
        let prompts = task.ensemble.iter().chain([&task.single]);
        for prompt in prompts.flat_map(|t| task.labels.iter().map(|label| t.fill(label))) {
            let unknown = shipped.unknown_words(&prompt).unwrap();
            assert!(unknown.is_empty(), "{prompt}: {unknown:?}");
        }
    }
}

/// `rows` by `columns` numbers that do not repeat.
fn noise(rows: i64, columns: i64, seed: u64) -> Tensor {
    let drawn = Generator::new(seed).normal((rows * columns) as usize);
    Tensor::from_slice(&drawn).view([rows, columns])
}

#[test]
fn what_captions_find_is_counted_as_by_hand() {
    let examples = CaptionSet::Seen.examples(0..300);
    let mut cosines = noise(300, 300, 3);
    // Some captions find their own picture.
    cosines += Tensor::eye(300, (Kind::Float, Device::Cpu)) * 1.5;
    let row = RetrievalRow::count(false, &examples, &cosines);
    let (mut first, mut five, mut own_first, mut own_five) = (0, 0, 0, 0);
    let mut places = Vec::new();
    for (own, numbers) in rows(&cosines).iter().enumerate() {
        let place = |picture: usize| {
            let better = numbers.iter().filter(|&&n| n > numbers[picture]);
            better.count()
        };
        let said = &examples[own].caption.mentioned;
        let fitting = (0..300).filter(|&p| said.describes(&examples[p].scene.labels()));
        let best = fitting.map(place).min().unwrap();
        first += u64::from(best == 0);
        five += u64::from(best < 5);
        own_first += u64::from(place(own) == 0);
        own_five += u64::from(place(own) < 5);
        places.push(place(own) + 1);
    }
    places.sort_unstable();
    let median = (places[149] + places[150]) as f64 / 2.0;
    let right = [row.first, row.one_of_five, row.own_first, row.own_in_five].map(|t| t.right);
    assert_eq!(right, [first, five, own_first, own_five]);
    assert_eq!(row.own_place.value, median);
    let found = [3, own_first, first, five, 300];
    assert!(found.is_sorted_by(|one, other| one < other), "{found:?}");
}

#[test]
fn the_accuracy_of_labels_is_that_of_the_largest_cosines() {
    let examples = CaptionSet::Seen.examples(0..50);
    for task in Task::all() {
        let cosines = noise(50, task.labels.len() as i64, 5);
        let numbers = rows(&cosines);
        let naive = numbers.iter().zip(&examples).filter(|(row, example)| {
            let own = row[(task.truth)(&example.scene.labels()).unwrap()];
            row.iter().all(|&other| other <= own)
        });
        let right = naive.count() as u64;
        let accuracy: Proportion = task.rights(&examples, &cosines).collect();
        assert_eq!((accuracy.right, accuracy.total), (right, 50), "{}", task.name);
    }
}

#[test]
fn rival_captions_differ_from_a_picture_s_own_in_one_respect() {
    let mut exchanged = 0;
    for example in CaptionSet::Pairs.examples(0..60) {
        let shown = example.scene.labels();
        let second = shown.second.unwrap();
        let text = &example.caption.text;
        assert!(text.starts_with("there is a"), "{text}");
        for difference in Difference::all() {
            let rivals = difference.rivals(&example);
            let things = |other: Thing, colour| {
                let fits = |&&thing: &&Thing| thing != other && !held_out(thing, colour);
                Thing::ALL.iter().filter(fits).count() - 1
            };
            let colours = |thing| {
                let fits = |&&colour: &&Colour| !held_out(thing, colour);
                Colour::ALL.iter().filter(fits).count() - 1
            };
            // What stays in every rival, and how many there are.
            let (stays, count) = match difference {
                Difference::Label(Question::Thing) => {
                    let count = things(second.thing, shown.colour);
                    (second.thing.name(), count..=count)
                }
                Difference::Label(Question::Colour) => {
                    (second.thing.name(), colours(shown.thing)..=7)
                }
                Difference::Label(Question::SecondThing) => {
                    let count = things(shown.thing, second.colour);
                    (shown.thing.name(), count..=count)
                }
                Difference::Label(Question::SecondColour) => {
                    (shown.thing.name(), colours(second.thing)..=7)
                }
                Difference::Label(Question::Relation) => {
                    (shown.thing.name(), 1..=Relation::COUNT - 1)
                }
                Difference::Exchange => (second.thing.name(), 0..=1),
                other => panic!("{other:?}"),
            };
            let name = difference.name();
            assert!(count.contains(&rivals.len()), "{name}: {rivals:?}");
            exchanged += usize::from(difference == Difference::Exchange) * rivals.len();
            // Words of a synonym hide the names of some things.
            let named = text.contains(stays);
            for (i, rival) in rivals.iter().enumerate() {
                assert!(rival != text && !rivals[..i].contains(rival), "{rival}");
                assert_eq!(rival.contains(stays), named, "{name}: {text}; {rival}");
            }
        }
    }
    assert!(exchanged > 30, "{exchanged}");
}

#[test]
fn the_table_holds_what_the_encoders_say() {
    let pipeline = open("deep");
    let heard = RefCell::new(Vec::new());
    let progress = |_: &str, done, of| heard.borrow_mut().push((done, of));
    let report = evaluate_zero_shot(&pipeline, Some(12), 5, &progress).unwrap();
    assert_eq!(heard.into_inner(), [(5, 12), (10, 12), (12, 12)].repeat(3));
    assert_eq!((report.classification.len(), report.retrieval.len()), (14, 2));
    for (row, task) in report.classification.iter().zip(Task::all()) {
        assert!(!row.held_out);
        let [single, ensemble] = [std::slice::from_ref(&task.single), &task.ensemble].map(|t| {
            let classes = pipeline.class_embeddings(&task.labels, t).unwrap();
            let right = CaptionSet::Seen.examples(50_000..50_012).into_iter().filter(|example| {
                let picture = example.scene.to_image(128);
                let picture = normalised(&pipeline.encode_images(&[picture]).unwrap());
                let cosines = &rows(&cosines(&picture, &classes))[0];
                let best = cosines.iter().copied().fold(f64::MIN, f64::max);
                cosines[(task.truth)(&example.scene.labels()).unwrap()] == best
            });
            right.count() as u64
        });
        assert_eq!((row.single.right, row.ensemble.right), (single, ensemble), "{}", task.name);
        assert_eq!(row.single.total, 12);
    }
    for (row, difference) in report.bindings.iter().zip(Difference::all()) {
        let (mut right, mut asked, mut captions) = (0, 0, 0);
        for example in CaptionSet::Pairs.examples(50_000..50_012) {
            let rivals = difference.rivals(&example);
            let picture = example.scene.to_image(128);
            let picture = normalised(&pipeline.encode_images(&[picture]).unwrap());
            let near = |text: &str| {
                let embedded = normalised(&pipeline.encode_text(&[text]).unwrap().embedding);
                rows(&cosines(&picture, &embedded))[0][0]
            };
            let own = near(&example.caption.text);
            right += u64::from(!rivals.is_empty() && rivals.iter().all(|rival| near(rival) < own));
            asked += u64::from(!rivals.is_empty());
            captions += rivals.len() + usize::from(!rivals.is_empty());
        }
        let found = (row.closest.right, row.closest.total, row.captions);
        assert_eq!(found, (right, asked, captions), "{}", row.difference);
    }
    let table = report.to_markdown();
    assert!(table.contains("| held-out | thing and colour | 112 | "), "{table}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["retrieval"][1]["one_of_five"]["asked"], 12);
}
