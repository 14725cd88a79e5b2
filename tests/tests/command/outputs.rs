//! What the command shows beside files: pictures in the terminal, completions.

use super::{CAPTION, Workplace};

#[test]
fn pictures_are_shown_on_request() {
    let place = Workplace::new();
    let ran = place.generate(&["--seed=1", "-n2", "--preview", CAPTION]).succeeds();
    let paths: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(paths.len(), 2);
    // Pictures of 24 by 24 pixels, two to a character.
    let rows: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(rows.len(), 2 * 12);
    for row in &rows {
        assert_eq!(row.matches('▀').count(), 24);
        assert!(row.ends_with("\x1b[0m"), "{row:?}");
    }
    let picture = image::open(place.path(paths[0])).unwrap().to_rgb8();
    let corner = |x: u32, y: u32| {
        let [r, g, b] = picture[(x, y)].0;
        format!("{r};{g};{b}")
    };
    let first = format!("\x1b[38;2;{};48;2;{}m▀", corner(0, 0), corner(0, 1));
    assert!(rows[0].starts_with(&first), "{:?} {first:?}", rows[0]);
}

#[test]
fn large_pictures_are_shown_at_a_fixed_width_where_there_is_no_terminal() {
    let place = Workplace::new();
    let few = ["--decoder-steps=1", "--upsampler-steps=1", "--seed=1"];
    let ran =
        place.run(&[&["generate", "--preview", "a yellow fish"], &few[..]].concat()).succeeds();
    let rows: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(rows.len(), 32);
    assert!(rows.iter().all(|row| row.matches('▀').count() == 64));
}

#[test]
fn completions_are_printed_for_each_shell() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]).succeeds();
        for word in ["unclip", "variations", "num-images", "completions"] {
            assert!(ran.stdout.contains(word), "{shell}: {word}");
        }
        assert_eq!(ran.stderr, "");
    }
    place.run(&["completions", "tcsh"]).refuses(&["tcsh", "SHELL"]);
    assert!(place.files().is_empty());
}
