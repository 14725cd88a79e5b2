//! How a picture was drawn, as its PNG says it.

use files::json::{self, JsonError};
use files::text::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{PriorSettings, Settings, Solver};

/// The name of our own text in a PNG.
pub const KEYWORD: &str = "unclip";
/// The name under which other tools look for theirs.
const PARAMETERS: &str = "parameters";
/// Characters of the model's fingerprint in the line for other tools.
const HASH: usize = 10;

/// Everything that decides a picture, but the files that a user brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of unclip.
    pub version: String,
    /// The command that drew it.
    pub command: String,
    /// The caption, where there is one.
    pub caption: Option<String>,
    /// The picture's own seed.
    pub seed: u64,
    /// Steps and guidance.
    pub settings: Settings,
    /// Further arguments of the command: names of files that the user brought, captions, shares.
    #[serde(rename = "told", default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// The networks' dtype.
    pub dtype: String,
    /// Where they did.
    pub device: String,
    /// [`weights::Folder::fingerprint`] of the model.
    pub model: String,
    /// The same of the folder that --prior named, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<String>,
}

impl Record {
    /// With one more argument of the command.
    pub fn with(mut self, what: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(what.to_owned(), value.into());
        self
    }

    /// The texts for a PNG: ours, and one line that the many readers of A1111's pictures understand.
    pub fn texts(&self, (width, height): (u32, u32)) -> [(&'static str, String); 2] {
        let Settings { prior, stages, solver, .. } = &self.settings;
        let prior = prior.as_ref().map(|PriorSettings { steps, guidance_scale, codes, .. }| {
            let how = match codes {
                Some(codes) => {
                    format!(
                        "Prior temperature: {}, Prior top-p: {}",
                        codes.temperature, codes.top_p
                    )
                }
                None => format!("Prior steps: {steps}"),
            };
            format!("{how}, Prior CFG scale: {guidance_scale}, ")
        });
        let prior = prior.unwrap_or_default();
        // As A1111 calls them.
        let sampler = match solver {
            Solver::Ddpm => "DDPM",
            Solver::Ddim => "DDIM",
            Solver::DpmSolver => "DPM++ 2M",
            Solver::Analytic => "Analytic-DPM",
            Solver::Distilled => "distilled",
        };
        let base = stages.first();
        let base_steps = base.map_or_else(String::new, |base| base.steps.to_string());
        let base_scale = base.and_then(|base| base.guidance_scale).unwrap_or(1.0);
        let upsampled = stages.iter().skip(1);
        let upsampled: String = upsampled
            .map(|stage| format!("{} steps: {}, ", capitalized(&stage.name), stage.steps))
            .collect();
        let caption = self.caption.as_deref().unwrap_or_default();
        let (seed, hash, version) = (self.seed, &self.model[..HASH], &self.version);
        let parameters = format!(
            "{caption}\nSteps: {base_steps}, Sampler: {sampler}, CFG scale: {base_scale}, Seed: {seed}, \
             Size: {width}x{height}, Model hash: {hash}, {prior}{upsampled}RNG: CPU, \
             Version: unclip {version}"
        );
        let json = serde_json::to_string(self).expect("a record is plain data");
        [(PARAMETERS, parameters), (KEYWORD, json)]
    }

    /// How this picture differs from what `wanted` would draw, the first thing alone. Where it was drawn and by which version
    /// is not looked at.
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        let [there, here] = [self, wanted].map(Self::flat);
        if there["model"] != here["model"] {
            return Some("another model drew it".to_owned());
        }
        if self.has_other_prior(wanted) {
            return Some("another --prior drew it".to_owned());
        }
        let none = Value::Null;
        let field = |(name, here): (&String, &Value)| {
            let there = there.get(name).unwrap_or(&none);
            let shown = |value: &Value| match value {
                Value::Null => "not set".to_owned(),
                value => excerpt(&value.to_string()),
            };
            (there != here)
                .then(|| format!("its {name} is {}, here it is {}", shown(there), shown(here)))
        };
        let fewer = there.keys().filter(|name| !here.contains_key(*name));
        let fewer = fewer.map(|name| (name, &none));
        here.iter().chain(fewer).find_map(field)
    }

    /// Whether another prior draws than for `other`: the model's other one, or another folder's.
    pub fn has_other_prior(&self, other: &Self) -> bool {
        let by_codes = |record: &Self| record.settings.codes().is_some();
        self.prior != other.prior || by_codes(self) != by_codes(other)
    }

    /// Everything that decides the picture, each thing by its name.
    fn flat(&self) -> Map<String, Value> {
        let mut fields = self.fields();
        fields.retain(|name, _| !["version", "device"].contains(&&**name));
        if let Some(Value::Object(settings)) = fields.remove("settings") {
            fields.extend(settings);
        }
        fields
    }

    /// The record as a JSON object.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => unreachable!("a record is plain data"),
        }
    }

    /// Reads a PNG's text under [`KEYWORD`].
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let record: Self = json::parse(text.as_bytes(), json::CONFIGURATION)?;
        match record.model.len() >= HASH && record.model.is_ascii() {
            true => Ok(record),
            false => Err(RecordError::Model),
        }
    }
}

/// Why a text is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Its model is none.
    #[error("its model hash is too short")]
    Model,
}

/// A stage's name at the beginning of an entry.
fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
