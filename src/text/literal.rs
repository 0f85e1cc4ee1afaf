//! Binaries and funs, which both syntaxes write almost alike.

use nom::Parser;
use nom::bytes::complete::tag;

use super::error::Fault;
use super::lex::{Parsed, fail, quoted, separated, space, symbol};
use crate::term::{Binary, BitString, Fun, Term};

/// One segment of `<<…>>`: a value, its size in units, and its types.
pub(super) struct Segment<'a> {
    pub(super) value: Value,
    pub(super) size: Option<u64>,
    pub(super) types: Vec<&'a str>,
    /// Where it stands, for errors.
    pub(super) at: &'a str,
}

/// What a segment is made of.
pub(super) enum Value {
    Text(String),
    Term(Term),
}

/// A string, whose characters are to be taken one by one, or any term.
pub(super) fn segment_value<'a>(input: &'a str, term: impl Fn(&'a str) -> Parsed<'a, Term>) -> Parsed<'a, Value> {
    if let Ok((rest, text)) = quoted('"', input) {
        return Ok((rest, Value::Text(text)));
    }
    let (rest, value) = term(input)?;
    Ok((rest, Value::Term(value)))
}

/// `<<…>>`, of segments that the syntax reads.
pub(super) fn binary<'a>(input: &'a str, segment: impl Fn(&'a str) -> Parsed<'a, Segment<'a>>) -> Parsed<'a, Term> {
    let (rest, _) = symbol("<<")(input)?;
    let (rest, segments) = separated(rest, ">>", segment)?;
    let mut bits = Bits::default();
    for segment in segments {
        if let Err(expected) = bits.push(&segment) {
            return fail(segment.at, expected);
        }
    }
    Ok((rest, bits.into_term()))
}

/// `:Size` and `/type-type` behind a value.
pub(super) fn erlang_modifiers(input: &str) -> Parsed<'_, (Option<u64>, Vec<&str>)> {
    let (rest, size) = match input.strip_prefix(':') {
        Some(after) => {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            match after[..digits].parse() {
                Ok(size) => (&after[digits..], Some(size)),
                Err(_) => return fail(after, "a size"),
            }
        }
        None => (input, None),
    };
    let Some(after) = rest.strip_prefix('/') else { return Ok((rest, (size, Vec::new()))) };
    let end = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
    Ok((&after[end..], (size, after[..end].split('-').collect())))
}

/// `Module:Function/Arity` or `Module.function/arity`, from the module on.
pub(super) fn external<'a>(
    input: &'a str,
    module: impl Fn(&'a str) -> Parsed<'a, Term>,
    dot: &'static str,
    function: impl Fn(&'a str) -> Parsed<'a, Term>,
) -> Parsed<'a, Term> {
    let (rest, _) = space(input)?;
    let (rest, module) = module(rest)?;
    let (rest, _) = tag::<_, _, Fault<'a>>(dot).parse(rest)?;
    let (rest, function) = function(rest)?;
    let (rest, _) = tag::<_, _, Fault<'a>>("/").parse(rest)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match (module.as_atom(), function.as_atom(), rest[..digits].parse()) {
        (Some(module), Some(function), Ok(arity)) => {
            Ok((&rest[digits..], Fun::Export { module, function, arity }.into()))
        }
        _ => fail(rest, "an arity from 0 to 255"),
    }
}

/// A string of bits that grows at its end.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used; 0 where all are.
    used: u8,
}

/// More than anybody types.
const MAX_BITS: u64 = 8 << 20;

impl Bits {
    fn push(&mut self, segment: &Segment<'_>) -> Result<(), &'static str> {
        let is = |name: &str| segment.types.contains(&name);
        let little = is("little");
        match &segment.value {
            Value::Text(text) if is("utf16") || is("utf32") => self.push_wide(text, is("utf16"), little),
            // Erlang's plain strings in binaries are bytes; with /utf8, and in Elixir always, characters.
            Value::Text(text) if is("bytes") => {
                for c in text.chars() {
                    let byte = u8::try_from(c).map_err(|_wide| "characters up to 255, or /utf8")?;
                    self.push_bits(u64::from(byte), 8);
                }
            }
            Value::Text(text) => text.bytes().for_each(|byte| self.push_bits(u64::from(byte), 8)),
            Value::Term(Term::Integer(integer)) if is("utf8") => {
                let code = integer.to_u64().and_then(|code| u32::try_from(code).ok());
                let c = code.and_then(char::from_u32).ok_or("a character's number")?;
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| self.push_bits(u64::from(byte), 8));
            }
            Value::Term(Term::Float(float)) => match segment.size.unwrap_or(64) {
                64 => self.push_bytes(&float.to_be_bytes(), little),
                32 => self.push_bytes(&(*float as f32).to_be_bytes(), little),
                _ => return Err("a float of 32 or 64 bits"),
            },
            Value::Term(Term::Integer(integer)) if is("float") => {
                let float: f64 = integer.to_string().parse().map_err(|_beyond| "a number that a float holds")?;
                self.push_bytes(&float.to_be_bytes(), little);
            }
            Value::Term(Term::Integer(integer)) => {
                let size = segment.size.unwrap_or(8);
                if size > MAX_BITS {
                    return Err("a smaller size");
                }
                let bytes = integer.to_big().to_signed_bytes_be();
                self.push_integer(&bytes, integer.is_negative(), size, little);
            }
            Value::Term(Term::Binary(binary)) => self.push_bytes(binary, false),
            Value::Term(Term::BitString(bits)) => {
                let whole = bits.bytes().len() - 1;
                self.push_bytes(&bits.bytes()[..whole], false);
                let last = bits.bytes()[whole] >> (8 - bits.last_bits());
                self.push_bits(u64::from(last), bits.last_bits());
            }
            Value::Term(_) => return Err("a number, a string or a binary"),
        }
        Ok(())
    }

    fn push_wide(&mut self, text: &str, utf16: bool, little: bool) {
        if utf16 {
            text.encode_utf16().for_each(|unit| self.push_bytes(&unit.to_be_bytes(), little));
        } else {
            text.chars().for_each(|c| self.push_bytes(&u32::from(c).to_be_bytes(), little));
        }
    }

    fn push_bytes(&mut self, bytes: &[u8], reversed: bool) {
        if reversed {
            bytes.iter().rev().for_each(|byte| self.push_bits(u64::from(*byte), 8));
        } else {
            bytes.iter().for_each(|byte| self.push_bits(u64::from(*byte), 8));
        }
    }

    /// The lowest `size` bits of an integer in two's complement.
    fn push_integer(&mut self, bytes: &[u8], negative: bool, size: u64, little: bool) {
        let filler = if negative { 0xFF } else { 0 };
        let wanted = usize::try_from(size.div_ceil(8)).unwrap_or_default();
        let mut padded = vec![filler; wanted.saturating_sub(bytes.len())];
        padded.extend_from_slice(&bytes[bytes.len().saturating_sub(wanted)..]);
        let rest = (size % 8) as u8;
        if little && rest == 0 {
            return self.push_bytes(&padded, true);
        }
        let mut padded = padded.into_iter();
        if rest > 0 {
            self.push_bits(u64::from(padded.next().unwrap_or(filler)), rest);
        }
        padded.for_each(|byte| self.push_bits(u64::from(byte), 8));
    }

    /// The lowest `count` (1 to 8) bits of `value`.
    fn push_bits(&mut self, value: u64, count: u8) {
        for bit in (0..count).rev() {
            let bit = (value >> bit & 1) as u8;
            match (self.bytes.last_mut(), self.used) {
                (Some(last), used @ 1..=7) => *last |= bit << (7 - used),
                _ => self.bytes.push(bit << 7),
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn into_term(self) -> Term {
        let binary = Binary::from(self.bytes);
        match BitString::new(binary.clone(), self.used) {
            Some(bits) if self.used > 0 => bits.into(),
            _ => binary.into(),
        }
    }
}
