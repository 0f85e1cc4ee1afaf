//! Members, keys and what is lost and found again.

use super::*;
use crate::term;
use crate::term::Creation;

const ME: &str = "me@h";

fn member(node: &str) -> MemberName {
    MemberName::new("reg", node)
}

fn pid(node: &str, id: u32) -> Pid {
    Pid { node: Atom::new(node), id, serial: 0, creation: Creation(7) }
}

fn joined(node: &str) -> Diff {
    Diff::Add(member_key(member(node)), 1.into())
}

fn left(node: &str) -> Diff {
    Diff::Remove(member_key(member(node)))
}

fn registered(key: &str, node: &str, pid: Pid, value: i64) -> Diff {
    Diff::Add(key_term(&key.into()), entry_term(member(node), pid, value.into()))
}

fn removed(key: &str) -> Diff {
    Diff::Remove(key_term(&key.into()))
}

fn with_members(stays: bool) -> State {
    let mut state = State::new(member(ME), false, stays);
    state.handle_diffs(&[joined(ME), joined("b@h")], 0);
    state.take_acts();
    state
}

/// All but what listeners are told.
fn acts(state: &mut State) -> Vec<Act> {
    state.take_acts().into_iter().filter(|act| !matches!(act, Act::Tell(_))).collect()
}

fn write(key: &str, pid: Pid, value: i64) -> Act {
    Act::Write(vec![(key_term(&key.into()), entry_term(member(ME), pid, value.into()))])
}

#[test]
fn members_are_neighbours_but_not_the_member_itself() {
    let mut state = State::new(member(ME), false, false);
    state.handle_diffs(&[joined(ME), joined("b@h")], 0);
    assert_eq!(acts(&mut state), [Act::Neighbours(vec![member("b@h")])]);
    assert_eq!(state.members().count(), 2);
    state.handle_diffs(&[joined("b@h")], 0);
    assert_eq!(acts(&mut state), []);
}

#[test]
fn the_owners_member_watches_and_frees_the_name() {
    let mut state = with_members(false);
    let (ours, theirs) = (pid(ME, 1), pid("b@h", 1));
    state.handle_diffs(&[registered("a", ME, ours, 1), registered("b", "b@h", theirs, 2)], 0);
    assert_eq!(acts(&mut state), [Act::Watch(ours)]);
    assert_eq!(state.lookup(&"b".into()).map(|entry| entry.pid), Some(theirs));
    state.process_down(ours);
    assert_eq!(acts(&mut state), [Act::Drop(vec![key_term(&"a".into())])]);
    assert_eq!(state.entries().len(), 1);
}

#[test]
fn keys_of_no_member_are_hidden() {
    let mut state = with_members(false);
    state.handle_diffs(&[registered("c", "c@h", pid("c@h", 1), 1)], 0);
    assert_eq!(state.lookup(&"c".into()), None);
    assert!(state.entry(&"c".into()).is_some());
}

#[test]
fn the_keys_of_a_member_go_with_it() {
    let mut state = with_members(false);
    state.handle_diffs(&[registered("b", "b@h", pid("b@h", 1), 1), left("b@h")], 0);
    state.handle_diffs(&[left("b@h")], 0);
    let theirs = pid("b@h", 1);
    assert_eq!(acts(&mut state), [Act::Drop(vec![key_term(&"b".into())]), Act::Unwatch(theirs)]);
    assert_eq!(state.entries().len(), 0);
    assert_eq!(state.keys_of(pid("b@h", 1)), []);
}

#[test]
fn the_loser_of_a_conflict_is_told_at_once_here_and_later_elsewhere() {
    let mut state = with_members(false);
    let (ours, theirs) = (pid(ME, 1), pid("b@h", 1));
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    acts(&mut state);
    state.handle_diffs(&[registered("k", "b@h", theirs, 2)], 0);
    let why = term!({:name_conflict, {"k", 1}, :reg, theirs});
    assert_eq!(acts(&mut state), [Act::Unwatch(ours), Act::Exit(ours, why)]);
    assert_eq!(state.keys_of(ours), []);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    let why = term!({:name_conflict, {"k", 2}, :reg, ours});
    let loser = Entry { member: member("b@h"), pid: theirs, value: 2.into() };
    let [Act::Watch(_), Act::Unwatch(_), contest] = &acts(&mut state)[..] else { panic!() };
    assert_eq!(*contest, Act::Contest { key: "k".into(), loser, reason: why });
}

#[test]
fn a_new_value_is_no_conflict() {
    let mut state = with_members(false);
    let ours = pid(ME, 1);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    state.handle_diffs(&[registered("k", ME, ours, 2)], 0);
    assert_eq!(acts(&mut state), [Act::Watch(ours), Act::Watch(ours)]);
    assert_eq!(state.keys_of(ours), [Term::from("k")]);
}

#[test]
fn who_is_removed_and_stays_comes_back_with_its_names() {
    let mut state = with_members(true);
    let ours = pid(ME, 1);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    acts(&mut state);
    // In whatever order the map tells of it.
    state.handle_diffs(&[removed("k"), left(ME)], 0);
    let back = Act::Write(vec![(member_key(member(ME)), 1.into())]);
    assert_eq!(acts(&mut state), [back, write("k", ours, 1)]);
    // Another member's drop comes late.
    state.handle_diffs(&[joined(ME), registered("k", ME, ours, 1)], 1);
    acts(&mut state);
    state.handle_diffs(&[removed("k")], 2);
    assert_eq!(acts(&mut state), [write("k", ours, 1)]);
}

#[test]
fn who_was_made_a_member_by_others_comes_back_when_they_say_so() {
    let mut state = with_members(false);
    let ours = pid(ME, 1);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    acts(&mut state);
    state.handle_diffs(&[left(ME)], 0);
    assert_eq!(acts(&mut state), [Act::Drop(vec![key_term(&"k".into())])]);
    assert_eq!(state.lookup(&"k".into()), None);
    state.handle_diffs(&[joined(ME)], 1);
    assert_eq!(acts(&mut state), [Act::Neighbours(vec![member("b@h")]), write("k", ours, 1)]);
}

#[test]
fn a_name_that_another_took_meanwhile_is_lost() {
    let mut state = with_members(false);
    let (ours, theirs) = (pid(ME, 1), pid("b@h", 1));
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    state.handle_diffs(&[left(ME)], 0);
    acts(&mut state);
    state.handle_diffs(&[joined(ME), registered("k", "b@h", theirs, 2)], 1);
    let why = term!({:name_conflict, {"k", 1}, :reg, theirs});
    assert_eq!(acts(&mut state), [Act::Neighbours(vec![member("b@h")]), Act::Exit(ours, why)]);
}

#[test]
fn a_peers_removal_of_a_name_is_obeyed_unless_a_partition_explains_it() {
    let mut state = with_members(true);
    let ours = pid(ME, 1);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    acts(&mut state);
    state.handle_diffs(&[removed("k")], 1);
    assert_eq!(acts(&mut state), [Act::Unwatch(ours)]);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 2);
    acts(&mut state);
    state.node_down(Atom::new("b@h"), 100);
    state.node_up(Atom::new("b@h"), 200);
    state.handle_diffs(&[removed("k")], 300);
    assert_eq!(acts(&mut state), [write("k", ours, 1)]);
}

#[test]
fn a_name_given_back_is_not_restored() {
    let mut state = with_members(true);
    let ours = pid(ME, 1);
    state.handle_diffs(&[registered("k", ME, ours, 1)], 0);
    acts(&mut state);
    state.node_down(Atom::new("b@h"), 100);
    state.unregistered(&"k".into());
    state.handle_diffs(&[removed("k")], 101);
    assert_eq!(acts(&mut state), [Act::Unwatch(ours)]);
}

#[test]
fn visible_nodes_are_members_where_that_was_asked_for() {
    let mut state = State::new(member(ME), true, true);
    state.handle_diffs(&[joined(ME), joined("b@h")], 0);
    acts(&mut state);
    state.node_up(Atom::new("c@h"), 0);
    state.node_down(Atom::new("b@h"), 0);
    let gone = Act::Drop(vec![member_key(member("b@h"))]);
    assert_eq!(acts(&mut state), [Act::Join(Atom::new("c@h")), gone, Act::Neighbours(vec![])]);
    state.node_down(Atom::new("d@h"), 0);
    assert_eq!(acts(&mut state), []);
}

#[test]
fn set_members_means_these_and_no_others() {
    let mut state = with_members(true);
    state.set_members(&[member(ME), member("c@h")]);
    let expected = [
        Act::Drop(vec![member_key(member("b@h"))]),
        Act::Write(vec![(member_key(member("c@h")), 1.into())]),
        Act::Neighbours(vec![member("c@h")]),
    ];
    assert_eq!(acts(&mut state), expected);
    // Who removes itself means it.
    state.set_members(&[member("b@h")]);
    state.handle_diffs(&[left(ME)], 0);
    let acts = acts(&mut state);
    assert!(!acts.contains(&Act::Write(vec![(member_key(member(ME)), 1.into())])), "{acts:?}");
}

#[test]
fn junk_in_the_map_is_passed_over() {
    let mut state = with_members(false);
    let junk = [
        Diff::Add(term!(:x), term!(1)),
        Diff::Add(term!({:member, :bare}), term!(1)),
        Diff::Add(term!({:member, {:reg, :"x@h"}}), term!(2)),
        Diff::Add(term!({:key, "k"}), term!({:reg, 1, 2})),
        Diff::Add(term!({:key, "k"}), term!(:x)),
        Diff::Remove(term!({:key, "nothing"})),
    ];
    state.handle_diffs(&junk, 0);
    assert_eq!((acts(&mut state), state.entries().len(), state.members().count()), (vec![], 0, 2));
}

#[test]
fn whoever_leaves_frees_its_names() {
    let mut state = with_members(true);
    state.handle_diffs(&[registered("k", ME, pid(ME, 1), 1), registered("b", "b@h", pid("b@h", 1), 1)], 0);
    assert!(!state.has_left());
    assert_eq!(state.leave(), [key_term(&"k".into())]);
    assert!(state.has_left());
}
