//! Images in a terminal: half blocks in 24-bit colour, two pixels to a character.

use std::fmt::Write;

use console::Term;
use images::RgbImage;
use images::view::scale;

use crate::messages::StandardError;

/// The width where no terminal says its own.
const COLUMNS: u32 = 64;

/// Shows a picture on standard error, as large as fits there and no larger than it is.
pub(crate) fn show(image: &RgbImage) {
    let (columns, rows) = match Term::stderr().size_checked() {
        // The last row is the prompt's.
        Some((rows, columns)) => (u32::from(columns), u32::from(rows).saturating_sub(1)),
        None => (COLUMNS, u32::MAX / 2),
    };
    // A preview that cannot be shown is no reason to draw no more pictures.
    let _ = std::io::Write::write_all(
        &mut StandardError,
        blocks(image, columns.max(1), rows.max(1)).as_bytes(),
    );
}

/// The picture as lines of at most `columns` characters, `rows` of them at most.
fn blocks(image: &RgbImage, columns: u32, rows: u32) -> String {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let ratio = (f64::from(columns) / width).min(f64::from(rows) * 2.0 / height).min(1.0);
    let width = ((width * ratio) as u32).max(1);
    let rows = ((height * ratio / 2.0).round() as u32).max(1);
    let small = scale(image, width, 2 * rows);
    let mut lines = String::new();
    for y in 0..rows {
        for x in 0..width {
            let [r, g, b] = small[(x, 2 * y)].0;
            let [low_r, low_g, low_b] = small[(x, 2 * y + 1)].0;
            write!(lines, "\x1b[38;2;{r};{g};{b};48;2;{low_r};{low_g};{low_b}m▀")
                .expect("strings can be written to");
        }
        lines.push_str("\x1b[0m\n");
    }
    lines
}
