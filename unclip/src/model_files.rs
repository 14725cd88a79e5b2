//! The files of the project's own model, inside the program.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
