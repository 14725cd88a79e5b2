//! Scenes: what no training picture shows, what captions say, and that size changes nothing.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use noise::Generator;
use scenes::{
    Aspect, Colour, Export, ExportError, Ground, HELD_OUT, Labels, Mentions, Pairs, Place,
    Relation, Scene, Second, SecondMention, Size, Sky, Split, Style, Thing, held_out,
};

mod siblings;

const SPLITS: [Split; 3] = [Split::Training, Split::Judge, Split::Evaluation(Pairs::All)];

fn pairs(labels: &Labels) -> Vec<(Thing, Colour)> {
    let second = labels.second.map(|second| (second.thing, second.colour));
    [(labels.thing, labels.colour)].into_iter().chain(second).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}

#[test]
fn a_tenth_of_the_pairs_is_held_out_and_every_thing_keeps_six_colours() {
    let all = Thing::COUNT * Colour::COUNT;
    let distinct: HashSet<_> = HELD_OUT.iter().collect();
    assert_eq!(distinct.len(), HELD_OUT.len());
    assert!((all / 12..=all / 8).contains(&HELD_OUT.len()), "{} of {all}", HELD_OUT.len());
    for &thing in Thing::ALL {
        let kept = Colour::ALL.iter().filter(|&&colour| !held_out(thing, colour)).count();
        assert!(kept >= 6, "{thing} keeps {kept} colours");
    }
}

#[test]
fn training_and_seen_scenes_show_every_seen_pair_and_no_held_out_one() {
    for split in [Split::Training, Split::Evaluation(Pairs::Seen)] {
        let mut seen = HashSet::new();
        for seed in 0..6000 {
            for (thing, colour) in pairs(&Scene::draw(seed, split).labels()) {
                assert!(!held_out(thing, colour), "{split:?} {seed}: a {colour} {thing}");
                seen.insert((thing, colour));
            }
        }
        assert_eq!(seen.len(), Thing::COUNT * Colour::COUNT - HELD_OUT.len());
    }
}

#[test]
fn held_out_and_judge_scenes_show_every_held_out_pair() {
    for split in [Split::Judge, Split::Evaluation(Pairs::HeldOut), Split::Evaluation(Pairs::All)] {
        let mut seen = HashSet::new();
        for seed in 0..4000 {
            let labels = Scene::draw(seed, split).labels();
            let pair = (labels.thing, labels.colour);
            if split == Split::Evaluation(Pairs::HeldOut) {
                assert!(held_out(pair.0, pair.1), "{seed}");
            }
            if held_out(pair.0, pair.1) {
                seen.insert(pair);
            }
        }
        assert_eq!(seen.len(), HELD_OUT.len(), "{split:?}");
    }
}

#[test]
fn a_scene_is_a_function_of_split_and_seed_and_splits_share_none() {
    let mut pictures = HashMap::new();
    for split in SPLITS {
        for seed in 0..60 {
            let picture = Scene::draw(seed, split).render(24);
            assert_eq!(picture, Scene::draw(seed, split).render(24));
            let other = pictures.insert(picture, (split, seed));
            assert_eq!(other, None, "{split:?} {seed} looks like another");
        }
    }
    let wrapped = Scene::draw(Split::SEEDS + 5, Split::Training);
    assert_eq!(wrapped, Scene::draw(5, Split::Training));
}

#[test]
fn labels_are_uniform_and_a_fifth_of_the_pictures_has_a_second_thing() {
    let count = 12_000;
    let mut found: HashMap<(&str, &str), usize> = HashMap::new();
    for seed in 0..count {
        let labels = Scene::draw(seed, Split::Judge).labels();
        let relation = labels.second.map_or("none", |second| second.relation.name());
        for label in [
            ("thing", labels.thing.name()),
            ("colour", labels.colour.name()),
            ("size", labels.size.name()),
            ("place", labels.place.name()),
            ("sky", labels.sky.name()),
            ("ground", labels.ground.name()),
            ("style", labels.style.name()),
            ("relation", relation),
        ] {
            *found.entry(label).or_default() += 1;
        }
    }
    for (&(kind, name), &times) in &found {
        let share = match kind {
            "thing" => 1.0 / Thing::COUNT as f64,
            "colour" => 1.0 / Colour::COUNT as f64,
            "size" => 1.0 / Size::COUNT as f64,
            "place" => 1.0 / Place::COUNT as f64,
            "sky" => 1.0 / Sky::COUNT as f64,
            "ground" => 1.0 / Ground::COUNT as f64,
            "style" => 1.0 / Style::COUNT as f64,
            _ if name == "none" => 0.8,
            _ => 0.2 / Relation::COUNT as f64,
        };
        let expected = share * count as f64;
        let tolerance = 5.0 * (expected * (1.0 - share)).sqrt();
        assert!((times as f64 - expected).abs() < tolerance, "{kind} {name}: {times}");
    }
    assert_eq!(found.len(), 14 + 8 + 2 + 3 + 4 + 4 + 3 + 5);
}

#[test]
fn a_scene_looks_the_same_at_each_size() {
    for seed in 0..30 {
        let scene = Scene::draw(seed, Split::Training);
        let (small, large) = (scene.render(32), scene.render(128));
        assert_eq!((small.len(), large.len()), (32 * 32 * 3, 128 * 128 * 3));
        let mut difference = 0.0;
        for (index, &value) in small.iter().enumerate() {
            let (y, x, channel) = (index / 96, index / 3 % 32, index % 3);
            let block = (0..16).map(|cell| {
                let (row, column) = (4 * y + cell / 4, 4 * x + cell % 4);
                f64::from(large[(row * 128 + column) * 3 + channel])
            });
            difference += (block.sum::<f64>() / 16.0 - f64::from(value)).abs();
        }
        let mean = difference / small.len() as f64;
        assert!(mean < 4.0, "scene {seed} differs by {mean:.2} of 255 on average");
    }
}

#[test]
fn the_thing_shows_the_colour_of_its_label() {
    for seed in 0..200 {
        let scene = Scene::draw_alone(seed, Split::Judge);
        let labels = scene.labels();
        let picture = scene.render(48);
        let body = picture.chunks(3).filter(|pixel| named(pixel) == Some(labels.colour)).count();
        let least = if labels.size == Size::Small { 15 } else { 60 };
        assert!(body >= least, "{seed}: {body} pixels of {} in {labels:?}", labels.colour);
    }
}

/// The colour name of a pixel that is as strong as the things' bodies are.
fn named(pixel: &[u8]) -> Option<Colour> {
    let [r, g, b] = [0, 1, 2].map(|channel| f32::from(pixel[channel]) / 255.0);
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = high - low;
    let lightness = (high + low) / 2.0;
    let saturation = chroma / (1.0 - (2.0 * lightness - 1.0).abs()).max(1e-3);
    if chroma < 0.1 || saturation < 0.35 {
        return None;
    }
    let sector = if high == r {
        ((g - b) / chroma).rem_euclid(6.0)
    } else if high == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    match sector * 60.0 {
        hue if !(12.0..340.0).contains(&hue) && lightness < 0.62 => Some(Colour::Red),
        hue if (12.0..36.0).contains(&hue) && lightness < 0.41 => Some(Colour::Brown),
        hue if (18.0..38.0).contains(&hue) && saturation > 0.8 => Some(Colour::Orange),
        hue if (44.0..60.0).contains(&hue) && saturation > 0.8 => Some(Colour::Yellow),
        hue if (108.0..160.0).contains(&hue) && lightness < 0.5 => Some(Colour::Green),
        hue if (205.0..240.0).contains(&hue) && saturation > 0.55 => Some(Colour::Blue),
        hue if (255.0..295.0).contains(&hue) => Some(Colour::Purple),
        hue if (310.0..350.0).contains(&hue) && lightness > 0.5 => Some(Colour::Pink),
        _ => None,
    }
}

#[test]
fn captions_are_short_true_of_their_picture_and_leave_things_out() {
    let mut generator = Generator::new(1);
    let mut said: HashMap<&str, usize> = HashMap::new();
    let mut texts = HashSet::new();
    for seed in 0..3000 {
        let scene = Scene::draw(seed, Split::Training);
        let caption = scene.caption(&mut generator);
        let labels = scene.labels();
        let mentioned = caption.mentioned;
        assert!(mentioned.describes(&labels), "{caption:?} of {labels:?}");
        assert!(words(&caption.text).count() <= 22, "{}", caption.text);
        assert!(!caption.text.contains(['{', '}']), "{}", caption.text);
        for (aspect, is_said) in [
            ("thing", mentioned.thing.is_some()),
            ("colour", mentioned.colour.is_some()),
            ("size", mentioned.size.is_some()),
            ("place", mentioned.place.is_some()),
            ("sky", mentioned.sky.is_some()),
            ("ground", mentioned.ground.is_some()),
            ("style", mentioned.style.is_some()),
            ("second", mentioned.second.is_some()),
        ] {
            *said.entry(aspect).or_default() += usize::from(is_said);
        }
        texts.insert(caption.text);
    }
    for (aspect, low, high) in [
        ("thing", 2800, 2999),
        ("colour", 2000, 2700),
        ("size", 300, 900),
        ("place", 400, 1000),
        ("sky", 600, 1500),
        ("ground", 600, 1500),
        ("style", 200, 700),
        ("second", 1100, 1300),
    ] {
        let times = said[aspect];
        assert!((low..=high).contains(&times), "{aspect} is said {times} times of 3000");
    }
    assert!(texts.len() > 2000, "{} captions of 3000 differ", texts.len());
}

#[test]
fn reserved_templates_make_no_training_caption_and_use_only_its_words() {
    let (mut known, mut trained) = (HashSet::new(), HashSet::new());
    let mut generator = Generator::new(2);
    for seed in 0..20_000 {
        let text = Scene::draw(seed, Split::Training).caption(&mut generator).text;
        known.extend(words(&text).map(str::to_owned));
        trained.insert(text);
    }
    let mut met = 0;
    for seed in 0..2000 {
        let scene = Scene::draw(seed, Split::Evaluation(Pairs::All));
        let text = scene.caption(&mut generator).text;
        for word in words(&text) {
            assert!(known.contains(word), "no training caption says {word:?}, as in {text:?}");
        }
        met += usize::from(trained.contains(&text));
    }
    assert_eq!(met, 0, "captions of training met again in evaluation");
}

#[test]
fn evaluation_can_ask_for_what_a_caption_mentions() {
    let mut generator = Generator::new(3);
    for reserved in [false, true] {
        let split = if reserved { Split::Evaluation(Pairs::Seen) } else { Split::Training };
        for aspects in Aspect::offered(reserved) {
            let scene = Scene::draw_alone(9, split);
            let caption = scene.caption_about(&aspects, &mut generator).expect("it is offered");
            let mentioned = caption.mentioned;
            assert_eq!(mentioned.thing.is_some(), aspects.contains(&Aspect::Thing));
            assert_eq!(mentioned.colour.is_some(), aspects.contains(&Aspect::Colour));
            assert_eq!(mentioned.place.is_some(), aspects.contains(&Aspect::Place));
            assert_eq!(mentioned.sky.is_some(), aspects.contains(&Aspect::Sky));
            assert_eq!(mentioned.ground.is_some(), aspects.contains(&Aspect::Ground));
        }
    }
    use Aspect::{Colour, Ground, Place, Second, Size, Sky, Thing};
    let offered = Aspect::offered(true);
    for wanted in [
        vec![Thing, Colour],
        vec![Thing, Colour, Place],
        vec![Thing, Colour, Sky],
        vec![Thing, Colour, Ground],
        vec![Thing, Colour, Sky, Ground],
        vec![Thing, Colour, Place, Sky, Ground],
    ] {
        assert!(offered.contains(&wanted), "{wanted:?}");
    }
    let alone = Scene::draw_alone(9, Split::Training);
    assert_eq!(alone.labels().second, None);
    assert_eq!(alone.caption_about(&[Thing, Second], &mut generator), None);
    assert_eq!(alone.caption_about(&[Size], &mut generator), None);
}

#[test]
fn a_caption_describes_the_pictures_it_is_true_of_and_no_other() {
    let labels = Labels {
        thing: Thing::House,
        colour: Colour::Red,
        size: Size::Large,
        place: Place::Left,
        sky: Sky::Night,
        ground: Ground::Snow,
        style: Style::Flat,
        second: Some(Second {
            thing: Thing::Tree,
            colour: Colour::Blue,
            relation: Relation::LeftOf,
        }),
    };
    let says = |thing, colour| Mentions { thing, colour, ..Mentions::default() };
    assert!(Mentions::default().describes(&labels));
    assert!(says(Some(Thing::House), Some(Colour::Red)).describes(&labels));
    assert!(says(Some(Thing::Tree), Some(Colour::Blue)).describes(&labels));
    assert!(!says(Some(Thing::Tree), Some(Colour::Red)).describes(&labels));
    assert!(!says(Some(Thing::Cat), None).describes(&labels));
    let night_tree = Mentions { sky: Some(Sky::Rain), ..says(Some(Thing::Tree), None) };
    assert!(!night_tree.describes(&labels));
    let told_from_the_tree = |relation| Mentions {
        second: Some(SecondMention { thing: Thing::House, colour: None, relation }),
        ..says(Some(Thing::Tree), None)
    };
    assert!(told_from_the_tree(Relation::RightOf).describes(&labels));
    assert!(!told_from_the_tree(Relation::LeftOf).describes(&labels));
}

/// Exports all images, and returns how many they are.
pub(crate) fn export(options: &Export, out: &Path) -> Result<u64, ExportError> {
    let mut exporter = scenes::Exporter::new(*options, out)?;
    while exporter.export_next()? {}
    Ok(exporter.done())
}

#[test]
fn an_export_is_pictures_and_metadata_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pictures");
    let options = Export { count: 5, seed: 7, size: 40, held_out: true };
    assert_eq!(export(&options, &out).unwrap(), 5);
    let metadata = fs::read_to_string(out.join("metadata.jsonl")).unwrap();
    assert_eq!(metadata.lines().count(), 5);
    for (index, line) in metadata.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let scene = Scene::draw(7 + index as u64, Split::Evaluation(Pairs::HeldOut));
        let labels: Labels = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(labels, scene.labels());
        assert!(!line["text"].as_str().unwrap().is_empty());
        let picture = image::open(out.join(line["file_name"].as_str().unwrap())).unwrap();
        assert_eq!(picture.to_rgb8().into_raw(), scene.render(40));
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 6);
    let again = export(&options, &out).unwrap_err();
    assert!(matches!(again, ExportError::NotEmpty(_)));
    assert!(again.to_string().contains(&out.display().to_string()), "{again}");
}

#[test]
fn an_export_refuses_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |count, size| {
        let options = Export { count, seed: 0, size, held_out: false };
        export(&options, &folder.path().join("out")).unwrap_err().to_string()
    };
    assert!(refusal(0, 64).contains("--count is 0"));
    assert!(refusal(1, 3).contains("--size is 3"));
    assert!(refusal(1, 100_000).contains("--size is 100000"));
    let file = folder.path().join("file");
    fs::write(&file, "taken").unwrap();
    let options = Export { count: 1, seed: 0, size: 32, held_out: false };
    let error = export(&options, &file).unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn as_many_scenes_have_two_things_as_their_split_says() {
    let seen = Split::Evaluation(Pairs::Seen);
    for (split, share) in [(Split::Training, 0.5), (Split::Judge, 0.2), (seen, 0.2)] {
        assert_eq!(split.pairs(), share);
        let scenes = (0..2000).map(|seed| Scene::draw(seed, split));
        let pairs = scenes.filter(|scene| scene.labels().second.is_some());
        let found = pairs.count() as f64 / 2000.0;
        assert!((found - share).abs() < 0.03, "{found} instead of {share}");
    }
}

/// The files in a folder, by their names.
fn contents(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(named).collect()
}

#[test]
fn an_export_that_was_stopped_goes_on_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let options = Export { count: 7, seed: 5, size: 24, held_out: false };
    export(&options, &whole).unwrap();
    let begin = |pictures: usize| {
        let mut exporter = scenes::Exporter::new(options, &stopped).unwrap();
        (0..pictures).for_each(|_| assert!(exporter.export_next().unwrap()));
    };
    begin(0);
    begin(3);
    // What a kill and a torn write leave.
    fs::write(stopped.join(".unclip-abc123.partial"), "half").unwrap();
    let metadata = stopped.join("metadata.jsonl");
    let lines = fs::read_to_string(&metadata).unwrap();
    fs::write(&metadata, format!("{lines}{{\"file_name\": \"00003.p")).unwrap();
    begin(2);
    fs::remove_file(stopped.join("00004.png")).unwrap();
    for other in [
        Export { seed: 6, ..options },
        Export { count: 8, ..options },
        Export { size: 25, ..options },
        Export { held_out: true, ..options },
    ] {
        let refused = scenes::Exporter::new(other, &stopped).err().unwrap();
        assert!(matches!(refused, ExportError::Another { .. }));
        let told = refused.to_string();
        let begun = "a part of --count 7 --seed 5 --size 24, and now --count";
        assert!(told.contains(begun), "{told}");
    }
    export(&options, &stopped).unwrap();
    assert!(contents(&stopped) == contents(&whole));
    let again = export(&options, &stopped).unwrap_err();
    assert!(matches!(again, ExportError::NotEmpty(_)));
}

#[test]
fn an_export_has_no_seeds_beyond_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |count, seed| {
        let options = Export { count, seed, size: 24, held_out: false };
        let exporter = scenes::Exporter::new(options, &folder.path().join("out"));
        exporter.err().map(|error| error.to_string())
    };
    assert_eq!(refused(1, Split::SEEDS - 1), None);
    for (count, seed) in [(2, Split::SEEDS - 1), (1, Split::SEEDS), (9, u64::MAX)] {
        let told = refused(count, seed).unwrap();
        assert!(told.contains(&format!("--seed is {seed}")), "{told}");
    }
}

#[test]
fn a_file_that_says_nothing_of_its_export_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = Export { count: 1, seed: 0, size: 24, held_out: false };
    let state = folder.path().join(".unclip-scenes.json");
    for text in ["", "{}", &"a".repeat(10_000)] {
        fs::write(&state, text).unwrap();
        let told = export(&options, folder.path()).unwrap_err();
        assert!(told.to_string().contains(".unclip-scenes.json"), "{told}");
        assert!(told.to_string().len() < 1000, "{told}");
    }
}
