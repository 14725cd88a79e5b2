//! `unclip convert`: a model as safetensors, in the layout that unclip writes.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use families::{ConversionStep, convert_model};
use indicatif::{ProgressBar, ProgressStyle};
use weights::listed;

use crate::destinations::check_room;
use crate::device::Dtype;
use crate::messages::say;
use crate::model::locator;
use crate::stdout::print_path;

/// Arguments of `unclip convert`.
#[derive(Args)]
pub(crate) struct Convert {
    /// A folder, OWNER/NAME of the Hub, builtin:unclip or builtin:glide
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The folder to write: new, or empty
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Numbers to write the networks in [default: those that they are in]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "f32|bf16|f16")]
    dtype: Option<Dtype>,
    /// Variant of the weights to take where there is one, as fp16
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

impl Convert {
    /// Converts the model and prints the folder.
    pub(crate) fn run(&self) -> Result<()> {
        check_room("OUT", &self.out)?;
        let folder = locator(self.variant.as_deref()).locate(&self.model).context("MODEL")?;
        if let Some(variant) = &self.variant {
            folder.check_variant(variant).context("--variant")?;
        }
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} parts read and written")?;
        let bar = ProgressBar::no_length().with_style(style);
        let mut observe = |step: ConversionStep| {
            bar.set_length(step.total as u64);
            bar.set_position(step.done as u64);
            ControlFlow::Continue(())
        };
        let dtype = self.dtype.map(Dtype::kind);
        let left_out = convert_model(&folder, &self.out, dtype, &mut observe)?;
        bar.finish_and_clear();
        if !left_out.is_empty() {
            say!("left out, as no part of the model: {}", listed(&left_out));
        }
        print_path(&self.out)
    }
}
