//! Settings of Karlo's stages, changed field by field.

use pipeline::Settings;

/// Karlo's own settings.
pub(crate) fn karlo_settings() -> Settings {
    Settings::of_family(&families::karlo())
}

macro_rules! set {
    ($settings:ident, prior_steps, $value:expr) => {
        $settings.prior.as_mut().unwrap().steps = $value
    };
    ($settings:ident, prior_candidates, $value:expr) => {
        $settings.prior.as_mut().unwrap().candidates = $value
    };
    ($settings:ident, prior_guidance_scale, $value:expr) => {
        $settings.prior.as_mut().unwrap().guidance_scale = $value
    };
    ($settings:ident, prior_codes, $value:expr) => {
        $settings.prior.as_mut().unwrap().codes = $value
    };
    ($settings:ident, decoder_steps, $value:expr) => {
        $settings.stages[0].steps = pipeline::TimestepRespacing::Count($value)
    };
    ($settings:ident, decoder_guidance_scale, $value:expr) => {
        $settings.stages[0].guidance_scale = Some($value)
    };
    ($settings:ident, upsampler_steps, $value:expr) => {
        $settings.stages[1].steps = pipeline::TimestepRespacing::Count($value)
    };
    ($settings:ident, $field:ident, $value:expr) => {
        $settings.$field = $value
    };
}

/// `settings!(base, decoder_steps: 3)`: the settings `base` with other values of these.
macro_rules! settings {
    ($base:expr $(, $field:ident: $value:expr)* $(,)?) => {{
        let mut settings: pipeline::Settings = $base.clone();
        $(set!(settings, $field, $value);)*
        settings
    }};
}
