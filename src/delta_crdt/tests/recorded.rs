//! What replicas of Elixir said to each other, on OTP 25 and 27: every state, tree, cut, comparison and answer is ours too.

use std::collections::HashMap;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::crdt::{Claim, Context, Data, Flavour, Loc, Message, State, Step, Tree, View};
use crate::delta_crdt::wire;
use crate::etf;
use crate::term::{Map, Term};

fn lines(name: &str) -> Vec<Value> {
    let path = format!("{}/erlang-fixtures/vectors/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn term(hex: &str) -> Term {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    etf::decode(&Bytes::from(bytes)).unwrap()
}

/// A state that holds what a recorded `%AWLWWMap{}` holds.
fn state(crdt: &Term) -> State {
    let mut state = State::new(&Term::from(9_000_000_000_u64), 0);
    let keys: Vec<Term> = crdt.as_map().unwrap().get_atom("value").unwrap().as_map().unwrap().keys().cloned().collect();
    let message = Term::tuple([Term::atom("diff"), crdt.clone(), Term::list(keys)]);
    let Message::Data(data) = wire::read(&message, &mut state.replicas).unwrap().message else { panic!("no data") };
    for (key, elements) in &data.keys {
        state.join_key(key, elements.clone(), &data.dots, 0);
    }
    state.take_context(&data.dots);
    state.update_hashes();
    state
}

fn view(state: &State, flavour: Flavour) -> View<'_> {
    View { map: &state.map, replicas: &state.replicas, flavour, at_once: false }
}

/// The message, with the keys of its data named once: Elixir names some twice.
fn each_once(message: &Term) -> Term {
    let Some([tag, state, keys]) = message.as_tuple() else { return message.clone() };
    let (true, Some(list)) = (tag.is_atom("diff"), keys.as_list()) else { return message.clone() };
    let mut seen = hashbrown::HashSet::new();
    let keys = list.iter().map(std::borrow::Cow::into_owned).filter(|key| seen.insert(key.clone()));
    Term::tuple([tag.clone(), state.clone(), Term::list(keys.collect::<Vec<_>>())])
}

#[derive(Default)]
struct Checked {
    states: usize,
    messages: usize,
    comparisons: usize,
    answers: usize,
}

fn replay(scenario: &str, release: &str, flavour: Flavour) -> Checked {
    let mut checked = Checked::default();
    let mut states: HashMap<String, State> = HashMap::new();
    let mut last = None;
    let truncated = (scenario == "truncation").then_some(200);
    for line in lines(&format!("deltacrdt-{release}-{scenario}")) {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let (dir, from, to) = (text("dir"), text("from"), text("to"));
        if text("etf_hex").is_empty() {
            continue;
        }
        let message = term(&text("etf_hex"));
        if dir == "note" {
            let Some(name) =
                text("text").strip_prefix("state of ").map(|rest| rest.split(':').next().unwrap().to_owned())
            else {
                continue;
            };
            let [_, crdt, tree, read] = message.as_tuple().unwrap() else { panic!("a state is four things") };
            let state = state(crdt);
            let tree = tree.as_map().unwrap().get_atom("tree").unwrap();
            assert_eq!(view(&state, flavour).cut(Loc::ROOT, 32).term(), *tree, "{scenario}: the tree of {name}");
            let pairs = state.map.iter().map(|(key, elements)| (key.clone(), elements.value().clone()));
            assert_eq!(
                Term::Map(Map::try_from_pairs(pairs.collect()).unwrap()),
                *read,
                "{scenario}: what {name} reads"
            );
            states.insert(name.chars().last().unwrap().to_string(), state);
            checked.states += 1;
            continue;
        }
        if message.as_tuple().is_some_and(|tuple| tuple[0].is_atom("$gen_call")) {
            states.remove(&to.trim_start_matches(":crdt_").chars().next().unwrap().to_string());
            continue;
        }
        let from = from.chars().next().unwrap().to_string();
        let mut scratch = State::new(&Term::from(1), 0);
        let replicas = states.get_mut(&from).map_or(&mut scratch.replicas, |state| &mut state.replicas);
        let Some(read) = wire::read(&message, replicas) else { continue };
        if !text("text").contains("keys: %") {
            let written = wire::term(&read.message, replicas, flavour);
            assert!(written == each_once(&message), "{scenario} {}: read and written", line["seq"]);
        }
        if let Some(seen) = read.flavour {
            assert_eq!(seen, flavour, "{scenario} {}", line["seq"]);
        }
        checked.messages += 1;
        match read.message {
            Message::Diff(diff) => {
                let continuation = diff.continuation.unwrap();
                let begins = continuation.keys.is_empty() && matches!(&continuation.trees[..], [(Loc::ROOT, _)]);
                if begins && Term::Pid(diff.originator) == diff.from {
                    if let Some(state) = states.get(&from) {
                        let cut = view(state, flavour).cut(Loc::ROOT, 8);
                        assert_eq!(
                            continuation.trees,
                            vec![(Loc::ROOT, cut)],
                            "{scenario} {}: the first cut",
                            line["seq"]
                        );
                        checked.comparisons += 1;
                    }
                } else if let (Some(last), Some(state)) = (&last, states.get(&from)) {
                    let Step::Continue(mut ours) = view(state, flavour).go_on(last, 8) else { panic!("it goes on") };
                    if let Some(most) = truncated {
                        ours.keys.truncate(most);
                        ours.trees.truncate(most - ours.keys.len());
                    }
                    assert_eq!(ours, continuation, "{scenario} {}", line["seq"]);
                    checked.comparisons += 1;
                }
                last = Some(continuation);
            }
            Message::GetDiff(_, keys) => {
                if let (Some(last), Some(state)) = (&last, states.get(&from)) {
                    let Step::Keys(mut ours) = view(state, flavour).go_on(last, 8) else { panic!("it ends") };
                    ours.truncate(truncated.unwrap_or(usize::MAX));
                    assert_eq!(ours, keys, "{scenario} {}", line["seq"]);
                    checked.comparisons += 1;
                }
            }
            Message::Data(Data { dots, keys }) => {
                if let Some(state) = states.get(&from) {
                    let same = keys.iter().all(|(key, elements)| match (state.map.get(key), elements) {
                        (Some(ours), Some(theirs)) => ours.same(theirs),
                        (ours, theirs) => ours.is_none() && theirs.is_none(),
                    });
                    assert!(same, "{scenario} {}: what is answered", line["seq"]);
                    assert!(matches!(&dots, Claim::Map(claimed) if state.context.covers(claimed)), "{scenario}");
                    checked.answers += 1;
                }
                states.remove(if from == "a" { "b" } else { "a" });
                last = None;
            }
            Message::Ack(_) => {}
        }
    }
    checked
}

#[test]
fn every_recorded_exchange_is_ours() {
    let scenarios = [
        "a100",
        "concurrent_adds",
        "diverged1000",
        "empty_empty",
        "fake_neighbour",
        "horde",
        "neighbour_dies",
        "one_key",
        "overwrite_remove",
        "remove_vs_add",
        "storage_restart",
        "truncation",
    ];
    let mut all = Checked::default();
    for (release, flavour) in [("otp25", Flavour::Versioned), ("otp27", Flavour::Plain)] {
        for scenario in scenarios {
            let Checked { states, messages, comparisons, answers } = replay(scenario, release, flavour);
            all.states += states;
            all.messages += messages;
            all.comparisons += comparisons;
            all.answers += answers;
        }
    }
    assert!(all.states >= 40 && all.messages >= 300, "{} states, {} messages", all.states, all.messages);
    assert!(all.comparisons >= 40 && all.answers >= 10, "{} comparisons, {} answers", all.comparisons, all.answers);
}

/// The shape of a tree: places only.
fn shape(tree: &Tree) -> String {
    match tree {
        Tree::Empty => "-".into(),
        Tree::Partial(_) => "?".into(),
        Tree::Leaf { place, contents, .. } => format!("{place:08x}x{}", contents.len()),
        Tree::Inner { sides, .. } => format!("({} {})", shape(&sides[0]), shape(&sides[1])),
    }
}

#[test]
fn trees_have_the_shapes_of_merkle_map() {
    let mut trees = 0;
    for release in ["otp25", "otp27"] {
        for line in lines(&format!("merkle-{release}")).into_iter().filter(|line| line["kind"] == "merkle") {
            let tree = Tree::from_term(&term(line["tree_hex"].as_str().unwrap()), 0).unwrap();
            let mut state = State::new(&Term::from(1), 0);
            let mut keys = Vec::new();
            fn collect(tree: &Tree, keys: &mut Vec<Term>) {
                match tree {
                    Tree::Leaf { contents, .. } => keys.extend(contents.keys().cloned()),
                    Tree::Inner { sides, .. } => sides.iter().for_each(|side| collect(side, keys)),
                    Tree::Empty | Tree::Partial(_) => {}
                }
            }
            collect(&tree, &mut keys);
            // What was there before and is gone leaves no trace.
            for n in 0..500 {
                state.add(&Term::tuple([Term::atom("passing"), Term::from(n)]), Term::nil(), 0);
            }
            keys.iter().for_each(|key| drop(state.add(key, Term::from(0), 0)));
            for n in 0..500 {
                state.remove(&Term::tuple([Term::atom("passing"), Term::from(n)]));
            }
            state.update_hashes();
            assert_eq!(shape(&view(&state, Flavour::Plain).cut(Loc::ROOT, 32)), shape(&tree), "{}", line["case"]);
            trees += 1;
        }
    }
    assert_eq!(trees, 14);
}

#[test]
fn a_leaf_hashes_as_both_layouts_do() {
    let element = Term::tuple([Term::binary("v"), Term::from(-576_460_752_303_423_000_i64)]);
    let dot = Term::tuple([Term::from(1001), Term::from(1)]);
    let set = crate::crdt::map_set(vec![(dot, Term::nil())], Flavour::Plain);
    let value = crate::crdt::map(vec![(element, set)]);
    let crdt = crate::crdt::map(vec![
        (Term::atom("__struct__"), Term::atom("Elixir.DeltaCrdt.AWLWWMap")),
        (Term::atom("dots"), crate::crdt::map(vec![(Term::from(1001), Term::from(1))])),
        (Term::atom("value"), crate::crdt::map(vec![(Term::binary("k"), value)])),
    ]);
    let state = state(&crdt);
    assert_eq!(state.map.root_hash(Flavour::Plain), Some(1_243_031_172));
    assert_eq!(state.map.root_hash(Flavour::Versioned), Some(3_940_815_369));
    assert_eq!(state.context.iter().count(), 1);
    assert!(Context::default().iter().next().is_none());
}

#[test]
fn what_no_replica_sends_is_refused_whole() {
    let mut state = State::new(&Term::from(1), 0);
    let lines = lines("deltacrdt-otp27-one_key");
    let messages =
        lines.iter().filter(|line| line["dir"] == "send").map(|line| term(line["etf_hex"].as_str().unwrap()));
    let mut refused = 0;
    for message in messages {
        for damaged in damage(&message) {
            if wire::read(&damaged, &mut state.replicas).is_none() {
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// The message with each part in turn replaced by something else.
fn damage(term: &Term) -> Vec<Term> {
    let mut all = vec![Term::from(7), Term::atom("nil"), Term::nil(), Term::binary("junk")];
    match term {
        Term::Tuple(items) => {
            for (at, item) in items.iter().enumerate() {
                for damaged in damage(item) {
                    let mut copy = items.to_vec();
                    copy[at] = damaged;
                    all.push(Term::tuple(copy));
                }
            }
        }
        Term::Map(map) => {
            for (key, value) in map.iter() {
                for damaged in damage(value) {
                    let mut copy = map.clone();
                    copy.insert(key.clone(), damaged);
                    all.push(Term::Map(copy));
                }
                let mut copy = map.clone();
                copy.remove(key);
                all.push(Term::Map(copy));
            }
        }
        Term::List(list) if !list.is_empty() => {
            let items: Vec<Term> = list.iter().map(std::borrow::Cow::into_owned).collect();
            for damaged in damage(&items[0]) {
                all.push(Term::list(vec![damaged]));
            }
            all.push(crate::term::List::improper(items, Term::from(1)));
        }
        _ => {}
    }
    all
}
