//! Families that are published in two repositories, and where a folder of either has their components.

use weights::Folder;

use crate::{Family, karlo_files};

/// A repository in which some of a family's components are published, apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The repository, for messages.
    pub repository: &'static str,
    /// The beginning of these components' names, which the names of their folders in that repository lack.
    pub prefix: &'static str,
}

impl Family {
    /// The name of a component's folder in `folder`, a model or the companion's repository; `None` where that does not have it
    /// by any name.
    pub fn name_in(&self, folder: &Folder, component: &'static str) -> Option<&'static str> {
        component.strip_prefix(self.absent_prefix(|name| folder.component(name).exists()))
    }

    /// The beginning that the names of folders lack among those there are: a companion's prefix in its repository, which has the
    /// prior by its name there; empty in any other.
    pub(crate) fn absent_prefix(&self, is_there: impl Fn(&str) -> bool) -> &'static str {
        let prefix = self.companion.map_or("", |companion| companion.prefix);
        let prior = self.prior.and_then(|prior| prior.network.strip_prefix(prefix));
        if prior.is_some_and(is_there) { prefix } else { "" }
    }

    /// The folder that a component opens in, in `folder`, a model or the companion's repository, where it is there: its own, or
    /// `folder` itself where that has Karlo's published file with it. A file that is a model by itself has none.
    pub fn component_in(&self, folder: &Folder, component: &'static str) -> Option<Folder> {
        let own = folder.component(self.name_in(folder, component)?);
        match own.exists() && folder.weights_file().is_none() {
            true => Some(own),
            false => karlo_files::component_in(self, folder, component),
        }
    }

    /// Whether a component is published in the companion's repository.
    pub(crate) fn is_of_companion(&self, component: &str) -> bool {
        self.companion.is_some_and(|companion| component.starts_with(companion.prefix))
    }

    /// The repository in which a component is published that `folder` lacks, where it is another than the one in `folder`.
    pub(crate) fn repository_of(&self, folder: &Folder, component: &str) -> Option<&'static str> {
        let companion = self.companion.as_ref()?;
        let is_companion = !self.absent_prefix(|name| folder.component(name).exists()).is_empty();
        match (is_companion, self.is_of_companion(component)) {
            (false, true) => Some(companion.repository),
            (true, false) => Some(self.example),
            _ => None,
        }
    }
}
