//! Everyday scenes: what no training image shows, that captions are true, and that a drawing shows its labels.

use std::collections::{BTreeSet, HashMap, HashSet};

use noise::Generator;
use training::{Data, SyntheticDataset};
use world::{
    Action, Aspect, Caption, Colour, Home, Labels, MixedDataset, Novelty, Place, Relation, Scene,
    Season, Split, Thing, Time, Weather, WorldDataset, held_out, held_out_at, held_out_colour,
    held_out_together, nearest_word, words,
};

const SPLITS: [Split; 3] = [Split::Training, Split::Judge, Split::Evaluation(Novelty::Any)];

/// The split that shows everything and never misspells.
fn judged(seed: u64) -> Scene {
    Scene::draw(seed, Split::Judge)
}

fn colours(labels: &Labels) -> impl Iterator<Item = (Thing, Colour)> {
    labels.figures.iter().filter_map(|figure| Some((figure.thing, figure.colour?)))
}

fn compositions(labels: &Labels) -> bool {
    let figures = &labels.figures;
    let together = figures.iter().enumerate().any(|(index, one)| {
        figures[index + 1..].iter().any(|other| held_out_together(one.thing, other.thing))
    });
    together || figures.iter().any(|figure| held_out_at(figure.thing, labels.place))
}

fn caption_words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}

#[test]
fn the_things_of_every_day_are_there_in_twelve_colours() {
    assert_eq!(Colour::COUNT, 12);
    let things = Thing::all();
    let painted = things.iter().filter(|thing| thing.takes_colours()).count();
    assert!(things.len() >= 80 && painted * 5 >= things.len() * 3, "{} {painted}", things.len());
    for name in ["cat", "car", "apple", "house", "tree", "chair", "sun", "woman", "robot"] {
        assert_eq!(Thing::named(name).map(Thing::name), Some(name));
    }
    let old = scenes::Thing::NAMES.iter().filter(|name| Thing::named(name).is_none());
    // A hot-air balloon has its own name here, and a balloon is one on a string.
    assert_eq!(old.count(), 0);
    let mut names = HashSet::new();
    for &thing in things {
        assert_eq!(Thing::all()[thing.index()], thing);
        assert!(names.insert(thing.name()), "{thing} is there twice");
        assert_eq!(thing.words().next(), Some(thing.name()));
        if thing.home() != Home::Person {
            let natural = thing.natural_colour();
            assert!(natural.is_none_or(|colour| !held_out(thing, colour)), "{thing}");
        }
    }
}

#[test]
fn a_thing_that_takes_colours_is_held_out_in_one_that_it_does_not_have() {
    for &thing in Thing::all() {
        let held = Colour::ALL.iter().filter(|&&colour| held_out(thing, colour)).count();
        assert_eq!(held, usize::from(thing.takes_colours()), "{thing}");
        assert_eq!(held_out_colour(thing).is_some(), thing.takes_colours());
        // Nobody is to miss these.
        for colour in [Colour::Red, Colour::Blue, Colour::Yellow, Colour::Black, Colour::White] {
            assert!(!held_out(thing, colour), "a {colour} {thing}");
        }
    }
}

#[test]
fn training_and_seen_scenes_show_nothing_that_is_held_out() {
    for split in [Split::Training, Split::Evaluation(Novelty::Seen)] {
        for seed in 0..4000 {
            let scene = Scene::draw(seed, split);
            let labels = scene.labels();
            let novel = colours(labels).find(|&(thing, colour)| held_out(thing, colour));
            assert_eq!(novel, None, "{split:?} {seed}");
            assert!(!compositions(labels), "{split:?} {seed}: {labels:?}");
        }
    }
}

#[test]
fn evaluation_shows_what_it_is_asked_for() {
    for seed in 0..800 {
        let scene = Scene::draw(seed, Split::Evaluation(Novelty::Colour));
        let first = scene.labels().figures[0];
        assert!(held_out(first.thing, first.colour.unwrap()), "{seed}: {first:?}");
        let scene = Scene::draw(seed, Split::Evaluation(Novelty::Composition));
        assert!(compositions(scene.labels()), "{seed}: {:?}", scene.labels());
        assert!(colours(scene.labels()).all(|(thing, colour)| !held_out(thing, colour)));
    }
}

#[test]
fn a_scene_is_a_function_of_split_and_seed_and_splits_share_none() {
    let mut images = HashMap::new();
    for split in SPLITS {
        for seed in 0..60 {
            let image = Scene::draw(seed, split).render(24);
            assert_eq!(image, Scene::draw(seed, split).render(24));
            assert_eq!(image.len(), 24 * 24 * 3);
            // There are few rooms without anything in them.
            if !Scene::draw(seed, split).labels().figures.is_empty() {
                let other = images.insert(image, (split, seed));
                assert_eq!(other, None, "{split:?} {seed} looks like another");
            }
        }
    }
    let wrapped = Scene::draw(Split::SEEDS + 5, Split::Training);
    assert_eq!(wrapped, Scene::draw(5, Split::Training));
}

#[test]
fn every_label_is_drawn_and_none_without_its_place() {
    let mut seen = BTreeSet::new();
    for seed in 0..20_000 {
        let scene = judged(seed);
        let labels = scene.labels();
        assert_eq!(labels.time.is_some(), labels.place.has_sky());
        assert_eq!(labels.weather.is_some(), labels.place.has_sky());
        assert!(labels.season.is_none() || labels.place.has_season());
        assert_eq!(labels.relation.is_some(), labels.figures.len() == 2);
        seen.insert(labels.place.name());
        seen.extend(labels.time.map(Time::name));
        seen.extend(labels.weather.map(Weather::name));
        seen.extend(labels.season.map(Season::name));
        seen.extend(labels.relation.map(Relation::name));
        for figure in &labels.figures {
            assert!((1..=3).contains(&figure.count));
            seen.insert(figure.thing.name());
            seen.extend(figure.action.map(Action::name));
            seen.extend(figure.texture.map(|texture| texture.name()));
        }
    }
    let names = [Place::NAMES, Time::NAMES, Weather::NAMES, Season::NAMES, Relation::NAMES];
    let names = names.concat().into_iter().chain(Action::NAMES.iter().copied());
    let names = names.chain(Thing::all().iter().map(|thing| thing.name()));
    let missing: Vec<_> = names.filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn captions_are_short_and_true_and_of_known_words() {
    let mut generator = Generator::new(1);
    for split in [Split::Judge, Split::Evaluation(Novelty::Any)] {
        for seed in 0..4000 {
            let scene = Scene::draw(seed, split);
            for caption in [scene.own_caption(), scene.caption(&mut generator)] {
                let Caption { text, mentioned } = &caption;
                assert!(mentioned.describes(scene.labels()), "{text}: {:?}", scene.labels());
                let count = caption_words(text).count();
                assert!((1..=Caption::MOST_WORDS).contains(&count), "{count}: {text}");
                let unknown: Vec<_> =
                    caption_words(text).filter(|word| !words().contains(word)).collect();
                assert!(unknown.is_empty(), "{unknown:?} in {text}");
                assert!(!text.contains("  ") && text.trim() == text && !text.contains('%'));
                assert_eq!(text.to_lowercase(), *text);
            }
        }
    }
}

#[test]
fn a_few_training_captions_have_one_slip_of_the_finger() {
    let slips = |seed| {
        let text = Scene::draw(seed, Split::Training).own_caption().text;
        let unknown = caption_words(&text).filter(|word| !words().contains(word)).count();
        assert!(unknown <= 1, "{text}");
        unknown
    };
    let count: usize = (0..4000).map(slips).sum();
    // 4% are misspelled; some slips make another word.
    assert!((80..=170).contains(&count), "{count} of 4000");
}

#[test]
fn captions_that_name_a_label_are_false_of_a_sibling_that_differs_in_it() {
    use Aspect::*;
    let aspects = [
        Thing,
        Colour,
        Texture,
        Count,
        Size,
        Action,
        Second,
        SecondColour,
        Relation,
        Place,
        Time,
        Weather,
        Season,
    ];
    for aspect in aspects {
        let (mut siblings, mut told) = (0_u32, 0_u32);
        for seed in 0..600 {
            let scene = judged(seed);
            let mut generator = Generator::new(seed);
            let Some(sibling) = scene.sibling(aspect, &mut generator) else { continue };
            assert_ne!(sibling.labels(), scene.labels());
            let caption = sibling.caption_about(&[aspect], &mut generator);
            assert!(caption.mentioned.describes(sibling.labels()), "{}", caption.text);
            siblings += 1;
            told += u32::from(!caption.mentioned.describes(scene.labels()));
        }
        // What is not there (no action, no season) has no words, and some synonyms are shared.
        let least = if matches!(aspect, Action | Season | Texture) { 0.45 } else { 0.93 };
        assert!(siblings > 15, "{aspect:?}: {siblings}");
        let share = f64::from(told) / f64::from(siblings);
        assert!(share >= least, "{aspect:?}: {told} of {siblings}");
    }
}

#[test]
fn siblings_keep_what_the_label_does_not_name() {
    for seed in 0..300 {
        let scene = judged(seed);
        let mut generator = Generator::new(seed);
        if let Some(sibling) = scene.sibling(Aspect::Colour, &mut generator) {
            let (mut one, mut other) = (scene.labels().clone(), sibling.labels().clone());
            one.figures[0].colour = None;
            other.figures[0].colour = None;
            // A person in no colour is a face.
            if one.figures[0].action == other.figures[0].action {
                assert_eq!(one, other);
                let boxes = |scene: &Scene| scene.boxes().to_vec();
                assert_eq!(boxes(&scene).len(), boxes(&sibling).len());
            }
        }
        if let Some(exchanged) = scene.with_colours_exchanged() {
            let [one, other] = &scene.labels().figures[..] else { panic!("two things") };
            let [first, second] = &exchanged.labels().figures[..] else { panic!("two things") };
            assert_eq!((first.thing, second.thing), (one.thing, other.thing));
            assert_eq!((first.colour, second.colour), (other.colour, one.colour));
        }
    }
}

#[test]
fn things_stand_to_each_other_as_the_relation_says() {
    let mut seen = HashMap::new();
    for seed in 0..3000 {
        let scene = judged(seed);
        let Some(relation) = scene.labels().relation else { continue };
        let boxes = scene.boxes();
        let of = |index: usize| boxes.iter().find(|(figure, _)| *figure == index).unwrap().1;
        let ([left, top, right, bottom], other) = (of(0), of(1));
        let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        let (other_x, other_y) = ((other[0] + other[2]) / 2.0, (other[1] + other[3]) / 2.0);
        let overlap_x = right.min(other[2]) > left.max(other[0]);
        let holds = match relation {
            Relation::LeftOf => x < other_x && right <= other[0] + 0.05,
            Relation::RightOf => x > other_x && left >= other[2] - 0.05,
            Relation::Above => y < other_y && overlap_x && bottom <= other[1] + 0.02,
            Relation::Under => y > other_y && overlap_x,
            Relation::On => y < other_y && overlap_x && bottom >= other[1] - 0.02,
            Relation::InFrontOf | Relation::Behind => overlap_x,
        };
        assert!(holds, "{seed}: {:?} {boxes:?}", scene.labels());
        *seen.entry(relation).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), Relation::COUNT);
    assert!(seen.values().all(|&count| count >= 40), "{seen:?}");
}

#[test]
fn things_are_in_the_image_and_large_enough_to_see() {
    for seed in 0..6000 {
        let scene = judged(seed);
        for (figure, [left, top, right, bottom]) in scene.boxes() {
            let labels = scene.labels();
            let inside = left > -0.06 && top > -0.06 && right < 1.06 && bottom < 1.12;
            assert!(inside, "{seed}: {figure} {left} {top} {right} {bottom} {labels:?}");
            let side = (right - left).max(bottom - top);
            assert!(side >= 0.19, "{seed}: {side} {labels:?}");
        }
    }
}

#[test]
fn a_colour_that_is_asked_for_is_seen() {
    // The nearest of the palette's colours, by hue where there is one.
    let mut found: HashMap<Colour, (usize, usize)> = HashMap::new();
    let mut faint = BTreeSet::new();
    for seed in 0..4000 {
        let scene = judged(seed);
        let labels = scene.labels();
        let ([figure], Place::Plain) = (&labels.figures[..], labels.place) else { continue };
        let Some(colour) = figure.colour.filter(|_| figure.texture.is_none()) else { continue };
        // A thin thing, or a person in trousers and shoes, has few pixels of it.
        if colour == Colour::White || figure.thing.home() == Home::Person {
            continue;
        }
        let image = scene.render(64);
        let near = image.chunks_exact(3).filter(|pixel| is_near(pixel, colour)).count();
        let inked = image.chunks_exact(3).filter(|pixel| pixel.iter().any(|&v| v < 235)).count();
        let (all, seen) = found.entry(colour).or_default();
        *all += 1;
        let is_seen = near * 100 >= inked * 14;
        *seen += usize::from(is_seen);
        faint.extend(Some(format!("{colour} {}", figure.thing)).filter(|_| !is_seen));
    }
    assert_eq!(found.len(), Colour::COUNT - 1);
    for (colour, (all, seen)) in found {
        assert!(seen * 100 >= all * 95, "{colour}: {seen} of {all}, without {faint:?}");
    }
}

/// Whether a pixel has a colour that people give this name.
fn is_near(pixel: &[u8], colour: Colour) -> bool {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
    let (low, high) = (r.min(g).min(b), r.max(g).max(b));
    let light = (low + high) / 510.0;
    let chroma = (high - low) / 255.0;
    let hue = match high {
        _ if high == low => 0.0,
        high if high == r => ((g - b) / (high - low) * 60.0).rem_euclid(360.0),
        high if high == g => (b - r) / (high - low) * 60.0 + 120.0,
        _ => (r - g) / (high - low) * 60.0 + 240.0,
    };
    let within = |from: f32, to: f32| chroma > 0.16 && (from..to).contains(&hue);
    match colour {
        Colour::Red => chroma > 0.3 && !(12.0..=345.0).contains(&hue),
        Colour::Orange => within(14.0, 44.0) && light > 0.4,
        Colour::Yellow => within(38.0, 66.0),
        Colour::Green => within(80.0, 168.0),
        Colour::Turquoise => within(165.0, 198.0),
        Colour::Blue => within(198.0, 240.0),
        Colour::Purple => within(240.0, 300.0),
        Colour::Pink => within(300.0, 352.0) && light > 0.6,
        Colour::Brown => within(8.0, 42.0) && light < 0.55,
        Colour::Black => light < 0.3 && chroma < 0.15,
        Colour::Grey => chroma < 0.15 && (0.3..0.8).contains(&light),
        Colour::White => light > 0.85,
    }
}

#[test]
fn an_image_is_the_same_at_another_size() {
    for seed in 0..24 {
        let scene = judged(seed);
        let (small, large) = (scene.render(64), scene.render(128));
        let mut difference = 0.0;
        for (index, &value) in small.iter().enumerate() {
            let (pixel, channel) = (index / 3, index % 3);
            let (x, y) = (pixel % 64 * 2, pixel / 64 * 2);
            let at = |x: usize, y: usize| f64::from(large[(y * 128 + x) * 3 + channel]);
            let mean = (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0;
            difference += (mean - f64::from(value)).abs();
        }
        let mean = difference / small.len() as f64;
        assert!(mean < 2.5, "{seed}: {mean}");
    }
}

#[test]
fn the_nearest_word_is_of_the_same_kind_or_spelled_alike() {
    for (word, nearest) in [
        ("leopard", Some("tiger")),
        ("leopards", Some("tiger")),
        ("armchair", Some("chair")),
        ("elefant", Some("elephant")),
        ("hosre", Some("horse")),
        ("Skeleton", Some("skull")),
        ("cat", None),
        ("kittens", None),
        ("xylophone", None),
        ("of", None),
        ("é", None),
        ("", None),
    ] {
        assert_eq!(nearest_word(word), nearest, "{word}");
    }
    let mut wrong = Vec::new();
    for line in include_str!("../../lab/world/data/near.txt").lines() {
        let Some((known, others)) = line.split_once(':').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        assert!(words().contains(known), "{known}");
        for other in others.split(',').map(str::trim) {
            wrong.extend(Some(other).filter(|other| nearest_word(other) != Some(known)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn datasets_give_the_scenes_of_their_numbers() {
    let all = WorldDataset.draw(0, 12, 24, false);
    let part = WorldDataset.draw(5, 3, 24, false);
    assert_eq!((&all.images[5..8], &all.captions[5..8]), (&part.images[..], &part.captions[..]));
    let captions = WorldDataset.captions(2000);
    assert_eq!(all.captions, captions[..12]);
    let unknown = |text: &&String| caption_words(text).any(|word| !words().contains(word));
    let misspelled: Vec<&String> = captions.iter().filter(unknown).collect();
    assert!(misspelled.is_empty(), "a tokenizer learns no slips of the finger: {misspelled:?}");
    let all = WorldDataset.draw(0, 12, 24, true);
    let part = WorldDataset.draw(5, 3, 24, true);
    assert_eq!((&all.images[5..8], &all.captions[5..8]), (&part.images[..], &part.captions[..]));
}

#[test]
fn data_is_opened_by_name_and_refused_in_one_sentence() {
    let opened = |names: &[&str], flip| match world::dataset::open(names, flip) {
        Ok(Data::Synthetic(dataset)) => Ok(dataset.name()),
        Ok(_) => panic!("{names:?} is no synthetic dataset"),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(opened(&["world"], false), Ok("world"));
    assert_eq!(opened(&["scenes"], false), Ok("scenes"));
    assert_eq!(opened(&[], false), Ok("scenes"));
    assert_eq!(opened(&["scenes", "world"], false), Ok("scenes+world"));
    assert_eq!(opened(&["world", "scenes"], false), Ok("scenes+world"));
    for (names, flip, why) in [
        (&["world", "pictures"][..], false, "cannot be mixed with files"),
        (&["world"], true, "world is not mirrored"),
        (&["world", "scenes"], true, "world is not mirrored"),
        (&["world", "world"], false, "can each be named once"),
        (&["scenes", "pictures"], false, "scenes have no end"),
    ] {
        let error = opened(names, flip).unwrap_err();
        assert!(error.contains(why), "{names:?}: {error}");
    }
}

#[test]
fn mixed_scenes_are_those_of_both_sets_by_turns() {
    for hard in [false, true] {
        let mixed = MixedDataset.draw(0, 12, 24, hard);
        let old = scenes::SceneDataset.draw(0, 4, 24, hard);
        let new = WorldDataset.draw(0, 8, 24, hard);
        let turns =
            |old: &[String], new: &[String]| [&old[..2], &new[..4], &old[2..], &new[4..]].concat();
        assert_eq!(mixed.captions, turns(&old.captions, &new.captions));
        assert_eq!(mixed.images[6], old.images[2]);
        assert_eq!(mixed.images[2], new.images[0]);
        let part = MixedDataset.draw(5, 4, 24, hard);
        assert_eq!(part.captions, mixed.captions[5..9]);
        let false_negatives = MixedDataset.false_negatives(0, 12, hard);
        let of_new = WorldDataset.false_negatives(0, 4, hard);
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            assert_eq!(false_negatives(2 + i, 2 + j), of_new(i, j));
        }
    }
}

#[test]
fn hard_negatives_differ_by_a_label_and_mostly_say_so() {
    let pairs = world::dataset::hard_negatives(0, 1200);
    for ((_, scene), seed) in pairs.iter().zip(0..) {
        let negatives = world::dataset::negative_captions(scene, seed);
        assert_eq!(negatives.len(), training::NEGATIVE_CAPTIONS);
        for caption in negatives {
            assert!(!caption.mentioned.describes(scene.labels()), "{}", caption.text);
        }
    }
    let mut told = 0;
    for pair in pairs.chunks_exact(2) {
        let [(caption, scene), (other_caption, other)] = pair else { unreachable!() };
        assert!(caption.mentioned.describes(scene.labels()), "{}", caption.text);
        let one_way = !caption.mentioned.describes(other.labels());
        let other_way = !other_caption.mentioned.describes(scene.labels());
        told += usize::from(one_way && other_way);
        assert_eq!(caption.text.is_empty(), other_caption.text.is_empty());
        for (thing, colour) in colours(other.labels()) {
            assert!(!held_out(thing, colour), "{colour} {thing}");
        }
    }
    assert!(told >= 480, "{told} of 600");
}
