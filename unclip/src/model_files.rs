//! The files of the project's own models, inside the program.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
