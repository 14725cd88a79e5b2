//! The Hugging Face Hub: repositories by name, and the cache that its Python client and this crate share. Knows nothing of
//! models.
//!
//! Modules in reading order: [`repository`] is a name, [`settings`] are the Hub's address, a [`token`], [`proxies`] and a folder;
//! [`hub`] looks into the [`cache`], asks the `api` through the `client`, which tries again by the rules of `retry`, and has
//! files of a [`revision`] fetched by `download`, of which [`progress`] tells: a `partial` file becomes a blob under a `lock`
//! and by its [`digest`]. [`cached_repositories`] lists what the cache holds, and [`error`] says what went wrong.

#![forbid(unsafe_code)]

mod api;
pub mod cache;
pub mod cached_repositories;
mod client;
pub mod digest;
mod download;
pub mod error;
pub mod hub;
mod lock;
mod partial;
pub mod progress;
pub mod proxies;
pub mod repository;
mod retry;
pub mod revision;
pub mod settings;
pub mod token;
mod url;

pub use cache::snapshot;
pub use cached_repositories::CachedRepository;
pub use digest::Digest;
pub use error::Error;
pub use hub::Hub;
pub use progress::{NoProgress, Progress};
pub use proxies::Proxies;
pub use repository::Repository;
pub use revision::{RemoteFile, Revision};
pub use settings::Settings;
pub use token::Token;
