//! Printing a term as Elixir's `inspect` does, with no limits.

use std::fmt::Write;

use crate::term::display::{float_text, printable};
use crate::term::{Atom, Fun, List, Map, Term};

/// The text of a term.
pub(super) fn inspect(term: &Term) -> String {
    let mut out = String::new();
    put(term, &mut out);
    out
}

fn put(term: &Term, out: &mut String) {
    match term {
        Term::Integer(integer) => drop(write!(out, "{integer}")),
        Term::Float(float) => out.push_str(&float_text(*float)),
        Term::Atom(atom) => put_atom(*atom, out),
        Term::Tuple(tuple) => put_items("{", tuple.iter(), "}", out),
        Term::Map(map) => put_map(map, out),
        Term::List(list) => put_list(list, out),
        Term::Binary(binary) => match binary.as_str().filter(|text| text.chars().all(is_printable)) {
            Some(text) => put_quoted(text, out),
            None => put_bytes(binary, None, out),
        },
        Term::BitString(bits) => put_bytes(bits.bytes(), Some(bits.last_bits()), out),
        Term::Fun(fun) => match &**fun {
            Fun::Export { module, function, arity } => {
                out.push('&');
                put_atom(*module, out);
                out.push('.');
                put_name(function.as_str(), out);
                let _ = write!(out, "/{arity}");
            }
            Fun::Local(_) => drop(write!(out, "{term}")),
        },
        // Identifiers in the one form that can be read back in both syntaxes.
        Term::Ref(_) | Term::Port(_) | Term::Pid(_) | Term::Record(_) | Term::Local(_) => drop(write!(out, "{term}")),
    }
}

fn put_atom(atom: Atom, out: &mut String) {
    let text = atom.as_str();
    if matches!(text, "nil" | "true" | "false") {
        return out.push_str(text);
    }
    match text.strip_prefix("Elixir.") {
        Some(alias) if alias.split('.').all(is_alias) => out.push_str(alias),
        _ if text == "Elixir" => out.push_str("Elixir"),
        _ => {
            out.push(':');
            put_name(text, out);
        }
    }
}

fn is_alias(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_uppercase()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The name of an atom, a function or a key, quoted where it has to be.
fn put_name(text: &str, out: &mut String) {
    const OPERATORS: [&str; 24] = [
        "+", "-", "*", "/", "++", "--", "==", "!=", "===", "<", ">", "<=", ">=", "<>", "=", "|>", "&&", "||", "!", ".",
        "..", "^", "|", "%{}",
    ];
    if is_identifier(text) || OPERATORS.contains(&text) { out.push_str(text) } else { put_quoted(text, out) }
}

fn is_identifier(text: &str) -> bool {
    let body = text.strip_suffix(['!', '?']).unwrap_or(text);
    body.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && body.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '@')
}

fn put_items<'a>(open: &str, items: impl Iterator<Item = &'a Term>, close: &str, out: &mut String) {
    out.push_str(open);
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        put(item, out);
    }
    out.push_str(close);
}

fn put_list(list: &List, out: &mut String) {
    if let Some(text) = printable(list).filter(|text| text.is_ascii()) {
        out.push_str("~c");
        return put_quoted(&text, out);
    }
    out.push('[');
    if let Some(pairs) = keywords(list) {
        put_pairs(&pairs, out);
    } else {
        for (n, item) in list.iter().enumerate() {
            if n > 0 {
                out.push_str(", ");
            }
            put(&item, out);
        }
    }
    if let Some(tail) = list.tail() {
        out.push_str(" | ");
        put(tail, out);
    }
    out.push(']');
}

/// The pairs of a keyword list: `[{:key, value}, …]`, never empty, keys without the prefix of an alias.
fn keywords(list: &List) -> Option<Vec<(Atom, Term)>> {
    if list.is_empty() || !list.is_proper() {
        return None;
    }
    let pair = |item: std::borrow::Cow<'_, Term>| match item.as_tuple() {
        Some([Term::Atom(key), value]) if !key.as_str().starts_with("Elixir.") => Some((*key, value.clone())),
        _ => None,
    };
    list.iter().map(pair).collect()
}

fn put_pairs(pairs: &[(Atom, Term)], out: &mut String) {
    for (n, (key, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        put_name(key.as_str(), out);
        out.push_str(": ");
        put(value, out);
    }
}

fn put_map(map: &Map, out: &mut String) {
    out.push('%');
    let structure =
        map.get_atom("__struct__").and_then(Term::as_atom).filter(|name| name.as_str().starts_with("Elixir."));
    if let Some(name) = structure {
        put_atom(name, out);
    }
    let mut pairs: Vec<(&Term, &Term)> =
        map.iter().filter(|(key, _)| structure.is_none() || !key.is_atom("__struct__")).collect();
    pairs.sort();
    let as_keywords: Option<Vec<(Atom, Term)>> = pairs
        .iter()
        .map(|(key, value)| {
            let key = key.as_atom().filter(|key| !key.as_str().starts_with("Elixir."))?;
            Some((key, (*value).clone()))
        })
        .collect();
    out.push('{');
    match as_keywords {
        Some(pairs) => put_pairs(&pairs, out),
        None => {
            for (n, (key, value)) in pairs.into_iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                put(key, out);
                out.push_str(" => ");
                put(value, out);
            }
        }
    }
    out.push('}');
}

fn put_bytes(bytes: &[u8], last_bits: Option<u8>, out: &mut String) {
    out.push_str("<<");
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        match last_bits.filter(|_| n + 1 == bytes.len()) {
            Some(bits) => drop(write!(out, "{}::size({bits})", byte >> (8 - bits))),
            None => drop(write!(out, "{byte}")),
        }
    }
    out.push_str(">>");
}

fn is_printable(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{B}' | '\u{8}' | '\u{C}' | '\u{1B}' | '\u{7F}' | '\u{7}')
}

fn put_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{B}' => out.push_str("\\v"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            '\u{1B}' => out.push_str("\\e"),
            '\u{7F}' => out.push_str("\\d"),
            '\u{7}' => out.push_str("\\a"),
            c if c.is_control() => drop(write!(out, "\\x{{{:X}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
