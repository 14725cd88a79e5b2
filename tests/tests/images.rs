//! Files as pictures: what is read and what is refused, by their bytes.

mod formats;
mod jpeg;
mod png_text;
