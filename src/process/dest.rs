//! Whom to send to.

use crate::term::{Atom, NodeName, Pid, Ref, Term};

/// An address: everything that Erlang's `!` or `gen` takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dest {
    /// A process, of any node.
    Pid(Pid),
    /// A name registered on this node.
    Name(Atom),
    /// A name registered on the second, a node.
    Remote(Atom, Atom),
    /// An alias, of any node.
    Alias(Ref),
    /// A name that the whole cluster knows: `{global, Name}`.
    Global(Term),
    /// A name that a module keeps: `{via, Module, Name}`.
    Via(Atom, Term),
}

impl Dest {
    /// Reads an address from a term: a pid, a name, `{Name, Node}`, a reference, `{global, Name}`,
    /// `{via, Module, Name}`.
    #[must_use]
    pub fn from_term(term: &Term) -> Option<Self> {
        match term {
            Term::Pid(pid) => Some(Self::Pid(*pid)),
            Term::Atom(name) => Some(Self::Name(*name)),
            Term::Ref(alias) => Some(Self::Alias(**alias)),
            Term::Tuple(tuple) => match &tuple[..] {
                [Term::Atom(kind), name] if *kind == "global" => Some(Self::Global(name.clone())),
                [Term::Atom(kind), Term::Atom(module), name] if *kind == "via" => {
                    Some(Self::Via(*module, name.clone()))
                }
                [Term::Atom(name), Term::Atom(node)] => Some(Self::Remote(*name, *node)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<Pid> for Dest {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<Atom> for Dest {
    fn from(name: Atom) -> Self {
        Self::Name(name)
    }
}

impl From<&str> for Dest {
    fn from(name: &str) -> Self {
        Self::Name(Atom::new(name))
    }
}

impl From<Ref> for Dest {
    fn from(alias: Ref) -> Self {
        Self::Alias(alias)
    }
}

impl From<(&str, &str)> for Dest {
    fn from((name, node): (&str, &str)) -> Self {
        Self::Remote(Atom::new(name), Atom::new(node))
    }
}

impl From<(Atom, Atom)> for Dest {
    fn from((name, node): (Atom, Atom)) -> Self {
        Self::Remote(name, node)
    }
}

impl From<(&str, Atom)> for Dest {
    fn from((name, node): (&str, Atom)) -> Self {
        Self::Remote(Atom::new(name), node)
    }
}

impl From<(Atom, NodeName)> for Dest {
    fn from((name, node): (Atom, NodeName)) -> Self {
        Self::Remote(name, node.atom())
    }
}

impl From<(&str, NodeName)> for Dest {
    fn from((name, node): (&str, NodeName)) -> Self {
        Self::Remote(Atom::new(name), node.atom())
    }
}
