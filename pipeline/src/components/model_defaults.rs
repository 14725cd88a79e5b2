//! The settings that a model samples with unless a user changes them.

use crate::ar_sampling::CodeSampling;
use crate::components::Components;
use crate::{Error, Settings};

impl Components {
    /// The settings that the model samples with unless a user changes them: `unclip_defaults` of our own models, else those of
    /// the family's authors.
    pub(crate) fn defaults(&self) -> Result<Settings, Error> {
        let settings = match families::read_model_defaults(&self.folders.model, self.family())? {
            Some(defaults) => self.own_defaults(defaults).map_err(|reason| Error::Index {
                folder: self.folders.model.to_string(),
                reason: format!("unclip_defaults: {reason}"),
            })?,
            None => Settings::of_family(self.family()),
        };
        Ok(settings.with_codes(self.folders.autoregressive.then(CodeSampling::plain)))
    }

    /// The model's own settings, with a stage's for each stage of the family.
    fn own_defaults(&self, defaults: serde_json::Value) -> Result<Settings, String> {
        let mut settings: Settings =
            files::json::from_value(defaults).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        if settings.prior.is_none() && self.family().prior.is_some() {
            return Err("missing field `prior_steps`".to_owned());
        }
        let stages = self.family().stages.iter().map(|stage| {
            let own = settings.stage(stage.name).cloned();
            own.ok_or_else(|| format!("missing field `{}_steps`", stage.name))
        });
        let stages = stages.collect::<Result<Vec<_>, _>>()?;
        let is_known = |name: &str| stages.iter().any(|stage| stage.name == name);
        if let Some(other) = settings.stages.iter().find(|stage| !is_known(&stage.name)) {
            return Err(format!("unknown field `{}_steps`", other.name));
        }
        settings.stages = stages;
        Ok(settings)
    }
}
