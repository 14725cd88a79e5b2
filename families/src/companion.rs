//! Families that are published in two repositories, and where a folder of either has their components.

use weights::Folder;

use crate::Family;

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
        match self.companion.filter(|companion| self.is_companion(companion, folder)) {
            Some(companion) => component.strip_prefix(companion.prefix),
            None => Some(component),
        }
    }

    /// The folder of a component in `folder`, a model or the companion's repository, where it is there; a file that is a model by
    /// itself has none.
    pub fn component_in(&self, folder: &Folder, component: &'static str) -> Option<Folder> {
        let name = self.name_in(folder, component)?;
        Some(folder.component(name))
            .filter(|found| found.exists() && folder.weights_file().is_none())
    }

    /// The repository in which a component is published that `folder` lacks, where it is another than the one in `folder`.
    pub(crate) fn repository_of(&self, folder: &Folder, component: &str) -> Option<&'static str> {
        let companion = self.companion.as_ref()?;
        match (self.is_companion(companion, folder), component.starts_with(companion.prefix)) {
            (false, true) => Some(companion.repository),
            (true, false) => Some(self.example),
            _ => None,
        }
    }

    /// Whether `folder` is the companion's repository: it has the prior by its name there.
    fn is_companion(&self, companion: &Companion, folder: &Folder) -> bool {
        let prior = self.prior.and_then(|prior| prior.network.strip_prefix(companion.prefix));
        prior.is_some_and(|prior| folder.component(prior).exists())
    }
}
