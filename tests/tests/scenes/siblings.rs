//! Scenes of one seed that differ in one label.

use noise::Generator;
use scenes::{Aspect, Labels, Scene, Split, held_out};

#[test]
fn siblings_differ_in_one_label_and_nowhere_else() {
    let differing = |a: &Labels, b: &Labels| {
        let same = [
            a.thing == b.thing,
            a.colour == b.colour,
            a.size == b.size,
            a.place == b.place,
            a.sky == b.sky,
            a.ground == b.ground,
            a.style == b.style,
            a.second == b.second,
        ];
        same.map(|same| !same)
    };
    let aspects = [
        Aspect::Thing,
        Aspect::Colour,
        Aspect::Size,
        Aspect::Place,
        Aspect::Sky,
        Aspect::Ground,
        Aspect::Style,
        Aspect::Second,
        Aspect::SecondColour,
    ];
    let (mut siblings, mut none) = (0, 0);
    for seed in 0..200 {
        for (index, aspect) in aspects.into_iter().enumerate() {
            let scene = Scene::draw(seed, Split::Training);
            let mut generator = Generator::new(seed);
            let Some(sibling) = scene.sibling(aspect, &mut generator) else {
                none += 1;
                let of_second = index >= 7;
                assert!(scene.siblings(aspect).is_empty());
                let two = scene.labels().second.is_some();
                assert_ne!(two, of_second, "{seed} {aspect:?}");
                continue;
            };
            siblings += 1;
            let mut wanted = [false; 8];
            wanted[index.min(7)] = true;
            assert_eq!(differing(&scene.labels(), &sibling.labels()), wanted);
            let labels = sibling.labels();
            assert!(!held_out(labels.thing, labels.colour), "{labels:?}");
            if let Some(second) = labels.second {
                assert!(!held_out(second.thing, second.colour), "{labels:?}");
                assert_ne!(second.thing, labels.thing);
            }
            let moved = |labels: Labels| labels.second.map(|s| (s.thing, s.relation));
            let colour_alone =
                aspect != Aspect::SecondColour || moved(labels) == moved(scene.labels());
            assert!(colour_alone, "{seed}: {labels:?}");
            let all = scene.siblings(aspect);
            assert!(all.contains(&sibling) && !all.contains(&scene));
            // A way back leads to the scene itself: nothing that no label names was drawn anew.
            let back = (0..200)
                .filter_map(|seed| sibling.sibling(aspect, &mut Generator::new(seed)))
                .find(|back| back.labels() == scene.labels())
                .unwrap_or_else(|| panic!("{seed}: no way back from another {aspect:?}"));
            assert!(back == scene, "{seed} {aspect:?}");
        }
    }
    assert!(siblings > 1450 && none > 0, "{siblings} and {none}");
    // What the label does not touch stays: where only the colour differs, everything around the thing.
    let scene = Scene::draw_alone(3, Split::Training);
    let sibling = scene.sibling(Aspect::Colour, &mut Generator::new(1)).unwrap();
    let (one, other) = (scene.render(64), sibling.render(64));
    let changed = one.chunks(3).zip(other.chunks(3)).filter(|(a, b)| a != b);
    let share = changed.count() as f64 / (64.0 * 64.0);
    assert!((0.02..0.4).contains(&share), "{share} of the picture changed");
}

#[test]
fn all_siblings_are_those_that_can_be_drawn() {
    for seed in 0..20 {
        let scene = Scene::draw_pair(seed, Split::Training);
        for aspect in [Aspect::Colour, Aspect::Place, Aspect::Second] {
            let all = scene.siblings(aspect);
            let mut drawn: Vec<Labels> = (0..400)
                .filter_map(|seed| scene.sibling(aspect, &mut Generator::new(seed)))
                .map(|sibling| sibling.labels())
                .collect();
            drawn.sort();
            drawn.dedup();
            let all: Vec<Labels> = all.iter().map(Scene::labels).collect();
            assert_eq!(all, drawn, "{seed} {aspect:?}");
        }
    }
}

#[test]
fn two_things_exchange_their_colours() {
    let (mut exchanged, mut related) = (0, 0);
    for seed in 0..200 {
        let scene = Scene::draw_pair(seed, Split::Training);
        let second = scene.labels().second.unwrap();
        let Some(other) = scene.with_colours_exchanged() else {
            let (one, two) = (scene.labels().colour, second.colour);
            let forbidden = held_out(scene.labels().thing, two) || held_out(second.thing, one);
            assert!(one == two || forbidden, "{seed}");
            continue;
        };
        exchanged += 1;
        let labels = other.labels();
        assert_eq!(labels.colour, second.colour);
        assert_eq!(labels.second.unwrap().colour, scene.labels().colour);
        assert_ne!(other.render(32), scene.render(32));
        assert!(other.with_colours_exchanged().unwrap() == scene, "{seed}");
        let sibling = scene.sibling(Aspect::Second, &mut Generator::new(seed));
        let relation = sibling.unwrap().labels().second.unwrap().relation;
        related += u32::from(relation != second.relation);
    }
    assert!(exchanged > 120, "{exchanged}");
    // Another relation comes about as often as another thing.
    assert!((60..140).contains(&related), "{related}");
    let alone = Scene::draw_alone(1, Split::Training);
    assert!(alone.with_colours_exchanged().is_none());
}
