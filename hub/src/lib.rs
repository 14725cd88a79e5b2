//! The Hugging Face Hub: repositories by name, and the cache that its Python client and this crate share. Knows nothing of
//! models.
//!
//! Modules in reading order: [`repository`] is a name, [`settings`] are the Hub's address, a token and a folder, [`hub`] does
//! what is asked of it: it looks into the `cache`, asks the `api` by the `client`, and has files fetched by `download`, of
//! which [`progress`] tells. [`cached_repositories`] reads what the cache holds, and [`error`] says what went wrong.

#![forbid(unsafe_code)]

pub mod cached_repositories;
pub mod error;
pub mod hub;
pub mod progress;
pub mod repository;
pub mod revision;
pub mod settings;

pub use cached_repositories::CachedRepository;
pub use error::Error;
pub use hub::Hub;
pub use progress::{NoProgress, Progress};
pub use repository::Repository;
pub use revision::{RemoteFile, Revision};
pub use settings::{Settings, Token};
