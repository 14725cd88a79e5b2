//! The store of processes that are started and watched by another one.

use std::time::Duration;

use crate::Error;
use crate::shim::{self, Address, Store};

/// A store in a process that is no rank, as a launcher's agent hosts it: it outlives the groups that meet there, whose launches
/// have [`store_at_agent`](launcher::Launch::store_at_agent). It ends with the value.
pub struct StoreHost {
    _store: Store,
}

impl StoreHost {
    /// Hosts a store at a port of this machine.
    pub fn start(port: u16) -> Result<Self, Error> {
        if let Some(reason) = shim::MISSING {
            return Err(Error::Build { reason: reason.to_owned() });
        }
        shim::quiet();
        let address = Address { host: "127.0.0.1", port, is_server: true, workers: 0 };
        let store = Store::connect(&address, Duration::from_secs(10))
            .map_err(|reason| Error::Host { address: format!("127.0.0.1:{port}"), reason })?;
        Ok(Self { _store: store })
    }
}
