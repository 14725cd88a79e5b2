//! Families as data: a layout of the test's own, the components of its tasks, and what they must agree in.

use decoder::{ConditioningConfig, UNetConfig};
use families::compatibility::{CONTEXT, EMBEDDING, OUTPUTS, TWO_IMAGES, mismatches};
use families::{
    Clip, Completion, Condition, Defaults, DiffusionPrior, Error, Family, Mismatch, ModelFolders,
    PriorDefaults, PriorKind, Requirement, Shapes, Stage, StageDefaults, StageShapes, karlo,
};
use pipeline::TimestepRespacing;
use training::Recipe;
use weights::Folder;

/// Two upsamplers, the second without a network for its last step, and no autoregressive prior.
fn two_upsamplers() -> Family {
    let karlo = karlo();
    let [decoder, upsampler] = [karlo.stages[0], karlo.stages[1]];
    let steps = |steps| StageDefaults {
        steps: TimestepRespacing::Count(steps),
        guidance_scale: None,
        temperature: None,
    };
    Family {
        name: "Two",
        clip: Some(Clip {
            tokenizer: "words",
            text_encoder: "text",
            image_encoder: "image",
            image_processor: "pixels",
        }),
        prior: Some(DiffusionPrior { network: "p", scheduler: "p_steps" }),
        autoregressive_prior: None,
        principal_components: None,
        stages: vec![
            Stage {
                name: "base",
                scheduler: "d_steps",
                network: "d",
                condition: Condition::Embedding { projection: "c" },
                ..decoder
            },
            Stage {
                name: "middle",
                scheduler: "m_steps",
                network: "m",
                last_network: Some("m_last"),
                student: None,
                ..upsampler
            },
            Stage {
                name: "large",
                scheduler: "l_steps",
                network: "l",
                last_network: None,
                student: None,
                ..upsampler
            },
        ],
        defaults: Defaults {
            prior: Some(PriorDefaults { steps: 2, guidance_scale: 1.0 }),
            stages: [2, 3, 4].map(steps).into(),
        },
        ..karlo
    }
}

#[test]
fn a_task_names_its_components_in_the_order_in_which_they_work() {
    let family = two_upsamplers();
    let all = Requirement {
        text: true,
        prior: Some(PriorKind::Diffusion),
        image_encoder: true,
        stages: 3,
        ..Requirement::default()
    };
    assert_eq!(
        family.components(all).join(" "),
        "words text c d d_steps m m_last m_steps l l_steps p p_steps image pixels"
    );
    let decoder = Requirement { text: true, stages: 1, ..Requirement::default() };
    assert_eq!(family.components(decoder), ["words", "text", "c", "d", "d_steps"]);
    let codes = Requirement { prior: Some(PriorKind::Autoregressive), ..Requirement::default() };
    assert!(family.components(codes).is_empty());
    assert_eq!(karlo().components(codes), [karlo::AUTOREGRESSIVE_PRIOR]);
    assert_eq!(karlo().all_components().len(), 16);
}

/// The shapes of the tiny recipe, enlarged a second time.
fn shapes() -> Shapes {
    let recipe = Recipe::preset("tiny").unwrap();
    let upsampler = StageShapes {
        network: Some(recipe.upsampler.unet.clone()),
        scheduler: Some(karlo::upsampler_scheduler(recipe.upsampler.predicts)),
        ..StageShapes::default()
    };
    Shapes {
        text_encoder: Some(recipe.clip.text),
        prior: Some(recipe.prior.model),
        prior_scheduler: Some(karlo::prior_scheduler()),
        stages: vec![
            StageShapes {
                conditioning: Some(recipe.decoder.conditioning),
                network: Some(recipe.decoder.unet),
                scheduler: Some(karlo::decoder_scheduler()),
                ..StageShapes::default()
            },
            upsampler.clone(),
            upsampler,
        ],
        ..Shapes::default()
    }
}

#[test]
fn stages_are_compared_with_the_stage_before() {
    let family = two_upsamplers();
    assert_eq!(mismatches(&shapes(), &family), []);
    let mut other = shapes();
    let network: &mut UNetConfig = other.stages[2].network.as_mut().unwrap();
    network.in_channels = 8;
    let found = mismatches(&other, &family);
    let outputs = Mismatch { first: "l_steps", second: "l", quantity: OUTPUTS, one: 4, other: 3 };
    let images = Mismatch { first: "m", second: "l", quantity: TWO_IMAGES, one: 6, other: 8 };
    assert_eq!(found, [outputs, images]);

    let mut other = shapes();
    let conditioning: &mut ConditioningConfig = other.stages[0].conditioning.as_mut().unwrap();
    conditioning.embedding += 1;
    conditioning.context_width += 1;
    let found = mismatches(&other, &family);
    let named: Vec<_> = found.iter().map(|m| (m.first, m.second, m.quantity)).collect();
    assert_eq!(named, [("p", "c", EMBEDDING), ("text", "c", EMBEDDING), ("c", "d", CONTEXT)]);
    assert!(found[0].to_string().starts_with("p and c do not fit each other: "), "{}", found[0]);
}

#[test]
fn a_missing_component_is_told_with_its_completion() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::create_dir(place.path().join(karlo::DECODER)).unwrap();
    let folders = ModelFolders {
        family: two_upsamplers(),
        ..ModelFolders::new(Folder::open(place.path()).unwrap())
    };
    assert!(folders.component("d").unwrap().exists());
    for (component, expected) in [
        ("p", Some(Completion::Prior)),
        ("p_steps", Some(Completion::Prior)),
        ("pixels", Some(Completion::ImageEncoder)),
        ("l", None),
    ] {
        let Err(Error::Missing { completion, component: named, .. }) = folders.component(component)
        else {
            panic!("{component} is there");
        };
        assert_eq!((named, completion), (component, expected));
    }
}
