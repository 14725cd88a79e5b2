//! Where the settings of a picture came from, so that what is wrong with one names the flag or the file that says it.

use anyhow::anyhow;
use pipeline::{Error, Settings};

use crate::error_flags::with_flags;

/// Settings as they were after each that had a say, the first one first.
#[derive(Clone)]
pub(crate) struct Origins {
    layers: Vec<(Origin, Settings)>,
}

/// Who says a setting.
#[derive(Clone)]
enum Origin {
    Flags,
    Place(String),
}

impl Origins {
    /// Settings that come from `place` alone.
    pub(crate) fn new(place: impl Into<String>, settings: &Settings) -> Self {
        Self { layers: Vec::new() }.then(place, settings)
    }

    /// The settings after `place` had its say.
    pub(crate) fn then(mut self, place: impl Into<String>, settings: &Settings) -> Self {
        self.layers.push((Origin::Place(place.into()), settings.clone()));
        self
    }

    /// The same, after the flags had theirs.
    pub(crate) fn then_flags(mut self, settings: &Settings) -> Self {
        self.layers.push((Origin::Flags, settings.clone()));
        self
    }

    /// For `map_err`: the error, with the place that says the setting it is about, the last one of these layers.
    pub(crate) fn explain(&self) -> impl FnOnce(Error) -> anyhow::Error {
        move |error| match &error {
            Error::Setting { setting, .. } => match self.origin(setting) {
                Origin::Flags => in_flag(error),
                Origin::Place(place) => {
                    let place = place.clone();
                    anyhow::Error::new(error).context(place)
                }
            },
            _ => error.into(),
        }
    }

    /// The first layer from which on a setting has the value that it has in the end.
    fn origin(&self, setting: &str) -> &Origin {
        let values: Vec<_> = self.layers.iter().map(|(_, s)| value(s, setting)).collect();
        let last = values.last();
        let same = values.iter().rev().take_while(|value| Some(*value) == last);
        match &self.layers[self.layers.len() - same.count()].0 {
            // No preset has a solver that is refused: --solver, which goes with it, says this one.
            Origin::Place(place) if setting == "solver" && place == "--preset" => &Origin::Flags,
            origin => origin,
        }
    }
}

/// The value of a setting that is called `decoder_steps`, say, or `prior_codes.top_p`.
fn value(settings: &Settings, setting: &str) -> serde_json::Value {
    let settings = serde_json::to_value(settings).unwrap_or_default();
    let path = format!("/{}", setting.replace('.', "/"));
    settings.pointer(&path).cloned().unwrap_or_default()
}

/// An error about a setting that a flag says.
pub(crate) fn in_flag(error: Error) -> anyhow::Error {
    match error {
        Error::Setting { setting, value, must } => anyhow!("{} is {value}: {must}", flag(&setting)),
        Error::OtherPrior { setting, .. } => in_place_of(setting, &error),
        Error::NoStage { ref setting, .. } => in_place_of(setting, &error),
        error => error.into(),
    }
}

/// An error that begins with a setting, with the flag instead.
fn in_place_of(setting: &str, error: &Error) -> anyhow::Error {
    let message = with_flags(error);
    let reason = message.strip_prefix(setting).unwrap_or(&message);
    anyhow!("{}{reason}", flag(setting))
}

/// The flag of a setting.
fn flag(setting: &str) -> String {
    format!("--{}", setting.replace("prior_codes.", "prior_").replace('_', "-"))
}
