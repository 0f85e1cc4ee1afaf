//! Lists: proper, improper, and the strings among them, as one type.

use std::borrow::Cow;
use std::sync::Arc;

use super::Term;

/// A list, kept flat. Equal lists have one form, so equality is structural.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct List(Repr);

#[derive(Clone, PartialEq, Eq, Hash, Default)]
enum Repr {
    #[default]
    Nil,
    /// A proper list of 1 to 65,535 integers in 0..=255: what Erlang calls a string and the wire has a tag for.
    Bytes(Arc<[u8]>),
    /// Any other proper list; never empty.
    Terms(Arc<[Term]>),
    Improper(Arc<Improper>),
}

#[derive(PartialEq, Eq, Hash)]
struct Improper {
    /// Never empty.
    items: Box<[Term]>,
    /// Never a list.
    tail: Term,
}

impl List {
    /// The most bytes that the wire's string tag holds.
    pub const MAX_STRING: usize = 65_535;

    /// `[]`.
    #[must_use]
    pub const fn nil() -> Self {
        Self(Repr::Nil)
    }

    /// `[Items… | Tail]`. A tail that is a list is spliced: `[1 | [2]]` is `[1, 2]`.
    #[must_use]
    pub fn improper(items: Vec<Term>, tail: Term) -> Term {
        if items.is_empty() {
            return tail;
        }
        let Term::List(tail) = tail else {
            return Term::List(Self(Repr::Improper(Arc::new(Improper { items: items.into(), tail }))));
        };
        let mut items = items;
        items.extend(tail.iter().map(Cow::into_owned));
        match tail.0 {
            Repr::Improper(inner) => Self::improper(items, inner.tail.clone()),
            Repr::Nil | Repr::Bytes(_) | Repr::Terms(_) => Term::List(items.into_iter().collect()),
        }
    }

    /// How many elements, the improper tail not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Nil => 0,
            Repr::Bytes(bytes) => bytes.len(),
            Repr::Terms(items) => items.len(),
            Repr::Improper(improper) => improper.items.len(),
        }
    }

    /// Whether it is `[]`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Nil)
    }

    /// The elements of a string: a proper list of 1 to 65,535 integers in 0..=255.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Bytes(bytes) => Some(bytes),
            Repr::Nil | Repr::Terms(_) | Repr::Improper(_) => None,
        }
    }

    /// The elements where they are kept as terms, that is, of any list that is not a string.
    #[must_use]
    pub fn as_terms(&self) -> Option<&[Term]> {
        match &self.0 {
            Repr::Nil => Some(&[]),
            Repr::Terms(items) => Some(items),
            Repr::Improper(improper) => Some(&improper.items),
            Repr::Bytes(_) => None,
        }
    }

    /// The tail of an improper list.
    #[must_use]
    pub fn tail(&self) -> Option<&Term> {
        match &self.0 {
            Repr::Improper(improper) => Some(&improper.tail),
            Repr::Nil | Repr::Bytes(_) | Repr::Terms(_) => None,
        }
    }

    /// Whether it ends in `[]`.
    #[must_use]
    pub fn is_proper(&self) -> bool {
        self.tail().is_none()
    }

    /// The elements in order, the improper tail left out.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Repr::Bytes(bytes) => Iter(IterRepr::Bytes(bytes.iter())),
            Repr::Nil | Repr::Terms(_) | Repr::Improper(_) => {
                Iter(IterRepr::Terms(self.as_terms().unwrap_or_default().iter()))
            }
        }
    }

    /// The text of a list of characters, as Erlang's strings and Elixir's charlists are.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        if !self.is_proper() {
            return None;
        }
        let char_of = |item: Cow<'_, Term>| char::from_u32(u32::try_from(item.as_i64()?).ok()?);
        self.iter().map(char_of).collect()
    }

    /// A list of the text's characters, as Erlang writes `"text"`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        text.chars().map(|c| Term::from(u32::from(c))).collect()
    }
}

impl From<Vec<Term>> for List {
    fn from(items: Vec<Term>) -> Self {
        if items.is_empty() {
            return Self::nil();
        }
        match string_of(&items) {
            Some(bytes) => Self(Repr::Bytes(bytes)),
            None => Self(Repr::Terms(items.into())),
        }
    }
}

impl From<&[u8]> for List {
    /// The list of these integers.
    fn from(bytes: &[u8]) -> Self {
        match bytes.len() {
            0 => Self::nil(),
            1..=Self::MAX_STRING => Self(Repr::Bytes(bytes.into())),
            _ => Self(Repr::Terms(bytes.iter().map(|byte| Term::from(*byte)).collect())),
        }
    }
}

impl FromIterator<Term> for List {
    fn from_iter<I: IntoIterator<Item = Term>>(items: I) -> Self {
        items.into_iter().collect::<Vec<_>>().into()
    }
}

impl List {
    /// The proper list of these elements, which stay where they are.
    pub(crate) fn from_elements(items: Arc<[Term]>) -> Self {
        if items.is_empty() {
            return Self::nil();
        }
        match string_of(&items) {
            Some(bytes) => Self(Repr::Bytes(bytes)),
            None => Self(Repr::Terms(items)),
        }
    }

    /// Drains the end of a stack of terms into a list, in one allocation.
    pub(crate) fn from_stack(stack: &mut Vec<Term>, from: usize) -> Self {
        if from >= stack.len() {
            return Self::nil();
        }
        match string_of(&stack[from..]) {
            Some(bytes) => {
                stack.truncate(from);
                Self(Repr::Bytes(bytes))
            }
            None => Self(Repr::Terms(stack.drain(from..).collect())),
        }
    }
}

fn string_of(items: &[Term]) -> Option<Arc<[u8]>> {
    let byte_of = |item: &Term| u8::try_from(item.as_i64()?).ok();
    if items.len() > List::MAX_STRING || items.last().and_then(byte_of).is_none() {
        return None;
    }
    // Most lists fail at their first or last element, before anything is allocated.
    if items.iter().any(|item| byte_of(item).is_none()) {
        return None;
    }
    Some(items.iter().filter_map(byte_of).collect())
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.iter());
        if let Some(tail) = self.tail() {
            list.entry(&format_args!("| {tail:?}"));
        }
        list.finish()
    }
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub struct Iter<'a>(IterRepr<'a>);

#[derive(Debug, Clone)]
enum IterRepr<'a> {
    Bytes(std::slice::Iter<'a, u8>),
    Terms(std::slice::Iter<'a, Term>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Cow<'a, Term>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Bytes(bytes) => bytes.next().map(|byte| Cow::Owned(Term::from(*byte))),
            IterRepr::Terms(items) => items.next().map(Cow::Borrowed),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            IterRepr::Bytes(bytes) => bytes.size_hint(),
            IterRepr::Terms(items) => items.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a List {
    type Item = Cow<'a, Term>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_bytes_is_a_string_however_it_was_made() {
        let made = List::from(vec![Term::from(97), Term::from(98)]);
        assert_eq!(made, List::from(&b"ab"[..]));
        assert_eq!(made.as_bytes(), Some(&b"ab"[..]));
        assert_eq!(List::from(vec![Term::from(-1)]).as_bytes(), None);
        assert_eq!(List::from(&[7; 65_536][..]).as_bytes(), None);
    }

    #[test]
    fn a_list_as_tail_is_spliced() {
        let list = List::improper(vec![Term::from(1)], Term::List(vec![Term::from(2)].into()));
        assert_eq!(list, Term::List(vec![Term::from(1), Term::from(2)].into()));
        let inner = List::improper(vec![Term::from(2)], Term::from(3));
        let outer = List::improper(vec![Term::from(1)], inner);
        assert_eq!(outer, List::improper(vec![Term::from(1), Term::from(2)], Term::from(3)));
    }

    #[test]
    fn text_survives_the_way_through_a_list() {
        assert_eq!(List::from_text("häß€").to_text().as_deref(), Some("häß€"));
        assert_eq!(List::nil().to_text().as_deref(), Some(""));
    }
}
