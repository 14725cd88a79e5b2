//! `unclip embed --data`: the embeddings of a dataset, in shards that the prior is trained on.

use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use training::encoders::FrozenImageEncoder;
use training::{Data, Embed};

use crate::destinations::check_room;
use crate::interrupt;
use crate::launch::launch;
use crate::model::{EncoderArgs, ModelArgs};
use crate::shard_args::ShardArgs;
use crate::stdout::print_path;
use crate::train::say_broken;

/// The most pictures of a shard, whose embeddings lie in memory until it is written.
const LARGEST_SHARD: u64 = 100_000;

impl ShardArgs {
    /// Computes the embeddings that are not there yet.
    pub(crate) fn run(&self, model: &ModelArgs, encoders: &EncoderArgs) -> Result<()> {
        let Some(folder) = &self.shards else {
            unreachable!("--data requires --shards");
        };
        ensure!(
            self.shard_size <= LARGEST_SHARD,
            "--shard-size {}: a shard has at most {LARGEST_SHARD} pictures",
            self.shard_size
        );
        ensure!(!encoders.has_text_encoder(), "--text-encoder: --data embeds pictures alone");
        check_room("--shards", folder)?;
        let data = world::dataset::open(&self.data, false)?;
        let endless = matches!(data, Data::Synthetic(_));
        ensure!(
            endless == self.count.is_some(),
            match endless {
                true => "--data scenes has no end: --count N says how many are embedded",
                false => "--count: scenes alone are counted, other data is embedded whole",
            }
        );
        let launch = launch()?;
        let part =
            launch.as_ref().map_or((0, 1), |launch| (launch.rank as u64, launch.world as u64));
        let (kind, device) = model.place()?;
        let encoder = model.open(None, Some(encoders))?.image_encoder_folder()?;
        let embed = Embed {
            data: &data,
            synthetic: self.count.unwrap_or_default(),
            encoder: &FrozenImageEncoder {
                image: families::open_image_encoder(&encoder, device, kind)?,
                kind,
                device,
            },
            fingerprint: encoder.fingerprint()?,
            folder,
            shard_size: self.shard_size,
            part,
        };
        interrupt::defer();
        model.warn_of_idle_processors()?;
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {per_sec}, {eta} to go")?;
        let bar = ProgressBar::new(embed.images()).with_style(style);
        let reached = embed.run(&mut |done| {
            bar.set_position(done);
            match interrupt::requested() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        bar.finish();
        say_broken(&data);
        if reached.done < reached.images {
            interrupt::check(reached.done as usize, reached.images as usize, "embeddings")?;
        }
        print_path(folder)
    }
}
