//! Files as pictures: what is read and what is refused, by their bytes.

mod damaged;
mod formats;
mod jpeg;
mod memory;
mod png_text;
