//! Terms as people write them: Erlang's and Elixir's literals, printed and parsed.

mod call;
mod elixir;
mod elixir_print;
mod erlang;
mod error;
mod lex;
mod literal;

use crate::term::{Atom, Term};

pub use self::call::{Call, parse_call};
pub use self::error::ParseError;

/// Whose literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Whichever fits: what both allow is read as Elixir's.
    Auto,
    /// `{ok, "text", #{key => <<"value">>}}`
    Erlang,
    /// `{:ok, ~c"text", %{key: "value"}}`
    Elixir,
}

/// Reads a literal, and tells in whose syntax it was.
///
/// # Errors
/// [`ParseError`], with the place and what was expected there.
pub fn parse(text: &str, syntax: Syntax) -> Result<(Term, Syntax), ParseError> {
    lex::check_depth(text)?;
    either(text, syntax, elixir::whole_term, erlang::whole_term)
}

/// The name of a process or module: `MyApp.Server` is Elixir's alias, anything else the atom as it stands.
///
/// # Errors
/// [`ParseError`], for what cannot be an atom.
pub fn name(text: &str) -> Result<Atom, ParseError> {
    let stands = text.strip_prefix(':').unwrap_or(text);
    let text = match stands.chars().next() {
        Some(first) if first.is_ascii_uppercase() && stands.len() == text.len() => format!("Elixir.{stands}"),
        _ => stands.to_owned(),
    };
    Atom::try_new(&text).map_err(|error| ParseError::whole(&text, &error.to_string()))
}

/// Prints a term on one line; [`Syntax::Auto`] as Erlang's.
#[must_use]
pub fn print(term: &Term, syntax: Syntax) -> String {
    match syntax {
        Syntax::Elixir => elixir_print::inspect(term),
        Syntax::Auto | Syntax::Erlang => term.to_string(),
    }
}

/// Parses in one syntax, or in the one that fits; where neither does, the error of the one that got further.
fn either<T>(
    text: &str,
    syntax: Syntax,
    elixir: impl Fn(&str) -> Result<T, ParseError>,
    erlang: impl Fn(&str) -> Result<T, ParseError>,
) -> Result<(T, Syntax), ParseError> {
    match syntax {
        Syntax::Elixir => elixir(text).map(|parsed| (parsed, Syntax::Elixir)),
        Syntax::Erlang => erlang(text).map(|parsed| (parsed, Syntax::Erlang)),
        Syntax::Auto => match elixir(text) {
            Ok(parsed) => Ok((parsed, Syntax::Elixir)),
            Err(as_elixir) => match erlang(text) {
                Ok(parsed) => Ok((parsed, Syntax::Erlang)),
                Err(as_erlang) if as_erlang.column > as_elixir.column => Err(as_erlang),
                Err(_) => Err(as_elixir),
            },
        },
    }
}

#[cfg(test)]
mod tests;
