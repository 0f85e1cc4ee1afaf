//! Printing a term as Erlang's `~0tp` does: on one line, strings as strings.
//!
//! Identifiers of any node are printed so that they can be read back: `#Pid<node/id.serial/creation>`.

use std::fmt::{self, Formatter, Write};

use super::{Atom, Binary, Fun, List, Map, Term};

impl fmt::Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Float(float) => f.write_str(&float_text(*float)),
            Self::Atom(atom) => write!(f, "{atom}"),
            Self::Ref(reference) => {
                write!(f, "#Ref<{}/", reference.node.as_str())?;
                for (n, word) in reference.words().iter().enumerate() {
                    write!(f, "{}{word}", if n == 0 { "" } else { "." })?;
                }
                write!(f, "/{}>", reference.creation.0)
            }
            Self::Port(port) => write!(f, "#Port<{}/{}/{}>", port.node.as_str(), port.id, port.creation.0),
            Self::Pid(pid) => {
                write!(f, "#Pid<{}/{}.{}/{}>", pid.node.as_str(), pid.id, pid.serial, pid.creation.0)
            }
            Self::Fun(fun) => fmt_fun(fun, f),
            Self::Tuple(tuple) => fmt_items('{', tuple.iter(), '}', f),
            Self::Record(record) => {
                write!(f, "#{}:{}", record.module, record.name)?;
                f.write_char('{')?;
                for (n, (name, value)) in record.fields.iter().enumerate() {
                    write!(f, "{}{name} = {value}", if n == 0 { "" } else { "," })?;
                }
                f.write_char('}')
            }
            Self::Map(map) => fmt_map(map, f),
            Self::List(list) => fmt_list(list, f),
            Self::Binary(binary) => fmt_binary(binary, f),
            Self::BitString(bits) => {
                let (last, whole) = bits.bytes().split_last().unwrap_or((&0, &[]));
                f.write_str("<<")?;
                for byte in whole {
                    write!(f, "{byte},")?;
                }
                write!(f, "{}:{}>>", last >> (8 - bits.last_bits()), bits.last_bits())
            }
            Self::Local(bytes) => write!(f, "#Local<{} bytes>", bytes.len()),
        }
    }
}

impl fmt::Display for Atom {
    /// Quoted where Erlang's syntax needs it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const RESERVED: [&str; 29] = [
            "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case", "catch", "cond",
            "div", "end", "fun", "if", "let", "maybe", "not", "of", "or", "orelse", "receive", "rem", "try", "when",
            "xor", "else",
        ];
        let text = self.as_str();
        let starts = text.starts_with(|c: char| c.is_lowercase() && is_latin1(c));
        let plain = starts && text.chars().all(|c| c == '_' || c == '@' || (c.is_alphanumeric() && is_latin1(c)));
        // "maybe" and "else" are words only where the feature is on.
        if plain && (!RESERVED.contains(&text) || matches!(text, "maybe" | "else")) {
            return f.write_str(text);
        }
        f.write_char('\'')?;
        fmt_escaped(text.chars(), '\'', f)?;
        f.write_char('\'')
    }
}

/// Erlang takes letters up to U+00FF into bare atoms.
fn is_latin1(c: char) -> bool {
    u32::from(c) < 256 && c != 'ª' && c != 'º'
}

/// The shortest text that reads back as the same float, as `float_to_list(F, [short])`.
pub(crate) fn float_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (sign, scientific) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific.as_str()),
    };
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return format!("{float}") };
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    format!("{sign}{}", placed(&digits, exponent + 1, float))
}

/// `0.DIGITS` times ten to the `place`: with a point where that is short, else with an exponent
/// (`io_lib_format:insert_decimal/2`).
fn placed(digits: &str, place: i32, float: f64) -> String {
    let len = digits.len() as i32;
    let with_exponent = || {
        let (first, rest) = digits.split_at(1);
        format!("{first}.{}e{}", if rest.is_empty() { "0" } else { rest }, place - 1)
    };
    if float == 0.0 {
        return "0.0".into();
    }
    // From 2^53 on floats are whole numbers of which not every one exists: none is shown to the last digit.
    if float.abs() >= 9_007_199_254_740_992.0 {
        return with_exponent();
    }
    if place > 0 && place < len {
        let (whole, fraction) = digits.split_at(place as usize);
        return format!("{whole}.{fraction}");
    }
    let cost = (place - 1).to_string().len() as i32 + 1 + if len == 1 { 2 } else { 1 };
    if place == 0 {
        return format!("0.{digits}");
    }
    if place < 0 {
        if 2 - place <= cost {
            return format!("0.{}{digits}", "0".repeat(place.unsigned_abs() as usize));
        }
        return with_exponent();
    }
    if place - len + 2 <= cost {
        return format!("{digits}{}.0", "0".repeat((place - len) as usize));
    }
    with_exponent()
}

fn fmt_items<'a>(open: char, items: impl Iterator<Item = &'a Term>, close: char, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char(open)?;
    for (n, item) in items.enumerate() {
        write!(f, "{}{item}", if n == 0 { "" } else { "," })?;
    }
    f.write_char(close)
}

fn fmt_map(map: &Map, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("#{")?;
    // Erlang's order of small maps is that of their keys; it leaves that of large ones open.
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort();
    for (n, (key, value)) in pairs.into_iter().enumerate() {
        write!(f, "{}{key} => {value}", if n == 0 { "" } else { "," })?;
    }
    f.write_char('}')
}

fn fmt_list(list: &List, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(text) = printable(list) {
        f.write_char('"')?;
        fmt_escaped(text.chars(), '"', f)?;
        return f.write_char('"');
    }
    f.write_char('[')?;
    for (n, item) in list.iter().enumerate() {
        write!(f, "{}{item}", if n == 0 { "" } else { "," })?;
    }
    if let Some(tail) = list.tail() {
        write!(f, "|{tail}")?;
    }
    f.write_char(']')
}

/// The text of a list that `io_lib` takes for a string.
pub(crate) fn printable(list: &List) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    let text = list.to_text()?;
    text.chars().all(is_printable).then_some(text)
}

/// As `io_lib:printable_latin1_list`.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{A0}'..='\u{FF}' | '\n' | '\r' | '\t' | '\u{B}' | '\u{8}' | '\u{C}' | '\u{1B}')
}

fn fmt_binary(binary: &Binary, f: &mut Formatter<'_>) -> fmt::Result {
    match binary.as_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_printable) => {
            f.write_str("<<\"")?;
            fmt_escaped(text.chars(), '"', f)?;
            f.write_str(if text.is_ascii() { "\">>" } else { "\"/utf8>>" })
        }
        // What is no UTF-8 may still be a text of Latin-1 characters.
        None if binary.iter().all(|byte| is_printable(char::from(*byte))) => {
            f.write_str("<<\"")?;
            fmt_escaped(binary.iter().map(|byte| char::from(*byte)), '"', f)?;
            f.write_str("\">>")
        }
        Some(_) | None => {
            f.write_str("<<")?;
            for (n, byte) in binary.iter().enumerate() {
                write!(f, "{}{byte}", if n == 0 { "" } else { "," })?;
            }
            f.write_str(">>")
        }
    }
}

fn fmt_escaped(text: impl Iterator<Item = char>, quote: char, f: &mut Formatter<'_>) -> fmt::Result {
    for c in text {
        match c {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{B}' => f.write_str("\\v")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{C}' => f.write_str("\\f")?,
            '\u{1B}' => f.write_str("\\e")?,
            '\u{7F}' => f.write_str("\\d")?,
            '\\' => f.write_str("\\\\")?,
            c if c == quote => write!(f, "\\{c}")?,
            // As `io_lib:write_string`: control characters by number.
            c if c.is_control() => write!(f, "\\x{{{:X}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

fn fmt_fun(fun: &Fun, f: &mut Formatter<'_>) -> fmt::Result {
    match fun {
        Fun::Export { module, function, arity } => write!(f, "fun {module}:{function}/{arity}"),
        Fun::Local(local) => write!(f, "#Fun<{}.{}.{}>", local.module.as_str(), local.old_index, local.old_uniq),
    }
}
