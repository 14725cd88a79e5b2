//! What settings say, and how they are told and refused.

use noise::Generator;
use pipeline::{Preset, Settings, Silent, Solver, Students, Task};

use super::{CAPTION, few_steps, largest_difference, open};
use crate::settings::karlo_settings;

#[test]
fn both_stages_are_guided_as_soon_as_either_scale_exceeds_1() {
    let guidance = |prior, decoder| {
        let settings = settings!(karlo_settings(), prior_guidance_scale: prior, decoder_guidance_scale: decoder);
        let stages = [0, 1].map(|n| settings.stage_guidance(&settings.stages[n]));
        [settings.prior_guidance(), stages[0], stages[1]]
    };
    assert_eq!(guidance(4.0, 8.0), [Some(4.0), Some(8.0), None]);
    // A scale of 1 leaves the caption's answer alone.
    assert_eq!(guidance(4.0, 1.0), [Some(4.0), None, None]);
    assert_eq!(guidance(0.5, 1.5), [Some(0.5), Some(1.5), None]);
    assert_eq!(guidance(1.0, 1.0), [None, None, None]);
    assert_eq!(guidance(0.0, -3.0), [None, None, None]);
}

#[test]
fn settings_that_the_model_cannot_run_with_are_refused() {
    let pipeline = open("karlo");
    let check = |settings: Settings| pipeline.prepare(Task::GENERATE, &settings);
    let refused = |settings| check(settings).unwrap_err().to_string();
    let karlo = karlo_settings();
    assert!(check(karlo.clone()).is_ok());
    assert!(check(settings!(karlo, prior_steps: 1, decoder_steps: 1000)).is_ok());
    assert!(refused(settings!(karlo, prior_steps: 0)).contains("prior_steps is 0"));
    assert!(refused(settings!(karlo, decoder_steps: 1001)).contains("decoder_steps is 1001"));
    assert!(refused(settings!(karlo, upsampler_steps: 0)).contains("upsampler_steps is 0"));
    assert!(
        refused(settings!(karlo, prior_guidance_scale: f64::NAN))
            .contains("prior_guidance_scale is NaN")
    );
    assert!(refused(settings!(karlo, resample: Some(0))).contains("resample is 0: each step is"));
    assert!(refused(settings!(karlo, resample: Some(101))).contains("taken 1 to 100 times"));
    let infinite = settings!(karlo, decoder_guidance_scale: f64::INFINITY);
    assert!(refused(infinite).contains("decoder_guidance_scale is inf"));
    for [low, high] in [[0.8, 0.2], [-0.1, 0.5], [0.5, 1.5], [0.3, 0.3], [f64::NAN, 1.0]] {
        let interval = settings!(karlo, guidance_interval: Some([low, high]));
        let named = format!("guidance_interval is {low},{high}");
        assert!(refused(interval).contains(&named), "{named}");
    }
    // Of the 1,000 timesteps the last ones are noise to the other solver.
    let most =
        |decoder_steps| settings!(karlo, decoder_steps: decoder_steps, solver: Solver::DpmSolver);
    assert!(check(most(979)).is_ok());
    let refusal = refused(most(980));
    assert!(refusal.contains("decoder_steps is 980") && refusal.contains("1 and 979"), "{refusal}");
}

#[test]
fn settings_of_old_are_read_and_new_fields_are_told_only_where_they_are_used() {
    let told = serde_json::to_value(karlo_settings()).unwrap();
    let fields: Vec<&str> = told.as_object().unwrap().keys().map(|k| &**k).collect();
    let mut of_old = [
        "prior_steps",
        "prior_candidates",
        "decoder_steps",
        "upsampler_steps",
        "prior_guidance_scale",
        "decoder_guidance_scale",
    ];
    of_old.sort_unstable();
    assert_eq!(fields, of_old);
    assert_eq!(serde_json::from_value::<Settings>(told).unwrap(), karlo_settings());
    let new = settings!(karlo_settings(), solver: Solver::DpmSolver, guidance_interval: Some([0.2, 0.9]), candidates: 3, resample: Some(4));
    let told = serde_json::to_value(&new).unwrap();
    assert_eq!(told["solver"], "dpm-solver++");
    assert_eq!(told["resample"], 4);
    assert_eq!(serde_json::from_value::<Settings>(told).unwrap(), new);
}

#[test]
fn a_step_outside_of_the_guidance_interval_is_the_conditional_half_alone() {
    let pipeline = open("odd");
    let captions = [CAPTION, "a rocket above the hills", "a mushroom"];
    let text = pipeline.encode_text(&captions).unwrap();
    let quiet = &mut Silent;
    let embedding = pipeline
        .sample_embedding(&text, &few_steps(), &mut [1, 2, 3].map(Generator::new), quiet)
        .unwrap();
    for solver in Solver::ALL {
        let decode = |decoder_guidance_scale, guidance_interval| {
            let settings = settings!(karlo_settings(), decoder_steps: 3, decoder_guidance_scale: decoder_guidance_scale, guidance_interval: guidance_interval, solver: solver);
            let mut streams = [11, 12, 13].map(Generator::new);
            pipeline.decode(&embedding, &text, &settings, &mut streams, &mut Silent).unwrap()
        };
        let guided = decode(3.0, None);
        assert!(decode(3.0, Some([0.0, 1.0])).equal(&guided));
        // The three steps are at timesteps 999, 500 and 0, or 979, 653 and 326.
        let unguided = decode(1.0, None);
        let off = largest_difference(&decode(3.0, Some([0.75, 0.9])), &unguided);
        assert!(off < 1e-3, "{solver:?}: off by {off}");
        assert!(largest_difference(&guided, &unguided) > 0.05);
        // Guided in the middle alone, it is neither.
        let between = decode(3.0, Some([0.45, 0.7]));
        for other in [&guided, &unguided] {
            assert!(largest_difference(&between, other) > 0.02, "{solver:?}");
        }
    }
}

#[test]
fn presets_are_shares_of_the_makers_steps() {
    let steps = |defaults: Settings| {
        Preset::ALL.map(|preset| {
            let settings = preset.apply(defaults.clone(), &defaults, &Students::default());
            [
                settings.prior.unwrap().steps,
                settings.stages[0].steps.count(),
                settings.stages[1].steps.count(),
            ]
        })
    };
    assert_eq!(steps(karlo_settings()), [[8, 8, 5], [13, 13, 7], [25, 25, 7]]);
    // What has few steps already keeps them.
    assert_eq!(steps(few_steps()), [[2, 2, 2]; 3]);
    let wished = settings!(few_steps(), prior_candidates: 2, decoder_guidance_scale: 3.0, solver: Solver::DpmSolver);
    let quality = Preset::Quality.apply(wished, &karlo_settings(), &Students::default());
    let expected = settings!(karlo_settings(), prior_candidates: 2, decoder_guidance_scale: 3.0);
    assert_eq!(quality, expected);
}
