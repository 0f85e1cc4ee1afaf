//! Exit reasons that the node itself gives.

use std::sync::LazyLock;

use crate::etf::Encoded;
use crate::term::{Term, atom::known};

macro_rules! reasons {
    ($($name:ident),*) => {
        $(pub(crate) fn $name() -> Encoded {
            static REASON: LazyLock<Encoded> = LazyLock::new(|| of(&Term::Atom(known::$name())));
            REASON.clone()
        })*
    };
}

reasons!(normal, killed, noproc, noconnection, shutdown);

/// A reason that the program made. One that cannot be encoded (a float that is not a number) becomes `badarg`.
pub(crate) fn of(reason: &Term) -> Encoded {
    Encoded::new(reason)
        .or_else(|_unencodable| Encoded::new(&Term::Atom(known::badarg())))
        .expect("an atom can be encoded")
}
