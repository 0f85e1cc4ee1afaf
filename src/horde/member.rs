//! The members of a Horde: their names, their state, and how both are written in the replicated map.

use std::cmp::Ordering;

use crate::term::{Atom, Map, Term};

/// A member: `{Name, Node}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberName {
    /// The name that its registry or supervisor is registered under.
    pub name: Atom,
    /// Its node.
    pub node: Atom,
}

impl MemberName {
    /// The member of that name on that node.
    pub fn new(name: impl Into<Atom>, node: impl Into<Atom>) -> Self {
        Self { name: name.into(), node: node.into() }
    }

    /// Reads `{Name, Node}`, or `Name` alone, which means the one on `here`, as in Horde's `set_members`.
    #[must_use]
    pub fn parse(term: &Term, here: Atom) -> Option<Self> {
        match term {
            Term::Atom(name) => Some(Self { name: *name, node: here }),
            Term::Tuple(pair) => match &pair[..] {
                [Term::Atom(name), Term::Atom(node)] => Some(Self { name: *name, node: *node }),
                _ => None,
            },
            _ => None,
        }
    }

    /// `{Name, Node}`.
    #[must_use]
    pub fn term(&self) -> Term {
        Term::tuple([self.name.into(), self.node.into()])
    }

    /// The order of the terms.
    pub(super) fn in_order(&self, other: &Self) -> Ordering {
        self.name.as_str().cmp(other.name.as_str()).then_with(|| self.node.as_str().cmp(other.node.as_str()))
    }
}

/// What is known of a supervisor's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is in the member list, and has not told its state.
    Uninitialized,
    /// It runs children.
    Alive,
    /// It is going, or is there to watch only: it is given no children, and counts in no quorum.
    ShuttingDown,
    /// Another member saw it end.
    Dead,
}

impl Status {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Uninitialized, "uninitialized"),
        (Self::Alive, "alive"),
        (Self::ShuttingDown, "shutting_down"),
        (Self::Dead, "dead"),
    ];

    /// The state of this name.
    #[must_use]
    pub fn parse(term: &Term) -> Option<Self> {
        let atom = term.as_atom()?;
        Self::ALL.into_iter().find(|(_, name)| atom.as_str() == *name).map(|(status, _)| status)
    }

    /// Its name.
    #[must_use]
    pub fn term(self) -> Term {
        let found = Self::ALL.into_iter().find(|(status, _)| *status == self);
        Term::atom(found.map_or("uninitialized", |(_, name)| name))
    }
}

/// A supervisor's member and its state: `%Horde.DynamicSupervisor.Member{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Who.
    pub name: MemberName,
    /// Its state.
    pub status: Status,
}

impl Member {
    /// Reads the struct; fields that a later Horde adds are passed over.
    #[must_use]
    pub fn parse(term: &Term) -> Option<Self> {
        let map = term.as_map()?;
        if !map.get_atom("__struct__")?.is_atom(STRUCT) {
            return None;
        }
        let Term::Tuple(_) = map.get_atom("name")? else { return None };
        // A tuple names its node.
        let name = MemberName::parse(map.get_atom("name")?, Atom::new("nonode@nohost"))?;
        Some(Self { name, status: Status::parse(map.get_atom("status")?)? })
    }

    /// The struct.
    #[must_use]
    pub fn term(&self) -> Term {
        let fields = [("__struct__", Term::atom(STRUCT)), ("name", self.name.term()), ("status", self.status.term())];
        let mut map = Map::default();
        for (field, value) in fields {
            map.insert(Term::atom(field), value);
        }
        map.into()
    }
}

const STRUCT: &str = "Elixir.Horde.DynamicSupervisor.Member";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term;

    #[test]
    fn members_are_read_as_they_are_written() {
        for (status, _) in Status::ALL {
            let member = Member { name: MemberName::new("Elixir.S", "a@h"), status };
            assert_eq!(Member::parse(&member.term()), Some(member));
        }
    }

    #[test]
    fn a_later_hordes_field_is_passed_over_and_junk_is_refused() {
        let known = term!(%{__struct__: (Term::atom(STRUCT)), name: {:s, :"a@h"}, status: :dead, later: 1});
        assert_eq!(Member::parse(&known).map(|member| member.status), Some(Status::Dead));
        let junk = [
            term!(%{__struct__: :other, name: {:s, :"a@h"}, status: :dead}),
            term!(%{__struct__: (Term::atom(STRUCT)), name: :s, status: :dead}),
            term!(%{__struct__: (Term::atom(STRUCT)), name: {:s, :"a@h"}, status: :sleeping}),
            term!({:s, :"a@h"}),
        ];
        for term in junk {
            assert_eq!(Member::parse(&term), None, "{term}");
        }
    }

    #[test]
    fn a_bare_name_is_a_member_here() {
        let here = Atom::new("me@h");
        assert_eq!(MemberName::parse(&term!(:s), here), Some(MemberName::new("s", "me@h")));
        assert_eq!(MemberName::parse(&term!({:s, :"b@h"}), here), Some(MemberName::new("s", "b@h")));
        assert_eq!(MemberName::parse(&term!({:s, 1}), here), None);
    }
}
