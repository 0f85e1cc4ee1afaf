//! What is wrong with a text, and where.

use nom::error::ErrorKind;

/// A text that is no literal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at column {column}\n  {line}\n  {:>column$}", '^')]
pub struct ParseError {
    /// The line in question.
    pub line: String,
    /// Where in it, from 1.
    pub column: usize,
    /// What should have been there.
    pub expected: String,
}

impl ParseError {
    /// An error at the place in `text` where `rest` begins.
    pub(super) fn at(text: &str, rest: &str, expected: &str) -> Self {
        let offset = text.len().saturating_sub(rest.len());
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default().to_owned();
        Self { line, column: before[line_start..].chars().count() + 1, expected: expected.to_owned() }
    }

    /// An error of the text as a whole.
    pub(super) fn whole(text: &str, expected: &str) -> Self {
        Self::at(text, text, expected)
    }
}

/// An error on the way: what is left of the text, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault<'a> {
    pub(super) rest: &'a str,
    pub(super) expected: &'static str,
}

impl<'a> nom::error::ParseError<&'a str> for Fault<'a> {
    fn from_error_kind(rest: &'a str, kind: ErrorKind) -> Self {
        let expected = match kind {
            ErrorKind::Digit => "a digit",
            ErrorKind::Eof => "the end",
            _ => "a term",
        };
        Self { rest, expected }
    }

    fn append(_: &'a str, _: ErrorKind, other: Self) -> Self {
        other
    }

    /// Of two alternatives, the one that got further knows better what is wrong.
    fn or(self, other: Self) -> Self {
        if other.rest.len() < self.rest.len() { other } else { self }
    }
}
