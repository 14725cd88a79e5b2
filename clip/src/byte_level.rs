//! The byte-level alphabet: every byte as one printable character, as in GPT-2's and CLIP's files (`bytes_to_unicode`).

/// The character of every byte in the order of CLIP's vocabulary: the printable bytes stand for themselves and come
/// first, so that `!` is token 0; the others follow as the characters from U+0100 on.
pub(crate) fn alphabet() -> Vec<(u8, char)> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let visible = (0..=u8::MAX).filter(printable).map(|byte| (byte, char::from(byte)));
    let hidden = (0..=u8::MAX).filter(|byte| !printable(byte)).zip('\u{100}'..);
    visible.chain(hidden).collect()
}
