//! placeholder
use std::rc::Rc;
use crate::Error;
use crate::stored::{Blob, Stored};
/// x
#[derive(Debug, thiserror::Error)]
pub enum PickleError { /// x
 #[error("x")] X }
pub(crate) fn recognises(_: &Blob) -> bool { false }
pub(crate) fn read(_: &Rc<Blob>) -> Result<Vec<Stored>, Error> { Ok(vec![]) }
