//! Everyday captions and what a person judged.

use evaluation::{EverydayReport, Report, Verdicts, everyday_captions, everyday_sheet};
use image::{Rgb, RgbImage};

/// Verdicts whose rows repeat these.
fn file(rows: &[&str]) -> String {
    let rows = rows.iter().cycle();
    let lines = everyday_captions().into_iter().zip(rows);
    lines.map(|(caption, row)| format!("{row} | {caption}\n")).collect()
}

#[test]
fn verdicts_are_counted_by_picture_and_by_caption() {
    assert_eq!(everyday_captions().len(), 200);
    let text = format!(
        "# judged on a day\n{}",
        file(&["yes yes yes", "no yes no", "no no no", "no no yes"])
    );
    let verdicts = Verdicts::read(&text).unwrap();
    let EverydayReport { images, share, of_seeds, always, ever } = verdicts.report();
    assert_eq!((images.right, images.total), (250, 600));
    assert_eq!(of_seeds.map(|seed| (seed.right, seed.total)), [(50, 200), (100, 200), (100, 200)]);
    assert_eq!((always.right, ever.right, ever.total), (50, 150, 200));
    // A caption's share has a deviation of 0.36324, so that the mean of 200 has one of 2.5685 percent.
    let (low, high) = share.interval;
    assert!((share.value - 125.0 / 3.0).abs() < 1e-9);
    assert!((high - low - 2.0 * 1.96 * 2.5685).abs() < 0.8, "{low} to {high}");
    let table = verdicts.report().to_markdown();
    assert!(table.contains("41.7% (") && table.contains("25.0% (19.5 to 31.4), n 200"), "{table}");
}

#[test]
fn what_is_no_verdict_is_refused_by_its_line() {
    let refused = |text: &str, wanted: &str| {
        let error = Verdicts::read(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    refused(&Verdicts::template(), "line 1: a verdict is yes or no, not `?`");
    let sound = file(&["yes yes no"]);
    refused(&sound.replacen("yes yes no", "yes no", 1), "line 1: there are 2 verdicts");
    refused(&sound.replacen(" | ", " ", 1), "line 1: there is no ` | `");
    refused(&sound.replacen("| a dog\n", "| a log\n", 1), "line 2: `a log` stands where `a dog`");
    let shorter: String = sound.lines().take(150).map(|line| format!("{line}\n")).collect();
    refused(&shorter, "line 151: verdicts on 50 of the 200 captions are missing");
    refused(
        &(sound.clone() + "yes yes yes | a dog\n"),
        "line 201: `a dog` stands where `the file's end`",
    );
}

#[test]
fn a_sheet_frames_what_is_wrong() {
    let images: Vec<[RgbImage; 3]> =
        vec![[(); 3].map(|()| RgbImage::from_pixel(72, 72, Rgb([0, 0, 255]))); 9];
    let verdicts = Verdicts::read(&file(&["yes yes no"])).unwrap();
    let red =
        |sheet: &RgbImage| sheet.pixels().filter(|pixel| pixel[0] > 200 && pixel[1] < 100).count();
    let (plain, table) = everyday_sheet(&images, None);
    assert_eq!((red(&plain), plain.width()), (0, 24 * 76 + 4));
    assert!(table.contains("| cat | a dog | red apple |"), "{table}");
    let (marked, table) = everyday_sheet(&images, Some(&verdicts));
    assert_eq!(red(&marked), 9 * (72 * 72 - 64 * 64));
    assert!(table.contains("| cat (2 of 3) | a dog (2 of 3) |"), "{table}");
}
