//! Draws four variations of a picture in one batch: its CLIP embedding, decoded from other noise (2204.06125, section 3.1).

use unclip::{OpenOptions, Request, Silent, read_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("the path of a picture is missing")?;
    let pipeline = OpenOptions::new().open_built_in()?;
    let settings = pipeline.defaults()?.without_prior();
    let image = read_image(path.as_ref())?.image;
    let embedding = pipeline.encode_images(&[image])?; // [1, E]
    let requests: Vec<Request> =
        (0..4).map(|seed| Request::of_embedding(&embedding, seed, settings.clone())).collect();
    for (seed, image) in pipeline.sample(&requests, &mut Silent)?.iter().enumerate() {
        image.save(format!("variation-{seed}.png"))?;
    }
    Ok(())
}
