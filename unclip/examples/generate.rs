//! Draws a picture of a caption with the model inside, and writes it.

use unclip::{OpenOptions, Request, Silent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = OpenOptions::new().open_built_in()?;
    let settings = pipeline.defaults()?;
    let request = Request::new("a small red boat on a calm sea", 7, settings);
    let images = pipeline.sample(&[request], &mut Silent)?;
    images[0].save("boat.png")?;
    Ok(())
}
