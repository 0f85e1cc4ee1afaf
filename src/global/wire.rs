//! What `global_name_server`s say to each other, protocol version 8: made and read.

use super::table::{Entry, Op};
use crate::term::{Atom, Map, Pid, Term};

/// The version that OTP 25 to 29 speak.
pub(super) const VERSION: i64 = 8;

/// A message, whichever way it travels.
#[derive(Debug, Clone)]
pub(super) enum Message {
    InitConnect { node: Atom, version: i64, tag: Term, locker: Pid },
    Ack { node: Atom, mine: Term, his: Term },
    Cancel { node: Atom, tag: Term },
    LockSet { locker: Pid, set: bool, tag: Term },
    Exchange { node: Atom, names: Vec<(Term, Entry)>, tag: Term },
    Resolved { node: Atom, ops: Vec<Op>, known: Nodes, ext: Ext, tag: Term },
    NewNodes { ops: Vec<Op>, ext: Ext, nodes: Nodes, lock: Option<Term> },
    InSync(Atom),
    Lost { by: Atom, incarnation: Term, number: i64, node: Atom },
    Remove(Atom),
}

/// Names of C nodes: name, pid, the node that registered it.
pub(super) type Ext = Vec<(Term, Pid, Atom)>;

/// Nodes with the version that each speaks.
pub(super) type Nodes = Vec<(Atom, i64)>;

fn tuple<const N: usize>(items: [Term; N]) -> Term {
    Term::tuple(items)
}

fn cast(message: Term) -> Term {
    tuple([Term::atom("$gen_cast"), message])
}

pub(super) fn init_connect(me: Atom, tag: i64, locker: Pid) -> Term {
    let version = tuple([VERSION.into(), tag.into()]);
    let locker = tuple([Term::atom("locker"), Term::atom("no_longer_a_pid"), Map::new().into(), locker.into()]);
    cast(tuple([Term::atom("init_connect"), version, me.into(), locker]))
}

pub(super) fn ack(me: Atom, his: Term, mine: i64) -> Term {
    tuple([Term::atom("init_connect_ack"), me.into(), his, mine.into()])
}

pub(super) fn cancel(me: Atom, his: Term) -> Term {
    tuple([Term::atom("cancel_connect"), me.into(), his])
}

pub(super) fn lock_set(locker: Pid, set: bool, known: &[Atom], his: Term) -> Term {
    cast(tuple([Term::atom("lock_set"), locker.into(), set.into(), atoms(known), his]))
}

/// The answer to a locker that is not known: straight to its pid.
pub(super) fn not_locked(locker: Pid, known: &[Atom]) -> Term {
    tuple([Term::atom("lock_set"), locker.into(), false.into(), atoms(known)])
}

pub(super) fn exchange<'a>(me: Atom, names: impl Iterator<Item = (&'a Term, &'a Entry)>, his: Term) -> Term {
    let names: Vec<Term> = names.map(|(name, entry)| name_tuple(name, entry)).collect();
    cast(tuple([Term::atom("exchange"), me.into(), names.into(), Term::nil(), his]))
}

pub(super) fn resolved(me: Atom, ops: &[Op], known: &[(Atom, i64)], ext: Term, his: Term) -> Term {
    let unused = Term::atom("unused");
    cast(tuple([Term::atom("resolved"), me.into(), op_list(ops), node_list(known), unused, ext, his]))
}

pub(super) fn new_nodes(me: Atom, ops: &[Op], ext: Term, nodes: &[(Atom, i64)], lock: Term) -> Term {
    let extra = vec![tuple([Term::atom("vsn"), VERSION.into()]), tuple([Term::atom("lock"), lock])];
    cast(tuple([Term::atom("new_nodes"), me.into(), op_list(ops), ext, node_list(nodes), extra.into()]))
}

pub(super) fn in_sync(me: Atom) -> Term {
    cast(tuple([Term::atom("in_sync"), me.into(), true.into()]))
}

pub(super) fn lost(by: Atom, incarnation: Term, number: i64, node: Atom) -> Term {
    tuple([Term::atom("lost_connection"), by.into(), incarnation, number.into(), node.into()])
}

pub(super) fn remove(me: Atom) -> Term {
    tuple([Term::atom("remove_connection"), me.into()])
}

pub(super) fn ext_list<'a>(ext: impl Iterator<Item = (&'a Term, Pid, Atom)>) -> Term {
    ext.map(|(name, pid, node)| tuple([name.clone(), pid.into(), node.into()])).collect::<Vec<_>>().into()
}

fn atoms(atoms: &[Atom]) -> Term {
    atoms.iter().map(|atom| Term::from(*atom)).collect::<Vec<_>>().into()
}

fn name_tuple(name: &Term, entry: &Entry) -> Term {
    tuple([name.clone(), entry.pid.into(), entry.method.clone()])
}

fn op_list(ops: &[Op]) -> Term {
    let op = |op: &Op| match op {
        Op::Insert(name, entry) => tuple([Term::atom("insert"), name_tuple(name, entry)]),
        Op::Delete(name) => tuple([Term::atom("delete"), name.clone()]),
    };
    ops.iter().map(op).collect::<Vec<_>>().into()
}

fn node_list(nodes: &[(Atom, i64)]) -> Term {
    nodes.iter().map(|(node, version)| tuple([(*node).into(), (*version).into()])).collect::<Vec<_>>().into()
}

/// Reads what was cast.
pub(super) fn read_cast(message: &Term) -> Option<Message> {
    let parts = message.as_tuple()?;
    let (kind, rest) = parts.split_first()?;
    Some(match (kind.as_atom()?.as_str(), rest) {
        ("init_connect", [version, node, locker]) => {
            let [version, tag, ..] = version.as_tuple()? else { return None };
            let [_, _, _, locker] = locker.as_tuple()? else { return None };
            let version = version.as_i64()?.min(VERSION);
            Message::InitConnect { node: node.as_atom()?, version, tag: tag.clone(), locker: locker.as_pid()? }
        }
        ("lock_set", [locker, set, _known, tag]) => {
            Message::LockSet { locker: locker.as_pid()?, set: set.as_bool()?, tag: tag.clone() }
        }
        ("exchange", [node, names, _ext, tag]) => {
            let names = list(names, read_name)?;
            Message::Exchange { node: node.as_atom()?, names, tag: tag.clone() }
        }
        ("resolved", [node, ops, known, _unused, ext, tag]) => Message::Resolved {
            node: node.as_atom()?,
            ops: list(ops, read_op)?,
            known: list(known, read_node)?,
            ext: list(ext, read_ext)?,
            tag: tag.clone(),
        },
        ("new_nodes", [_node, ops, ext, nodes, extra]) => Message::NewNodes {
            ops: list(ops, read_op)?,
            ext: list(ext, read_ext)?,
            nodes: list(nodes, read_node)?,
            lock: list(extra, |item| Some(item.clone()))?.iter().find_map(read_lock),
        },
        ("in_sync", [node, _]) => Message::InSync(node.as_atom()?),
        _ => return None,
    })
}

/// Reads what came as a bare message.
pub(super) fn read_bare(message: &Term) -> Option<Message> {
    let parts = message.as_tuple()?;
    let (kind, rest) = parts.split_first()?;
    Some(match (kind.as_atom()?.as_str(), rest) {
        ("init_connect_ack", [node, mine, his]) => {
            Message::Ack { node: node.as_atom()?, mine: mine.clone(), his: his.clone() }
        }
        ("cancel_connect", [node, tag]) => Message::Cancel { node: node.as_atom()?, tag: tag.clone() },
        ("lost_connection", [by, incarnation, number, node]) => Message::Lost {
            by: by.as_atom()?,
            incarnation: incarnation.clone(),
            number: number.as_i64()?,
            node: node.as_atom()?,
        },
        ("remove_connection", [node]) => Message::Remove(node.as_atom()?),
        _ => return None,
    })
}

fn list<T>(term: &Term, read: impl Fn(&Term) -> Option<T>) -> Option<Vec<T>> {
    term.as_list().filter(|list| list.is_proper())?.iter().map(|item| read(&item)).collect()
}

fn read_name(name: &Term) -> Option<(Term, Entry)> {
    let [name, pid, method] = name.as_tuple()? else { return None };
    Some((name.clone(), Entry { pid: pid.as_pid()?, method: method.clone() }))
}

fn read_op(op: &Term) -> Option<Op> {
    let [kind, what] = op.as_tuple()? else { return None };
    match kind.as_atom()?.as_str() {
        "insert" => read_name(what).map(|(name, entry)| Op::Insert(name, entry)),
        "delete" => Some(Op::Delete(what.clone())),
        _ => None,
    }
}

/// `{Node, Version}`; before version 7 the node alone.
fn read_node(node: &Term) -> Option<(Atom, i64)> {
    match node.as_tuple() {
        Some([node, version]) => Some((node.as_atom()?, version.as_i64()?)),
        Some(_) => None,
        None => Some((node.as_atom()?, 6)),
    }
}

fn read_ext(ext: &Term) -> Option<(Term, Pid, Atom)> {
    let [name, pid, node] = ext.as_tuple()? else { return None };
    Some((name.clone(), pid.as_pid()?, node.as_atom()?))
}

/// The requester of `{lock, {global, Requester}}`.
fn read_lock(extra: &Term) -> Option<Term> {
    let [kind, id] = extra.as_tuple()? else { return None };
    let [_global, requester] = id.as_tuple()? else { return None };
    kind.is_atom("lock").then(|| requester.clone())
}
