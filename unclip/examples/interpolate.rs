//! Draws the way from one caption's embedding to another's (2204.06125, section 3.2).

use unclip::{InterpolationEnd, OpenOptions, Silent};

const FRAMES: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = OpenOptions::new().open_built_in()?;
    let settings = pipeline.defaults()?;
    let [from, to] =
        ["a red boat", "a green tree"].map(|caption| InterpolationEnd::Caption(caption.to_owned()));
    let way = pipeline.interpolate(&from, &to, 7, &settings, &mut Silent)?;
    for frame in 0..FRAMES {
        let t = f64::from(frame) / f64::from(FRAMES - 1);
        way.frame(&pipeline, t, &mut Silent)?.save(format!("frame-{frame}.png"))?;
    }
    Ok(())
}
