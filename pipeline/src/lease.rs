//! Networks, each opened when it is first needed and lent to the stages that work with it.

use std::cell::{Ref, RefCell};
use std::ops::Deref;

use graphs::GraphCache;

use crate::Error;

/// A network, and the CUDA graph of its step, which is over its memory.
pub(crate) struct Network<M> {
    network: M,
    pub(crate) graph: GraphCache,
}

impl<M> Deref for Network<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.network
    }
}

/// A network's place: empty until it is opened.
pub(crate) struct Slot<M>(RefCell<Option<Network<M>>>);

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<M> Slot<M> {
    /// The network, opened first where the slot is empty. With `closes`, its last lease closes it.
    pub(crate) fn lease(
        &self,
        closes: bool,
        open: impl FnOnce() -> Result<M, Error>,
    ) -> Result<Lease<'_, M>, Error> {
        if self.0.borrow().is_none() {
            let network = open()?;
            *self.0.borrow_mut() = Some(Network { network, graph: GraphCache::default() });
        }
        let network =
            Ref::map(self.0.borrow(), |slot| slot.as_ref().expect("the slot was filled above"));
        Ok(Lease { network: Some(network), slot: self, closes })
    }
}

/// A network at work. Where memory is short, the last lease of a network closes it.
pub(crate) struct Lease<'a, M> {
    network: Option<Ref<'a, Network<M>>>,
    slot: &'a Slot<M>,
    closes: bool,
}

impl<M> Deref for Lease<'_, M> {
    type Target = Network<M>;

    fn deref(&self) -> &Network<M> {
        self.network.as_ref().expect("a lease holds its network until it is dropped")
    }
}

impl<M> Drop for Lease<'_, M> {
    fn drop(&mut self) {
        self.network = None;
        if self.closes
            && let Ok(mut slot) = self.slot.0.try_borrow_mut()
        {
            *slot = None;
        }
    }
}
