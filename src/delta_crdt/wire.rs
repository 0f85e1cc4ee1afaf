//! What replicas say to each other, as terms (`DeltaCrdt.CausalCrdt`, `MerkleMap`). Content goes past them: [`super::data`].

use std::borrow::Cow;

use hashbrown::HashSet;

use crate::crdt::{
    Claim, Context, Continuation, Data, Diff, Dot, Element, Elements, Flavour, Loc, Message, Replicas, Tree, dot_term,
    is_partial, map, value_term,
};
use crate::term::{Map, Pid, Term};

const DIFF: &str = "Elixir.DeltaCrdt.CausalCrdt.Diff";
const TREE_DIFF: &str = "Elixir.MerkleMap.MerkleTree.Diff";
const TREE: &str = "Elixir.MerkleMap.MerkleTree";
pub(super) const STATE: &str = "Elixir.DeltaCrdt.AWLWWMap";
pub(super) const MAP_SET: &str = "Elixir.MapSet";

/// A message as a term, for a receiver that lays out sets like that.
pub(super) fn term(message: &Message, replicas: &Replicas, flavour: Flavour) -> Term {
    match message {
        Message::Diff(diff) => Term::tuple([Term::atom("diff"), diff_term(diff, replicas)]),
        Message::GetDiff(diff, keys) => {
            Term::tuple([Term::atom("get_diff"), diff_term(diff, replicas), Term::list(keys.clone())])
        }
        Message::Data(data) => {
            let value = data.keys.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
            let value = value.map(|(key, value)| (key.clone(), value_term(value, replicas, flavour)));
            let state =
                record(STATE, [("dots", claim(&data.dots, replicas, flavour)), ("value", map(value.collect()))]);
            Term::tuple([
                Term::atom("diff"),
                state,
                Term::list(data.keys.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()),
            ])
        }
        Message::Ack(address) => Term::tuple([Term::atom("ack_diff"), address.clone()]),
    }
}

fn record<const N: usize>(name: &str, fields: [(&str, Term); N]) -> Term {
    let fields = fields.into_iter().map(|(field, value)| (Term::atom(field), value));
    map(std::iter::once((Term::atom("__struct__"), Term::atom(name))).chain(fields).collect())
}

fn diff_term(diff: &Diff, replicas: &Replicas) -> Term {
    let continuation = diff.continuation.as_ref().map_or_else(|| Term::atom("nil"), continuation);
    record(
        DIFF,
        [
            ("continuation", continuation),
            ("dots", claim(&diff.dots, replicas, Flavour::default())),
            ("from", diff.from.clone()),
            ("originator", diff.originator.into()),
            ("to", diff.to.clone()),
        ],
    )
}

fn continuation(continuation: &Continuation) -> Term {
    let trees = continuation.trees.iter().map(|(loc, tree)| {
        let tree = record(TREE, [("tree", tree.term())]);
        Term::tuple([loc.term(), tree])
    });
    let trees: Vec<_> = trees.collect();
    record(TREE_DIFF, [("keys", Term::list(continuation.keys.clone())), ("trees", Term::list(trees))])
}

pub(super) fn claim(claim: &Claim, replicas: &Replicas, flavour: Flavour) -> Term {
    match claim {
        Claim::Map(context) => {
            map(context.iter().map(|dot| (replicas.id(dot.replica).clone(), dot.counter.into())).collect())
        }
        Claim::Set(dots) => {
            let dots = dots.iter().map(|dot| (dot_term(*dot, replicas), Term::nil()));
            crate::crdt::map_set(dots.collect(), flavour)
        }
    }
}

/// A message that was read, and how its sender lays out sets, where one could be seen.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) message: Message,
    pub(super) flavour: Option<Flavour>,
}

/// Reads a message; `None` if it is none, or one that no replica sends.
pub(super) fn read(term: &Term, replicas: &mut Replicas) -> Option<Read> {
    let mut flavour = None;
    let message = match term.as_tuple()? {
        [tag, diff] if tag.is_atom("diff") => Message::Diff(read_diff(diff, replicas, &mut flavour)?),
        [tag, address] if tag.is_atom("ack_diff") => Message::Ack(address.clone()),
        [tag, diff, keys] if tag.is_atom("get_diff") => {
            Message::GetDiff(read_diff(diff, replicas, &mut flavour)?, read_keys(keys)?)
        }
        [tag, state, keys] if tag.is_atom("diff") => {
            let state = is_record(state, STATE)?;
            let dots = read_claim(state.get_atom("dots")?, replicas, &mut flavour)?;
            Message::Data(Data { dots, keys: read_value(state.get_atom("value")?, keys, replicas, &mut flavour)? })
        }
        _ => return None,
    };
    Some(Read { message, flavour })
}

fn is_record<'a>(term: &'a Term, name: &str) -> Option<&'a Map> {
    let map = term.as_map()?;
    map.get_atom("__struct__")?.is_atom(name).then_some(map)
}

/// Keys that would crash replicas of Elixir are left out: nobody can have them.
fn read_keys(term: &Term) -> Option<Vec<Term>> {
    let list = term.as_list()?;
    list.is_proper().then(|| list.iter().filter(|key| !is_partial(key)).map(Cow::into_owned).collect())
}

/// The keys that data speaks of with their elements. A value whose key is not listed would be invisible to comparisons:
/// it is listed.
fn read_value(
    value: &Term,
    keys: &Term,
    replicas: &mut Replicas,
    flavour: &mut Option<Flavour>,
) -> Option<Vec<(Term, Option<Elements>)>> {
    let value = value.as_map()?;
    let keys = read_keys(keys)?;
    let unlisted = if !value.is_empty() {
        let listed: HashSet<&Term> = keys.iter().collect();
        value.keys().filter(|key| !listed.contains(key) && !is_partial(key)).cloned().collect()
    } else {
        Vec::new()
    };
    let mut seen = HashSet::with_capacity(keys.len());
    let mut read = Vec::with_capacity(keys.len());
    for key in keys.into_iter().chain(unlisted) {
        if !seen.insert(key.clone()) {
            continue;
        }
        let elements = match value.get(&key) {
            Some(elements) => read_elements(elements, replicas, flavour)?,
            None => None,
        };
        read.push((key, elements));
    }
    Some(read)
}

fn read_diff(term: &Term, replicas: &mut Replicas, flavour: &mut Option<Flavour>) -> Option<Diff> {
    let fields = is_record(term, DIFF)?;
    let continuation = fields.get_atom("continuation")?;
    let continuation = if continuation.is_atom("nil") { None } else { Some(read_continuation(continuation, flavour)?) };
    Some(Diff {
        continuation,
        dots: read_claim(fields.get_atom("dots")?, replicas, flavour)?,
        originator: fields.get_atom("originator")?.as_pid()?,
        from: fields.get_atom("from")?.clone(),
        to: fields.get_atom("to")?.clone(),
    })
}

fn read_continuation(term: &Term, flavour: &mut Option<Flavour>) -> Option<Continuation> {
    let fields = is_record(term, TREE_DIFF)?;
    let mut trees = Vec::new();
    for pair in fields.get_atom("trees")?.as_list()?.iter() {
        let [loc, tree] = pair.as_tuple()? else { return None };
        let tree = is_record(tree, TREE)?.get_atom("tree")?;
        let loc = Loc::from_term(loc)?;
        let tree = Tree::from_term(tree, loc.len())?;
        see_flavour(&tree, flavour);
        trees.push((loc, tree));
    }
    Some(Continuation { keys: read_keys(fields.get_atom("keys")?)?, trees })
}

/// One set is enough to see how all are laid out.
fn see_flavour(tree: &Tree, flavour: &mut Option<Flavour>) {
    match tree {
        _ if flavour.is_some() => {}
        Tree::Inner { sides, .. } => sides.iter().for_each(|side| see_flavour(side, flavour)),
        Tree::Leaf { contents, .. } => {
            let mut sets = contents.values().filter_map(Term::as_map).flat_map(Map::values);
            *flavour = sets.next().and_then(|set| is_record(set, MAP_SET)).map(flavour_of);
        }
        Tree::Empty | Tree::Partial(_) => {}
    }
}

fn flavour_of(set: &Map) -> Flavour {
    if set.get_atom("version").is_some() { Flavour::Versioned } else { Flavour::Plain }
}

pub(super) fn read_dot(term: &Term, replicas: &mut Replicas) -> Option<Dot> {
    let [replica, counter] = term.as_tuple()? else { return None };
    let counter = read_counter(counter)?;
    Some(Dot { replica: replicas.rank(replica), counter })
}

/// No replica counts so far; a claim near the end of the numbers would leave none for the writes of the one it names.
const ABSURD: u64 = 1 << 59;

fn read_counter(term: &Term) -> Option<u64> {
    counter(term.as_i64()?)
}

pub(super) fn counter(claimed: i64) -> Option<u64> {
    u64::try_from(claimed).ok().filter(|counter| *counter < ABSURD)
}

fn read_dots(set: &Term, replicas: &mut Replicas, flavour: &mut Option<Flavour>) -> Option<Vec<Dot>> {
    let set = is_record(set, MAP_SET)?;
    flavour.get_or_insert_with(|| flavour_of(set));
    set.get_atom("map")?.as_map()?.keys().map(|dot| read_dot(dot, replicas)).collect()
}

pub(super) fn read_claim(term: &Term, replicas: &mut Replicas, flavour: &mut Option<Flavour>) -> Option<Claim> {
    if is_record(term, MAP_SET).is_some() {
        let dots: HashSet<Dot> = read_dots(term, replicas, flavour)?.into_iter().collect();
        return Some(Claim::Set(dots));
    }
    let mut context = Context::default();
    for (replica, counter) in term.as_map()?.iter() {
        let counter = read_counter(counter)?;
        context.raise(Dot { replica: replicas.rank(replica), counter });
    }
    Some(Claim::Map(context))
}

#[expect(clippy::option_option, reason = "a key without elements is legal, and nothing")]
pub(super) fn read_elements(
    term: &Term,
    replicas: &mut Replicas,
    flavour: &mut Option<Flavour>,
) -> Option<Option<Elements>> {
    let mut elements = Vec::new();
    for (element, dots) in term.as_map()?.iter() {
        let [value, stamp] = element.as_tuple()? else { return None };
        let element = Element { value: value.clone(), stamp: stamp.clone().into() };
        elements.push((element, read_dots(dots, replicas, flavour)?));
    }
    Some(Elements::of(elements))
}

/// Whether the process that sent it may say so: a comparison is its originator's, or ours.
pub(super) fn is_from(message: &Message, sender: Option<Pid>, me: Pid) -> bool {
    match (message, sender) {
        (Message::Diff(diff) | Message::GetDiff(diff, _), Some(sender)) => {
            diff.originator == sender || diff.originator == me
        }
        _ => true,
    }
}
