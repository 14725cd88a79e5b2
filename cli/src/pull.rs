//! `unclip pull`: a model from the Hugging Face Hub into its cache.

use anyhow::{Context, Result};
use clap::Args;
use hub::Repository;

use crate::model::locator;
use crate::stdout::print_path;

/// For the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip pull kakaobrain/karlo-v1-alpha
  unclip pull openai/clip-vit-large-patch14@main";

/// Arguments of `unclip pull`.
#[derive(Args)]
pub(crate) struct Pull {
    /// The repository: OWNER/NAME, and @REVISION for a branch, a tag or a commit
    #[arg(value_name = "NAME")]
    name: String,
    /// Variant of the weights to download where there is one, as fp16
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

impl Pull {
    /// Downloads what the cache lacks of it, and prints the snapshot's folder.
    pub(crate) fn run(&self) -> Result<()> {
        let repository: Repository = self.name.parse().context("NAME")?;
        let folder = locator(self.variant.as_deref()).pull(&repository);
        let folder = folder.with_context(|| format!("pull {repository}"))?;
        folder.path().map_or(Ok(()), print_path)
    }
}
