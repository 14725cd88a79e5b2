//! A network in one of a publisher's files, or in its own folder in our layout: its shape, and where its tensors come from.

use layers::Params;
use tch::{Device, Kind, Tensor};
use weights::{Checkpoint, Folder, Recorder, Rule, SourceAdapter};

use crate::guided_diffusion::without_prefix;
use crate::open::{CONFIG, translate};
use crate::{ConfigError, Error};

/// Where tensors lie, and their kind; `None` for that of their file.
#[derive(Clone, Copy)]
pub(crate) struct Placement {
    pub device: Device,
    pub kind: Option<Kind>,
}

impl Placement {
    fn apply(self, checkpoint: Checkpoint) -> Checkpoint {
        match self.kind {
            Some(_) => checkpoint,
            None => checkpoint.as_stored(),
        }
    }

    /// The network in its own folder.
    pub(crate) fn ours<C>(
        self,
        folder: &Folder,
        noun: &'static str,
        translation: impl FnOnce(&[u8]) -> Result<C, ConfigError>,
    ) -> Result<Network<C>, Error> {
        let config = translate(folder, CONFIG, noun, translation)?;
        let kind = self.kind.unwrap_or(Kind::Float);
        let checkpoint = self.apply(folder.checkpoint(noun, self.device, kind)?);
        Ok(Network::new(config, SourceAdapter::new(checkpoint, Vec::new())))
    }

    /// The network in a published file, of which `first` is a tensor: without those of another network in it, whose names
    /// begin with one of `ignored`.
    pub(crate) fn published<C>(
        self,
        (folder, file): (&Folder, &str),
        (noun, first, ignored): (&'static str, &str, &[&str]),
        infer: impl FnOnce(&Checkpoint) -> Result<(C, Vec<Rule>), ConfigError>,
    ) -> Result<Network<C>, Error> {
        self.infer((folder, file), noun, |checkpoint| {
            let checkpoint = without_prefix(checkpoint, first)?;
            let (config, rules) = infer(&checkpoint)?;
            Ok((config, checkpoint.ignore(ignored), rules))
        })
    }

    /// The network in a published file, of whose tensors `infer` gives its shape, those that it takes, and their names.
    pub(crate) fn infer<C>(
        self,
        (folder, file): (&Folder, &str),
        noun: &'static str,
        infer: impl FnOnce(Checkpoint) -> Result<(C, Checkpoint, Vec<Rule>), ConfigError>,
    ) -> Result<Network<C>, Error> {
        let checkpoint = self.checkpoint(folder, file, noun)?;
        let inferred = infer(checkpoint).map_err(|problem| Error::Config {
            file: folder.name_of(file),
            component: noun,
            problem,
        });
        let (config, checkpoint, rules) = inferred?;
        Ok(Network::new(config, SourceAdapter::new(checkpoint, rules)))
    }

    /// The tensors in a published file.
    pub(crate) fn checkpoint(
        self,
        folder: &Folder,
        file: &str,
        noun: &str,
    ) -> Result<Checkpoint, Error> {
        let kind = self.kind.unwrap_or(Kind::Float);
        Ok(self.apply(folder.checkpoint_in(file, noun, self.device, kind)?))
    }
}

/// A network's shape, and where its tensors come from, by our names.
pub(crate) struct Network<C> {
    pub config: C,
    source: SourceAdapter<Checkpoint>,
}

impl<C> Network<C> {
    /// A network of this shape, of these tensors.
    pub(crate) fn new(config: C, source: SourceAdapter<Checkpoint>) -> Self {
        Self { config, source }
    }

    /// Its tensors by their publisher's names.
    pub(crate) fn into_checkpoint(self) -> Checkpoint {
        self.source.into_inner()
    }

    /// The network, which must take all tensors.
    pub(crate) fn build<M>(self, new: impl FnOnce(&Params, &C) -> M) -> Result<M, Error> {
        let model = new(&Params::root(&self.source), &self.config);
        self.source.into_inner().finish()?;
        Ok(model)
    }

    /// The shape, and the tensors that the network takes, by our names.
    pub(crate) fn record<M>(
        self,
        new: impl FnOnce(&Params, &C) -> M,
    ) -> Result<(C, Vec<(String, Tensor)>), Error> {
        let recorder = Recorder::new(self.source);
        drop(new(&Params::root(&recorder), &self.config));
        let (source, tensors) = recorder.into_parts();
        source.into_inner().finish()?;
        Ok((self.config, tensors))
    }
}
