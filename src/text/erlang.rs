//! Erlang's literals: `{ok, [1, "text" | tail], #{key => <<"value">>}}`.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;

use super::error::{Fault, ParseError};
use super::lex::{self, Parsed, fail, number, quoted, separated, space, symbol, word};
use super::literal::{Segment, Value, binary, erlang_modifiers, external, segment_value};
use crate::term::{List, Map, Term};

pub(super) fn whole_term(text: &str) -> Result<Term, ParseError> {
    lex::whole(text, term)
}

/// One literal, after spaces.
pub(super) fn term(input: &str) -> Parsed<'_, Term> {
    let (input, _) = space(input)?;
    match input.chars().next() {
        Some('{') => tuple(input),
        Some('[') => list(input),
        Some('<') => binary(input, segment),
        Some('"') => {
            let (rest, text) = quoted('"', input)?;
            Ok((rest, List::from_text(&text).into()))
        }
        Some('$') => lex::character(&input[1..]),
        Some('#') => alt((map, lex::identifier)).parse(input),
        Some('0'..='9' | '-' | '+') => number(input),
        Some('f') => alt((fun, atom)).parse(input),
        Some(_) => atom(input),
        None => fail(input, "a term"),
    }
}

/// `name` or `'Any text'`.
pub(super) fn atom(input: &str) -> Parsed<'_, Term> {
    let (rest, text) = match input.chars().next() {
        Some('\'') => quoted('\'', input)?,
        Some(c) if c.is_lowercase() => {
            let (rest, text) = word(input)?;
            (rest, text.to_owned())
        }
        Some(c) if c.is_uppercase() || c == '_' => return fail(input, "a literal: variables have no value here"),
        _ => return fail(input, "a term"),
    };
    let (rest, atom) = lex::atom(input, rest, &text)?;
    Ok((rest, atom.into()))
}

fn tuple(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = symbol("{")(input)?;
    let (rest, items) = separated(rest, "}", term)?;
    Ok((rest, Term::tuple(items)))
}

fn list(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = symbol("[")(input)?;
    if let Ok((rest, _)) = symbol("]")(rest) {
        return Ok((rest, Term::nil()));
    }
    elements(rest, term)
}

/// The elements of a list up to its bracket, perhaps with a tail behind a bar.
pub(super) fn elements<'a>(input: &'a str, item: impl Fn(&'a str) -> Parsed<'a, Term>) -> Parsed<'a, Term> {
    let (mut rest, mut items) = (input, Vec::new());
    loop {
        let (after, value) = item(rest)?;
        items.push(value);
        if let Ok((next, _)) = symbol(",")(after) {
            rest = next;
        } else if let Ok((next, _)) = symbol("|")(after) {
            let (after, tail) = item(next)?;
            let (rest, _) = symbol("]")(after)?;
            return Ok((rest, List::improper(items, tail)));
        } else if let Ok((rest, _)) = symbol("]")(after) {
            return Ok((rest, Term::list(items)));
        } else {
            return fail(space(after)?.0, "a comma, a bar, or the closing bracket");
        }
    }
}

fn map(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = tag::<_, _, Fault<'_>>("#{").parse(input)?;
    let (rest, pairs) = separated(rest, "}", |input| {
        let (rest, key) = term(input)?;
        let (rest, _) = symbol("=>")(rest)?;
        let (rest, value) = term(rest)?;
        Ok((rest, (key, value)))
    })?;
    Ok((rest, Term::Map(pairs.into_iter().collect::<Map>())))
}

fn fun(input: &str) -> Parsed<'_, Term> {
    let (rest, _) = tag::<_, _, Fault<'_>>("fun ").parse(input)?;
    external(rest, atom, ":", atom)
}

fn segment(input: &str) -> Parsed<'_, Segment<'_>> {
    let (at, _) = space(input)?;
    let (rest, value) = segment_value(at, term)?;
    let (rest, (size, mut types)) = erlang_modifiers(rest)?;
    if !types.iter().any(|name| name.starts_with("utf")) && matches!(value, Value::Text(_)) {
        types.push("bytes");
    }
    Ok((rest, Segment { value, size, types, at }))
}
