//! Captions about everyday things, and which predictions are what they say.

use std::collections::HashSet;

use evaluation::{
    AccuracyRow, CaptionSet, CaptionedScene, ImageSource, TableCaptions, WorldCaptionSet,
};
use judge::{Prediction, Question, Subject};
use world::{Labels, Novelty, Relation, RelationMention, Split, Thing, held_out};

/// Whether predictions of these labels are right in each column, of those that the caption mentions.
fn rights(
    example: &impl CaptionedScene,
    set: WorldCaptionSet,
    labels: &Labels,
) -> Vec<Option<bool>> {
    let prediction = Prediction::of(labels);
    let columns = set.columns().iter();
    columns.map(|column| example.is_right(column.questions, &prediction)).collect()
}

#[test]
fn the_scene_itself_is_right_in_all_that_its_caption_mentions() {
    for set in [WorldCaptionSet::World, WorldCaptionSet::WorldHeldOut, WorldCaptionSet::WorldPairs]
    {
        let mut texts = HashSet::new();
        let mut mentioned = vec![0; set.columns().len()];
        for example in set.examples(0..160) {
            let labels = example.scene.labels();
            assert!(example.is_all_right(&Prediction::of(labels)), "{}", example.caption.text);
            let rights = rights(&example, set, labels);
            assert!(rights.iter().all(|right| *right != Some(false)), "{}", example.caption.text);
            for (count, right) in mentioned.iter_mut().zip(rights) {
                *count += usize::from(right.is_some());
            }
            texts.insert(example.caption.text.clone());
            let drawn =
                matches!(example.scene.split(), Split::Evaluation(Novelty::Seen | Novelty::Colour));
            assert!(drawn);
        }
        assert!(texts.len() > 150, "{set:?} has the same captions again and again");
        assert!(mentioned.iter().all(|&count| count > 3), "{set:?}: {mentioned:?}");
    }
    let places = WorldCaptionSet::World.examples(0..80);
    let alone = places.iter().filter(|example| example.scene.labels().figures.is_empty()).count();
    assert_eq!(alone, 10);
    for example in WorldCaptionSet::WorldHeldOut.examples(0..20) {
        let said = &example.caption.mentioned.figures[0];
        assert!(held_out(said.thing, said.colour.unwrap()), "{}", example.caption.text);
    }
}

#[test]
fn another_label_is_wrong_in_its_column_alone() {
    for example in WorldCaptionSet::World.examples(0..60) {
        let own = example.scene.labels();
        let Some(figure) = own.figures.first() else { continue };
        let said = &example.caption.mentioned;
        let shown = Thing::all()
            .iter()
            .find(|thing| !thing.words().any(|word| word == said.figures[0].word));
        let mut other = own.clone();
        other.figures[0].thing = *shown.unwrap();
        let right = rights(&example, WorldCaptionSet::World, &other);
        assert_eq!(right[0], Some(false), "{}", example.caption.text);
        assert!(right[1..].iter().all(|right| *right != Some(false)));
        // A second thing may be there, whichever is called the first.
        let mut two = own.clone();
        let second = world::Figure { thing: *shown.unwrap(), ..*figure };
        two.figures = vec![second, world::Figure { count: 1, ..*figure }];
        two.relation = Some(Relation::LeftOf);
        let right = rights(&example, WorldCaptionSet::World, &two);
        assert_eq!(right[0], Some(true), "{}", example.caption.text);
        assert!(right[1] != Some(false));
        if let Some(place) = said.place {
            let place = world::Place::ALL.iter().find(|&&other| other != place).unwrap();
            let right =
                rights(&example, WorldCaptionSet::World, &Labels { place: *place, ..own.clone() });
            assert_eq!((right[0], right[3]), (Some(true), Some(false)));
        }
    }
}

#[test]
fn two_everyday_things_may_be_drawn_from_either_end_and_not_the_other_way_round() {
    let mut relations = HashSet::new();
    for example in WorldCaptionSet::WorldPairs.examples(0..120) {
        let own = example.scene.labels();
        let right = |labels: &Labels| {
            let rights = rights(&example, WorldCaptionSet::WorldPairs, labels);
            (rights[0].unwrap(), rights[3], rights[4].unwrap())
        };
        let Some(RelationMention::Exactly(relation)) = example.caption.mentioned.relation else {
            panic!("{} does not say how they stand", example.caption.text)
        };
        relations.insert(relation);
        let [one, other] = [own.figures[0], own.figures[1]];
        assert!(right(own).0 && right(own).1 != Some(false) && right(own).2);
        let with = |figures: [world::Figure; 2], relation| Labels {
            figures: figures.to_vec(),
            relation: Some(relation),
            ..own.clone()
        };
        // Told from the other end it is the same picture.
        if let Some(inverse) = relation.inverse() {
            assert!(right(&with([other, one], inverse)).2);
            let turned = right(&with([one, other], inverse));
            assert_eq!((turned.0, turned.2), (true, false), "{}", example.caption.text);
        }
        let exchanged = right(&with([other, one], relation));
        assert_eq!((exchanged.0, exchanged.2), (true, false), "{}", example.caption.text);
        let colours = [
            world::Figure { colour: other.colour, ..one },
            world::Figure { colour: one.colour, ..other },
        ];
        let same = one.colour == other.colour;
        let coloured = right(&with(colours, relation));
        assert!(coloured.0 && coloured.2 && coloured.1.is_none_or(|right| right == same));
        let alone = Labels { figures: vec![one], relation: None, ..own.clone() };
        assert_eq!((right(&alone).0, right(&alone).2), (false, false));
    }
    assert_eq!(relations.len(), Relation::ALL.len());
}

#[test]
fn rows_of_both_kinds_of_captions_are_told_apart_in_json() {
    let sets: [TableCaptions; 4] = [
        CaptionSet::HeldOut.into(),
        WorldCaptionSet::WorldHeldOut.into(),
        CaptionSet::Pairs.into(),
        WorldCaptionSet::WorldPairs.into(),
    ];
    let names = ["held-out", "world-held-out", "pairs", "world-pairs"];
    for (set, name) in sets.into_iter().zip(names) {
        let json = serde_json::to_value(AccuracyRow::new(ImageSource::Chain, set)).unwrap();
        assert_eq!(json["asked"], name);
        let row: AccuracyRow = serde_json::from_value(json).unwrap();
        assert_eq!(row.captions, set);
    }
    assert_eq!(sets[3].subject(), Subject::World);
    let asked = |question: &Question| Subject::World.questions().contains(question);
    let columns = sets[1].columns().iter().chain(sets[3].columns());
    assert!(columns.flat_map(|column| column.questions).all(asked));
}
