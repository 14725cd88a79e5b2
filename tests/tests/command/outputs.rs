//! What the command shows beside files.

use super::Workplace;

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
    place
        .run(&["completions", "tcsh"])
        .refuses(&["tcsh", "SHELL"]);
    assert!(place.files().is_empty());
}
