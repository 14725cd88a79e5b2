//! The token by which the Hub knows an account.

use std::fmt;

/// A token of the Hub's. No message, log or `Debug` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Reads a token, without the space around it; `None` where it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A server's words without it.
    pub(crate) fn hide(&self, words: &str) -> String {
        words.replace(&self.0, "(the token)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("Token(..)")
    }
}
