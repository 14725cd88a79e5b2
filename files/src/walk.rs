//! Walks over folders.
