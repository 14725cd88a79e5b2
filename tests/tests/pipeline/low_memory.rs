//! Drawing with no more than one network in memory.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use image::RgbImage;
use pipeline::{Step, Task};
use tch::Kind;

use super::{CAPTION, copy_folder, few_steps, model, open_at};

/// A stage, and the parts of the model that were in memory after a step of it.
type LoadedComponents = (Option<String>, BTreeSet<String>);

/// The parts of the model in `folder` whose weights this process has in memory.
fn mapped(folder: &Path) -> BTreeSet<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let below = format!("{}/", folder.display());
    let part = |line: &str| Some(line.split_once(&below)?.1.split('/').next()?.to_owned());
    maps.lines().filter_map(part).collect()
}

/// A picture, and what was in memory before it, after each step of it, and after it.
fn drawn(low_memory: bool) -> (RgbImage, Vec<LoadedComponents>) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().canonicalize().unwrap();
    copy_folder(&model("deep"), &folder);
    let pipeline = open_at(&folder, None, Kind::Float).unwrap();
    let pipeline = match low_memory {
        true => pipeline.low_memory(),
        false => pipeline,
    };
    let settings = settings!(few_steps(), upsampler_steps: 3, prior_candidates: 2);
    pipeline.prepare(Task::GENERATE, &settings).unwrap();
    let mut seen = vec![(None, mapped(&folder))];
    let observer = &mut |step: Step<'_>| {
        seen.push((Some(step.stage.to_owned()), mapped(&folder)));
        ControlFlow::Continue(())
    };
    let picture = pipeline.generate(CAPTION, &[3], &settings, observer).unwrap();
    seen.push((None, mapped(&folder)));
    (picture.into_iter().next().unwrap(), seen)
}

#[test]
fn with_low_memory_each_network_is_dropped_after_its_stage_and_the_picture_is_the_same() {
    let (picture, kept) = drawn(false);
    let all =
        ["decoder", "prior", "super_res_first", "super_res_last", "text_encoder", "text_proj"];
    for (stage, parts) in kept {
        assert!(parts.iter().eq(all.iter()), "{stage:?}: {parts:?}");
    }
    let (alone, seen) = drawn(true);
    assert!(alone == picture);
    let (stages, parts): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    let steps = [["prior"; 4].as_slice(), &["decoder"; 2], &["upsampler"; 3]].concat();
    let steps: Vec<Option<String>> = steps.into_iter().map(|name| Some(name.to_owned())).collect();
    assert_eq!(stages[1..stages.len() - 1], steps);
    let none = BTreeSet::new();
    let only = |part: &str| BTreeSet::from([part.to_owned()]);
    let wanted = [
        [none.clone()].to_vec(),
        vec![only("prior"); 4],
        vec![only("decoder"); 2],
        vec![only("super_res_first"); 2],
        vec![only("super_res_last")],
        vec![none],
    ];
    assert_eq!(parts, wanted.concat());
}
