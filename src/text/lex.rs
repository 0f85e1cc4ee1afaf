//! What both syntaxes share: spaces, numbers, quoted texts, names.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{anychar, char, one_of};
use nom::combinator::{opt, recognize};
use nom::{IResult, Parser};
use num_bigint::BigInt;

use super::error::{Fault, ParseError};
use crate::term::{Atom, Creation, Pid, Port, Ref, Term};

/// What a parser here returns.
pub(super) type Parsed<'a, T> = IResult<&'a str, T, Fault<'a>>;

/// So deep may brackets nest: parsers call themselves.
const MAX_DEPTH: usize = 256;

/// Refuses a text whose brackets nest too deep, before any parser goes into them.
pub(super) fn check_depth(text: &str) -> Result<(), ParseError> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if "([{<".contains(c) => depth += 1,
            None if ")]}>".contains(c) => depth = depth.saturating_sub(1),
            None => {}
        }
        if depth > MAX_DEPTH {
            return Err(ParseError::at(text, &text[at..], "no more than 256 brackets in each other"));
        }
    }
    Ok(())
}

/// A failure that no other alternative mends.
pub(super) fn fail<'a, T>(rest: &'a str, expected: &'static str) -> Parsed<'a, T> {
    Err(nom::Err::Error(Fault { rest, expected }))
}

/// Runs a parser over the whole text.
pub(super) fn whole<T>(text: &str, parser: impl Fn(&str) -> Parsed<'_, T>) -> Result<T, ParseError> {
    let failed = |fault: Fault<'_>| ParseError::at(text, fault.rest, fault.expected);
    match parser(text).and_then(|(rest, value)| Ok((space(rest)?.0, value))) {
        Ok(("", value)) => Ok(value),
        Ok((rest, _)) => Err(ParseError::at(text, rest, "the end")),
        Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => Err(failed(fault)),
        Err(nom::Err::Incomplete(_)) => Err(ParseError::at(text, "", "more")),
    }
}

pub(super) fn space(input: &str) -> Parsed<'_, &str> {
    take_while(char::is_whitespace).parse(input)
}

/// A fixed text after spaces.
pub(super) fn symbol<'a>(what: &'static str) -> impl Fn(&'a str) -> Parsed<'a, &'a str> {
    move |input| {
        let (rest, _) = space(input)?;
        match tag::<_, _, Fault<'a>>(what).parse(rest) {
            Ok(found) => Ok(found),
            Err(_) => fail(rest, what),
        }
    }
}

/// What stands between brackets, separated by commas.
pub(super) fn separated<'a, T>(
    input: &'a str,
    close: &'static str,
    item: impl Fn(&'a str) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    let mut items = Vec::new();
    if let Ok((rest, _)) = symbol(close)(input) {
        return Ok((rest, items));
    }
    let mut rest = input;
    loop {
        let (after, value) = item(rest)?;
        items.push(value);
        match (symbol(",")(after), symbol(close)(after)) {
            (Ok((next, _)), _) => rest = next,
            (_, Ok((end, _))) => return Ok((end, items)),
            (_, Err(_)) => return fail(space(after)?.0, "a comma, or the closing bracket"),
        }
    }
}

/// An integer of any base, or a float: `12`, `-1_000`, `16#FF`, `0xFF`, `1.5e-3`.
pub(super) fn number(input: &str) -> Parsed<'_, Term> {
    alt((float, based, decimal)).parse(input)
}

fn digits(radix: u32) -> impl Fn(&str) -> Parsed<'_, &str> {
    move |input| {
        let legal = move |c: char| c.is_digit(radix) || c == '_';
        let (rest, digits) = take_while1(legal).parse(input)?;
        if digits.starts_with('_') || digits.ends_with('_') { fail(input, "a digit") } else { Ok((rest, digits)) }
    }
}

fn decimal(input: &str) -> Parsed<'_, Term> {
    let (rest, text) = recognize((opt(one_of("+-")), digits(10))).parse(input)?;
    integer(input, rest, text, 10)
}

fn based(input: &str) -> Parsed<'_, Term> {
    let (after_sign, sign) = opt(one_of("+-")).parse(input)?;
    let (rest, base) = match alt((tag("0x"), tag("0o"), tag("0b"))).parse(after_sign) {
        Ok((rest, prefix)) => (
            rest,
            match prefix {
                "0x" => 16,
                "0o" => 8,
                _ => 2,
            },
        ),
        Err(nom::Err::Error(Fault { .. })) => {
            let (rest, (base, _)) = (digits(10), char('#')).parse(after_sign)?;
            match base.parse() {
                Ok(base @ 2..=36) => (rest, base),
                _ => return fail(after_sign, "a base from 2 to 36"),
            }
        }
        Err(other) => return Err(other),
    };
    let (rest, number) = digits(base)(rest)?;
    let signed = if sign == Some('-') { format!("-{number}") } else { number.to_owned() };
    integer(input, rest, &signed, base)
}

fn integer<'a>(input: &'a str, rest: &'a str, text: &str, base: u32) -> Parsed<'a, Term> {
    let plain = text.replace('_', "");
    match BigInt::parse_bytes(plain.trim_start_matches('+').as_bytes(), base) {
        Some(value) => Ok((rest, value.into())),
        None => fail(input, "an integer"),
    }
}

fn float(input: &str) -> Parsed<'_, Term> {
    let exponent = (one_of("eE"), opt(one_of("+-")), digits(10));
    let (rest, text) = recognize((opt(one_of("+-")), digits(10), char('.'), digits(10), opt(exponent))).parse(input)?;
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((rest, value.into())),
        _ => fail(input, "a float that is not too large"),
    }
}

/// A text in quotes, its escapes replaced.
pub(super) fn quoted<'a>(quote: char, input: &'a str) -> Parsed<'a, String> {
    let (mut rest, _) = char(quote).parse(input)?;
    let mut text = String::new();
    loop {
        let Ok((after, c)) = anychar::<_, Fault<'a>>(rest) else { return fail(input, "a closing quote") };
        rest = after;
        match c {
            '\\' => {
                let (after, c) = escape(rest)?;
                text.extend(c);
                rest = after;
            }
            c if c == quote => return Ok((rest, text)),
            c => text.push(c),
        }
    }
}

/// The number of the character behind `$` or `?`.
pub(super) fn character(input: &str) -> Parsed<'_, Term> {
    let (rest, c) = match input.strip_prefix('\\') {
        Some(rest) => escape(rest)?,
        None => {
            let (rest, c) = anychar(input)?;
            (rest, Some(c))
        }
    };
    match c {
        Some(c) => Ok((rest, u32::from(c).into())),
        None => fail(input, "a character"),
    }
}

/// What stands behind a backslash. A newline is left out, as both languages do.
pub(super) fn escape(input: &str) -> Parsed<'_, Option<char>> {
    let (rest, c) = anychar(input)?;
    let plain = match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        's' => ' ',
        'b' => '\u{8}',
        'd' => '\u{7F}',
        'e' => '\u{1B}',
        'f' => '\u{C}',
        'v' => '\u{B}',
        'a' => '\u{7}',
        '0' => '\0',
        'x' | 'u' => return code_point(rest, if c == 'u' { 4 } else { 2 }),
        '\n' => return Ok((rest, None)),
        other => other,
    };
    Ok((rest, Some(plain)))
}

/// `{hex}`, or so many hexadecimal digits.
fn code_point(input: &str, width: usize) -> Parsed<'_, Option<char>> {
    let (rest, hex) = match input.strip_prefix('{') {
        Some(inside) => match inside.split_once('}') {
            Some((hex, rest)) => (rest, hex),
            None => return fail(input, "a closing brace"),
        },
        None => match (input.get(..width), input.get(width..)) {
            (Some(hex), Some(rest)) => (rest, hex),
            _ => return fail(input, "hexadecimal digits"),
        },
    };
    match u32::from_str_radix(hex, 16).ok().and_then(char::from_u32) {
        Some(c) => Ok((rest, Some(c))),
        None => fail(input, "a character's number in hexadecimal digits"),
    }
}

/// An atom of a text that came from the command line.
pub(super) fn atom<'a>(input: &'a str, rest: &'a str, text: &str) -> Parsed<'a, Atom> {
    match Atom::try_new(text) {
        Ok(atom) => Ok((rest, atom)),
        Err(_) => fail(input, "an atom of at most 255 characters"),
    }
}

/// A word: letters, digits, `_` and `@`.
pub(super) fn word(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_alphanumeric() || c == '_' || c == '@').parse(input)
}

/// Identifiers as we print them: `#Pid<node/12.0/creation>`, `#Ref<…>`, `#Port<…>`.
pub(super) fn identifier(input: &str) -> Parsed<'_, Term> {
    let (rest, kind) = alt((tag("#Pid<"), tag("#Ref<"), tag("#Port<"))).parse(input)?;
    let Some((inside, rest)) = rest.split_once('>') else { return fail(rest, "a closing >") };
    match identifier_of(kind, inside) {
        Some(term) => Ok((rest, term)),
        None => fail(input, "an identifier as it was printed: #Pid<node/id.serial/creation>"),
    }
}

fn identifier_of(kind: &str, inside: &str) -> Option<Term> {
    let (inside, creation) = inside.rsplit_once('/')?;
    let (node, numbers) = inside.rsplit_once('/')?;
    let (node, creation) = (Atom::try_new(node).ok()?, Creation(creation.parse().ok()?));
    match kind {
        "#Pid<" => {
            let (id, serial) = numbers.split_once('.')?;
            Some(Pid { node, id: id.parse().ok()?, serial: serial.parse().ok()?, creation }.into())
        }
        "#Port<" => Some(Port { node, creation, id: numbers.parse().ok()? }.into()),
        _ => {
            let words: Option<Vec<u32>> = numbers.split('.').map(|word| word.parse().ok()).collect();
            Ref::new(node, creation, &words?).map(Term::from)
        }
    }
}
