//! What `io_lib:format/2` makes of a format and its arguments: `io:format` sends both as they are.

use crate::term::{List, Term};

/// The text; `None` where format and arguments do not fit together.
pub(super) fn format(format: &str, arguments: &[Term]) -> Option<String> {
    let mut arguments = arguments.iter();
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '~' {
            text.push(c);
            continue;
        }
        // Field width, precision, padding and modifiers: `~-10.2.0tp`. Width alone is honoured.
        let mut spec = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || "-.*tlkK".contains(*c)) {
            spec.push(c);
        }
        let width: Option<i64> = spec.split('.').next().and_then(|width| width.trim_matches(['t', 'l']).parse().ok());
        match chars.next()? {
            '~' => text.push('~'),
            'n' => text.push('\n'),
            'i' => drop(arguments.next()?),
            control => pad(&mut text, &directive(control, arguments.next()?)?, width),
        }
    }
    arguments.next().is_none().then_some(text)
}

fn directive(control: char, argument: &Term) -> Option<String> {
    Some(match control {
        'p' | 'w' | 'P' | 'W' => argument.to_string(),
        's' => chars_of(argument)?,
        'c' => char::from_u32(u32::try_from(argument.as_i64()?).ok()?)?.to_string(),
        'b' | 'B' | 'd' => match argument {
            Term::Integer(integer) => integer.to_string(),
            _ => return None,
        },
        'x' | 'X' | '+' | '#' => format!("{:x}", argument.as_i64()?),
        'f' => format!("{:.6}", argument.as_f64()?),
        'e' | 'g' => format!("{:e}", argument.as_f64()?),
        _ => return None,
    })
}

/// `~s` takes chardata and atoms.
fn chars_of(argument: &Term) -> Option<String> {
    match argument {
        Term::Atom(atom) => Some(atom.as_str().to_owned()),
        other => text_of(other),
    }
}

fn pad(text: &mut String, field: &str, width: Option<i64>) {
    let Some(width) = width else { return text.push_str(field) };
    let missing =
        usize::try_from(width.unsigned_abs()).unwrap_or_default().min(1000).saturating_sub(field.chars().count());
    let padding = " ".repeat(missing);
    // A positive width adjusts to the right.
    if width < 0 {
        text.push_str(field);
        text.push_str(&padding);
    } else {
        text.push_str(&padding);
        text.push_str(field);
    }
}

/// The text of chardata: nested lists of characters and UTF-8 binaries. Bounded by the term's own depth.
pub(super) fn text_of(chars: &Term) -> Option<String> {
    let mut text = String::new();
    collect(chars, &mut text)?;
    Some(text)
}

fn collect(chars: &Term, text: &mut String) -> Option<()> {
    match chars {
        Term::Binary(binary) => text.push_str(binary.as_str()?),
        Term::Integer(integer) => text.push(char::from_u32(u32::try_from(integer.to_i64()?).ok()?)?),
        Term::List(list) => collect_list(list, text)?,
        _ => return None,
    }
    Some(())
}

fn collect_list(list: &List, text: &mut String) -> Option<()> {
    for item in list {
        collect(&item, text)?;
    }
    list.tail().map_or(Some(()), |tail| collect(tail, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_take_their_arguments_in_order() {
        let arguments = [Term::from(1), Term::atom("a"), Term::from("text")];
        assert_eq!(format("~p ~w ~ts~n", &arguments).as_deref(), Some("1 a text\n"));
        assert_eq!(format("~5b|~-5b|", &[Term::from(1), Term::from(2)]).as_deref(), Some("    1|2    |"));
    }

    #[test]
    fn too_many_and_too_few_arguments_are_refused() {
        assert_eq!(format("~p", &[]), None);
        assert_eq!(format("hello", &[Term::from(1)]), None);
        assert_eq!(format("~", &[]), None);
    }
}
