//! [`Settings`] as the flat object that records and indices hold.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ar_sampling::CodeSampling;
use crate::settings::{PriorSettings, Settings, Solver, StageSettings};

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(prior) = &self.prior {
            map.serialize_entry("prior_steps", &prior.steps)?;
            map.serialize_entry("prior_candidates", &prior.candidates)?;
        }
        if self.candidates != 1 {
            map.serialize_entry("candidates", &self.candidates)?;
        }
        for stage in &self.stages {
            map.serialize_entry(&format!("{}_steps", stage.name), &stage.steps)?;
        }
        if let Some(prior) = &self.prior {
            map.serialize_entry("prior_guidance_scale", &prior.guidance_scale)?;
        }
        for StageSettings { name, guidance_scale, temperature, .. } in &self.stages {
            if let Some(scale) = guidance_scale {
                map.serialize_entry(&format!("{name}_guidance_scale"), scale)?;
            }
            if let Some(temperature) = temperature {
                map.serialize_entry(&format!("{name}_temperature"), temperature)?;
            }
        }
        if let Some(strength) = self.prior.as_ref().and_then(|prior| prior.strength) {
            map.serialize_entry("prior_strength", &strength)?;
        }
        if let Some(codes) = &self.codes() {
            map.serialize_entry("prior_codes", codes)?;
        }
        if self.solver != Solver::Ddpm {
            map.serialize_entry("solver", &self.solver)?;
        }
        if let Some(scale) = &self.clip_guidance_scale {
            map.serialize_entry("clip_guidance_scale", scale)?;
        }
        if let Some(interval) = &self.guidance_interval {
            map.serialize_entry("guidance_interval", interval)?;
        }
        if let Some(quantile) = &self.thresholding {
            map.serialize_entry("thresholding", quantile)?;
        }
        for (name, pixels) in [("width", self.width), ("height", self.height)] {
            if let Some(pixels) = pixels {
                map.serialize_entry(name, &pixels)?;
            }
        }
        if let Some(strength) = &self.strength {
            map.serialize_entry("strength", strength)?;
        }
        if let Some(resample) = &self.resample {
            map.serialize_entry("resample", resample)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SettingsVisitor)
    }
}

/// The fields of the flat object, for messages.
const FIELDS: &str = "`prior_steps`, `prior_candidates`, `candidates`, `prior_guidance_scale`, `prior_strength`, `prior_codes`, `solver`, \
     `clip_guidance_scale`, `guidance_interval`, `thresholding`, `resample`, `width`, `height`, `strength`, and of each stage `STAGE_steps`, \
     `STAGE_guidance_scale` and `STAGE_temperature`";

/// Reads the flat object: every `NAME_steps` that is not the prior's is a stage's.
struct SettingsVisitor;

impl<'de> Visitor<'de> for SettingsVisitor {
    type Value = Settings;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut prior = PriorFields::default();
        let (mut candidates, mut solver) = (1, Solver::Ddpm);
        let (mut clip_guidance_scale, mut guidance_interval, mut thresholding) = (None, None, None);
        let (mut resample, mut width, mut height, mut strength) = (None, None, None, None);
        let mut stages: Vec<StageSettings> = Vec::new();
        let mut numbers: Vec<(String, StageNumber)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "prior_steps" => prior.steps = Some(map.next_value()?),
                "prior_guidance_scale" => prior.guidance_scale = Some(map.next_value()?),
                "prior_candidates" => prior.candidates = Some(map.next_value()?),
                "prior_strength" => prior.strength = map.next_value()?,
                "prior_codes" => prior.codes = map.next_value()?,
                "candidates" => candidates = map.next_value()?,
                "solver" => solver = map.next_value()?,
                "clip_guidance_scale" => clip_guidance_scale = map.next_value()?,
                "guidance_interval" => guidance_interval = map.next_value()?,
                "thresholding" => thresholding = map.next_value()?,
                "resample" => resample = map.next_value()?,
                "width" => width = map.next_value()?,
                "height" => height = map.next_value()?,
                "strength" => strength = map.next_value()?,
                other => match stage_field(other) {
                    Some((name, "_steps")) => {
                        let (name, steps) = (name.to_owned(), map.next_value()?);
                        let (guidance_scale, temperature) = (None, None);
                        stages.push(StageSettings { name, steps, guidance_scale, temperature });
                    }
                    Some((name, "_temperature")) => {
                        numbers
                            .push((name.to_owned(), StageNumber::Temperature(map.next_value()?)));
                    }
                    Some((name, _)) => {
                        numbers.push((name.to_owned(), StageNumber::Scale(map.next_value()?)));
                    }
                    None => {
                        return Err(A::Error::custom(format_args!(
                            "unknown field `{other}`, expected one of {FIELDS}"
                        )));
                    }
                },
            }
        }
        for (name, number) in numbers {
            let stage = stages.iter_mut().find(|stage| stage.name == name);
            let missing = || A::Error::custom(format_args!("missing field `{name}_steps`"));
            let stage = stage.ok_or_else(missing)?;
            match number {
                StageNumber::Scale(scale) => stage.guidance_scale = Some(scale),
                StageNumber::Temperature(temperature) => stage.temperature = Some(temperature),
            }
        }
        Ok(Settings {
            prior: prior.settings().map_err(A::Error::missing_field)?,
            stages,
            candidates,
            solver,
            clip_guidance_scale,
            guidance_interval,
            thresholding,
            width,
            height,
            strength,
            resample,
        })
    }
}

/// A number of a stage that is read before or after its steps.
enum StageNumber {
    Scale(f64),
    Temperature(f64),
}

/// The stage's name and the rest of the name of a field of a stage.
fn stage_field(field: &str) -> Option<(&str, &'static str)> {
    let endings = ["_steps", "_guidance_scale", "_temperature"];
    endings.into_iter().find_map(|ending| Some((field.strip_suffix(ending)?, ending)))
}

/// The fields of a prior, as they are read.
#[derive(Default, PartialEq)]
struct PriorFields {
    steps: Option<usize>,
    guidance_scale: Option<f64>,
    candidates: Option<usize>,
    strength: Option<f64>,
    codes: Option<CodeSampling>,
}

impl PriorFields {
    /// The prior's settings; `None` where no field is one of a prior. An error that is the missing field.
    fn settings(self) -> Result<Option<PriorSettings>, &'static str> {
        if self == Self::default() {
            return Ok(None);
        }
        let Self { steps, guidance_scale, candidates, strength, codes } = self;
        Ok(Some(PriorSettings {
            steps: steps.ok_or("prior_steps")?,
            guidance_scale: guidance_scale.ok_or("prior_guidance_scale")?,
            candidates: candidates.unwrap_or(1),
            strength,
            codes,
        }))
    }
}
