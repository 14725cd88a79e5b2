//! Draws on another thread, keeps a preview of every fifth step, and stops after ten seconds.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use unclip::{Error, OpenOptions, Request, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = OpenOptions::new().open_built_in()?;
    let request = Request::new("a yellow fish", 3, pipeline.defaults()?);
    let worker = std::thread::spawn(move || {
        let begun = Instant::now();
        let mut observer = |step: Step<'_>| {
            if let Some(previews) = step.preview().filter(|_| step.done.is_multiple_of(5)) {
                let _ = previews[0].save(format!("{}-{:02}.png", step.stage, step.done));
            }
            match begun.elapsed() < Duration::from_secs(10) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        pipeline.sample(&[request], &mut observer)
    });
    match worker.join().expect("the worker does not panic") {
        Ok(images) => images[0].save("fish.png")?,
        Err(Error::Stopped) => eprintln!("stopped after ten seconds"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
