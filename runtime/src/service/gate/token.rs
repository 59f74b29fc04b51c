//! The bearer token.

use std::fmt;
use std::hint::black_box;

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What callers must show. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as the operator set it. None when it is empty: an empty token would let in
    /// whoever sends an empty one.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Option<Self> {
        let token = token.into();
        if token.is_empty() {
            None
        } else {
            Some(Self(token))
        }
    }

    /// Whether a call carries this token.
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION) else {
            return false;
        };
        let Some((scheme, token)) = split_once(shown.as_bytes(), b' ') else {
            return false;
        };
        // The scheme's name is case-insensitive (RFC 9110, 11.1), and no secret.
        scheme.eq_ignore_ascii_case(b"bearer") && is_equal(token, self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let middle = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..middle)?, bytes.get(middle.saturating_add(1)..)?))
}

/// Compares in a time that depends on the lengths alone, so that a guess learns nothing from how
/// long it took to be refused.
fn is_equal(shown: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(shown.len() != expected.len());
    for (index, byte) in expected.iter().enumerate() {
        let other = shown.get(index).copied().unwrap_or(0);
        difference = black_box(difference | (byte ^ other));
    }
    difference == 0
}
