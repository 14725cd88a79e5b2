//! Tells which of some labels a picture shows, by CLIP alone (2103.00020, section 3.1).

#![allow(clippy::print_stdout, clippy::print_stderr)]

use unclip::{OpenOptions, Template, read_image, zero_shot};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("the path of a picture is missing")?;
    let labels = ["boat", "house", "tree", "fish"];
    let pipeline = OpenOptions::new().open_built_in()?;
    let classes = pipeline.class_embeddings(&labels, &Template::defaults())?; // [L, E]
    let image = pipeline.encode_images(&[read_image(path.as_ref())?.image])?; // [1, E]
    let factor = pipeline.logit_factor()?.unwrap_or(zero_shot::LOGIT_FACTOR);
    let probabilities = zero_shot::probabilities(&zero_shot::normalised(&image), &classes, factor);
    let probabilities = Vec::<f64>::try_from(probabilities.get(0))?;
    for (label, probability) in labels.iter().zip(probabilities) {
        println!("{:5.1}% {label}", 100.0 * probability);
    }
    Ok(())
}
