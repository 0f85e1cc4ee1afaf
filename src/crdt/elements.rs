//! What stands under a key: the values that no write has replaced yet, each with its time and its dots.

use std::cmp::Ordering;

use super::dots::{Claim, Context, Dot};
use crate::term::Term;

/// The time of a write, in nanoseconds of the writer's monotonic clock. Peers send integers; others are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stamp {
    Nanos(i64),
    Other(Box<Term>),
}

impl Stamp {
    pub(crate) fn term(&self) -> Term {
        match self {
            Self::Nanos(nanos) => Term::from(*nanos),
            Self::Other(term) => (**term).clone(),
        }
    }

    /// In Erlang's order of terms.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Nanos(one), Self::Nanos(two)) => one.cmp(two),
            _ => self.term().compare(&other.term()),
        }
    }
}

impl From<Term> for Stamp {
    fn from(term: Term) -> Self {
        term.as_i64().map_or_else(|| Self::Other(Box::new(term)), Self::Nanos)
    }
}

/// A value with the time it was written, `{value, ts}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) value: Term,
    pub(crate) stamp: Stamp,
}

/// The elements of a key; never none. Nearly always there is one, with one dot.
#[derive(Debug, Clone)]
pub(crate) enum Elements {
    One(Element, Dot),
    Many(Box<[(Element, Vec<Dot>)]>),
}

impl Elements {
    /// Of these elements with at least one dot each; `None` where there is nothing.
    pub(crate) fn of(mut elements: Vec<(Element, Vec<Dot>)>) -> Option<Self> {
        elements.retain(|(_, dots)| !dots.is_empty());
        for (_, dots) in &mut elements {
            dots.sort_unstable();
            dots.dedup();
        }
        match &mut elements[..] {
            [] => None,
            [(_, dots)] if dots.len() == 1 => {
                let dot = dots[0];
                elements.pop().map(|(element, _)| Self::One(element, dot))
            }
            _ => Some(Self::Many(elements.into())),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Element, &[Dot])> {
        let (one, many) = match self {
            Self::One(element, dot) => (Some((element, std::slice::from_ref(dot))), &[][..]),
            Self::Many(elements) => (None, &elements[..]),
        };
        one.into_iter().chain(many.iter().map(|(element, dots)| (element, &dots[..])))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(elements) => elements.len(),
        }
    }

    /// All dots under the key.
    pub(crate) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.iter().flat_map(|(_, dots)| dots.iter().copied())
    }

    /// Those dots that a context has.
    pub(crate) fn within(&self, context: &Context) -> Option<Self> {
        if self.dots().all(|dot| context.contains(dot)) {
            return Some(self.clone());
        }
        let seen = |dots: &[Dot]| dots.iter().copied().filter(|dot| context.contains(*dot)).collect();
        Self::of(self.iter().map(|(element, dots)| (element.clone(), seen(dots))).collect())
    }

    fn dots_of(&self, element: &Element) -> &[Dot] {
        self.iter().find(|(mine, _)| *mine == element).map_or(&[], |(_, dots)| dots)
    }

    /// The value that is read: the latest, and of those as late the smallest.
    pub(crate) fn value(&self) -> &Term {
        let latest = self.iter().map(|(element, _)| element).reduce(|best, next| {
            let order = next.stamp.compare(&best.stamp).then_with(|| best.value.cmp_exact(&next.value));
            if order == Ordering::Greater { next } else { best }
        });
        &latest.expect("a key has an element").value
    }

    /// Whether both have the same elements with the same dots.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(element, dot), Self::One(theirs, their_dot)) => dot == their_dot && element == theirs,
            _ => self.len() == other.len() && self.iter().all(|(element, dots)| other.dots_of(element) == dots),
        }
    }
}

/// Joins what two replicas have under a key: a dot stays if both have it, or if one has it and the other never saw it.
pub(crate) fn join(
    mine: Option<&Elements>,
    seen: impl Fn(Dot) -> bool,
    theirs: Option<&Elements>,
    claimed: &Claim,
) -> Option<Elements> {
    let mut joined: Vec<(Element, Vec<Dot>)> = Vec::new();
    for (element, dots) in mine.into_iter().flat_map(Elements::iter) {
        let others = theirs.map_or(&[][..], |theirs| theirs.dots_of(element));
        let stay = dots.iter().filter(|dot| others.contains(dot) || !claimed.contains(**dot));
        joined.push((element.clone(), stay.copied().collect()));
    }
    for (element, dots) in theirs.into_iter().flat_map(Elements::iter) {
        let new = dots.iter().copied().filter(|dot| !seen(*dot));
        match joined.iter_mut().find(|(mine, _)| mine == element) {
            Some((_, dots)) => dots.extend(new),
            None => joined.push((element.clone(), new.collect())),
        }
    }
    Elements::of(joined)
}
