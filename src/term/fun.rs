//! Funs and native records: opaque to us, but kept to the last field so that they travel on unchanged.

use super::Term;
use super::atom::Atom;
use super::id::Pid;
use super::integer::Integer;

/// A fun: a value that only a BEAM with the same module can run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fun {
    /// `fun module:function/arity`.
    Export {
        /// The module.
        module: Atom,
        /// The function.
        function: Atom,
        /// How many arguments.
        arity: u8,
    },
    /// A closure.
    Local(Box<LocalFun>),
}

/// A closure, as the wire's `NEW_FUN_EXT` has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalFun {
    /// How many arguments.
    pub arity: u8,
    /// The MD5 of the module's significant parts.
    pub uniq: [u8; 16],
    /// Which fun of the module.
    pub index: u32,
    /// The module.
    pub module: Atom,
    /// The index before OTP 5, kept for the round trip.
    pub old_index: Integer,
    /// The hash of the parse tree, which `phash2` and the term order use.
    pub old_uniq: Integer,
    /// The process that made it, or init's pid since OTP 27.
    pub pid: Pid,
    /// The variables it closes over; at most 255.
    pub free: Box<[Term]>,
}

/// A native record, as OTP 29 has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// The module that defines it.
    pub module: Atom,
    /// Its name there.
    pub name: Atom,
    /// Whether the module exports it.
    pub exported: bool,
    /// The fields in the order of their definition; names are unique.
    pub fields: Box<[(Atom, Term)]>,
}
