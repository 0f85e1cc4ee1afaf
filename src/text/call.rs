//! Calls of functions: `lists:sum([1, 2])`, `Enum.sum([1, 2])`, `:lists.sum([1, 2])`, `Node.list`.

use super::error::ParseError;
use super::lex::{self, Parsed, fail, separated, space, symbol};
use super::{Syntax, either, elixir, erlang};
use crate::term::{Atom, Term};

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The module.
    pub module: Atom,
    /// The function.
    pub function: Atom,
    /// The arguments.
    pub args: Vec<Term>,
    /// In whose syntax it was written.
    pub syntax: Syntax,
}

/// Reads a call, in whichever syntax it is written.
///
/// # Errors
/// [`ParseError`], with the place and what was expected there.
pub fn parse_call(text: &str) -> Result<Call, ParseError> {
    lex::check_depth(text)?;
    let in_elixir = |text: &str| lex::whole(text, elixir_call);
    let in_erlang = |text: &str| lex::whole(text, erlang_call);
    let ((module, function, args), syntax) = either(text, Syntax::Auto, in_elixir, in_erlang)?;
    Ok(Call { module, function, args, syntax })
}

type Parts = (Atom, Atom, Vec<Term>);

fn erlang_call(input: &str) -> Parsed<'_, Parts> {
    let (rest, module) = erlang::atom(space(input)?.0)?;
    let (rest, _) = symbol(":")(rest)?;
    let (rest, function) = erlang::atom(space(rest)?.0)?;
    let (rest, _) = symbol("(")(rest)?;
    let (rest, args) = separated(rest, ")", erlang::term)?;
    parts(input, rest, &module, &function, args)
}

fn elixir_call(input: &str) -> Parsed<'_, Parts> {
    let (rest, module) = elixir::module_of_call(input)?;
    let Some(rest) = rest.strip_prefix('.') else { return fail(rest, "a dot and a function") };
    let (rest, function) = elixir::function(rest)?;
    let (rest, args) = match rest.strip_prefix('(') {
        Some(rest) => elixir::items(rest, ")")?,
        None => (rest, Vec::new()),
    };
    parts(input, rest, &module, &function, args)
}

fn parts<'a>(input: &'a str, rest: &'a str, module: &Term, function: &Term, args: Vec<Term>) -> Parsed<'a, Parts> {
    match (module.as_atom(), function.as_atom()) {
        (Some(module), Some(function)) => Ok((rest, (module, function, args))),
        _ => fail(input, "a module and a function"),
    }
}
