//! Who runs what, as members come and go.

use super::*;
use crate::etf::Encoded;
use crate::horde::Uniform;
use crate::term;
use crate::term::Creation;

fn member(node: &str) -> MemberName {
    MemberName::new("sup", node)
}

fn pid(node: &str, id: u32) -> Pid {
    Pid { node: Atom::new(node), id, serial: 0, creation: Creation(1) }
}

fn caller() -> From {
    let from = Term::tuple([pid("c@h", 9).into(), Term::from(1)]);
    From::parse(&Encoded::new(&from).expect("a term")).expect("a caller")
}

fn state(observer: bool, active: bool) -> State {
    State::new(Settings {
        me: member("me@h"),
        auto: false,
        stays: false,
        observer,
        distribution: Arc::new(Uniform),
        active,
        ttl: None,
        creation: Creation(1),
        sees: Box::new(|node| node == "seen@h"),
        runs: Box::new(|spec| spec.get_atom("start").is_some_and(|start| start.is_atom("runs"))),
    })
}

fn joins(node: &str, status: Status) -> [Diff; 2] {
    let info = Member { name: member(node), status };
    [Diff::Add(member_key(member(node)), 1.into()), Diff::Add(info_key(member(node)), info.term())]
}

/// The first specification of a series that is placed on that node of these.
fn spec_for(node: &str, nodes: &[&str]) -> Map {
    let members: Vec<_> = nodes.iter().map(|node| Member { name: member(node), status: Status::Alive }).collect();
    let spec = |n: i64| [(Term::atom("start"), Term::atom("runs")), (Term::atom("n"), n.into())].into_iter().collect();
    (0..).map(spec).find(|spec: &Map| Uniform.choose(spec, &members) == Ok(member(node))).expect("one of many")
}

fn running(id: i64, node: &str, spec: &Map, pid: Pid) -> Diff {
    Diff::Add(process_key(&id.into()), Term::tuple([member(node).term(), spec.clone().into(), pid.into()]))
}

fn starts(acts: &[Act]) -> usize {
    acts.iter().filter(|act| matches!(act, Act::Start(..))).count()
}

#[test]
fn a_child_is_started_here_or_where_it_belongs() {
    let mut state = state(false, false);
    state.handle_diffs(&[joins("me@h", Status::Alive), joins("b@h", Status::Alive)].concat());
    state.take_acts();
    state.start_child(spec_for("me@h", &["me@h", "b@h"]), 1.into(), caller(), None);
    assert_eq!(starts(&state.take_acts()), 1);
    state.start_child(spec_for("b@h", &["me@h", "b@h"]), 2.into(), caller(), None);
    let acts = state.take_acts();
    assert!(matches!(&acts[..], [Act::Proxy { to, ttl: None, .. }] if *to == member("b@h")), "{acts:?}");
    // The last hop starts it, wherever it belongs.
    state.start_child(spec_for("b@h", &["me@h", "b@h"]), 3.into(), caller(), Some(0));
    assert_eq!(starts(&state.take_acts()), 1);
}

#[test]
fn an_observer_is_not_chosen_and_runs_nothing() {
    let mut state = state(true, false);
    state.publish();
    let own = Member { name: member("me@h"), status: Status::ShuttingDown };
    assert!(matches!(&state.take_acts()[..], [Act::Write(pairs)] if pairs[0].1 == own.term()));
    state.handle_diffs(&[joins("me@h", Status::ShuttingDown), joins("b@h", Status::Alive)].concat());
    state.take_acts();
    state.start_child(spec_for("me@h", &["me@h", "b@h"]), 1.into(), caller(), None);
    assert!(matches!(&state.take_acts()[..], [Act::Proxy { .. }]));
}

#[test]
fn children_of_a_dead_member_are_taken_over_once() {
    let mut state = state(false, false);
    let spec = spec_for("b@h", &["me@h", "b@h"]);
    let child = running(1, "b@h", &spec, pid("b@h", 1));
    state.handle_diffs(&[&joins("me@h", Status::Alive)[..], &joins("b@h", Status::Alive), &[child]].concat());
    state.take_acts();
    state.member_down(member("b@h"));
    assert!(matches!(&state.take_acts()[..], [Act::Write(_)]));
    state.handle_diffs(&joins("b@h", Status::Dead));
    assert_eq!(starts(&state.take_acts()), 1);
    state.handle_diffs(&joins("b@h", Status::Dead));
    assert_eq!(starts(&state.take_acts()), 0);
}

#[test]
fn a_dead_member_whose_node_is_seen_may_object() {
    for objects in [false, true] {
        let mut state = state(false, false);
        let spec = spec_for("seen@h", &["me@h", "seen@h"]);
        let child = running(1, "seen@h", &spec, pid("seen@h", 1));
        state.handle_diffs(&[&joins("me@h", Status::Alive)[..], &joins("seen@h", Status::Dead), &[child]].concat());
        let acts = state.take_acts();
        assert_eq!(starts(&acts), 0);
        assert_eq!(acts.iter().filter(|act| matches!(act, Act::LookAgain)).count(), 1, "{acts:?}");
        if objects {
            state.handle_diffs(&joins("seen@h", Status::Alive));
        }
        state.look_again();
        assert_eq!(starts(&state.take_acts()), usize::from(!objects));
    }
}

#[test]
fn who_was_out_of_sight_and_is_back_is_taken_for_alive() {
    let mut state = state(false, false);
    let members = [joins("me@h", Status::Alive), joins("b@h", Status::Dead), joins("c@h", Status::Dead)];
    state.handle_diffs(&members.concat());
    state.take_acts();
    state.node_up(Atom::new("b@h"));
    let acts = state.take_acts();
    let written = |member: &str, status| {
        let info = Member { name: self::member(member), status };
        acts.iter().any(|act| matches!(act, Act::Write(pairs) if pairs[0] == (info_key(info.name), info.term())))
    };
    assert!(written("me@h", Status::Alive) && written("b@h", Status::Alive), "{acts:?}");
    // The other may be back a moment later: its children are left alone until then.
    let spec = spec_for("c@h", &["me@h", "c@h"]);
    state.handle_diffs(&joins("b@h", Status::Dead));
    state.take_acts();
    state.handle_diffs(&[&[running(1, "c@h", &spec, pid("c@h", 1))][..], &joins("me@h", Status::Alive)].concat());
    assert_eq!(starts(&state.take_acts()), 0);
    state.look_again();
    assert_eq!(starts(&state.take_acts()), 1);
    // One that was never lost is not written about.
    state.node_up(Atom::new("d@h"));
    assert!(state.take_acts().is_empty());
}

#[test]
fn a_dead_members_child_that_cannot_run_here_is_kept() {
    let mut state = state(false, false);
    let mut spec = spec_for("b@h", &["me@h", "b@h"]);
    spec.insert(Term::atom("start"), Term::atom("other"));
    let child = running(1, "b@h", &spec, pid("b@h", 1));
    state.handle_diffs(&[&joins("me@h", Status::Alive)[..], &joins("b@h", Status::Dead), &[child]].concat());
    let acts = state.take_acts();
    assert_eq!(starts(&acts), 0);
    assert!(!acts.iter().any(|act| matches!(act, Act::Drop(_))), "{acts:?}");
}

#[test]
fn children_move_to_where_they_belong_if_that_is_wanted() {
    for active in [false, true] {
        let mut state = state(false, active);
        let spec = spec_for("b@h", &["me@h", "b@h"]);
        let ours = pid("me@h", 1);
        state.handle_diffs(&[&joins("me@h", Status::Alive)[..], &[running(1, "me@h", &spec, ours)]].concat());
        state.take_acts();
        state.handle_diffs(&joins("b@h", Status::Alive));
        let moved = state.take_acts().iter().any(|act| matches!(act, Act::HandOver(pid) if *pid == ours));
        assert_eq!(moved, active);
    }
}

#[test]
fn a_child_that_was_given_up_is_started_by_the_one_chosen() {
    let mut state = state(false, false);
    state.handle_diffs(&[joins("me@h", Status::Alive), joins("b@h", Status::Alive)].concat());
    state.take_acts();
    let given_up =
        |id: i64, spec: &Map| Diff::Add(process_key(&id.into()), Term::tuple([term!(nil), spec.clone().into()]));
    let (ours, theirs) = (spec_for("me@h", &["me@h", "b@h"]), spec_for("b@h", &["me@h", "b@h"]));
    state.handle_diffs(&[given_up(1, &ours), given_up(2, &theirs)]);
    assert_eq!(starts(&state.take_acts()), 1);
    // The other goes before it has started its own.
    state.handle_diffs(&joins("b@h", Status::Dead));
    assert_eq!(starts(&state.take_acts()), 1);
}

#[test]
fn a_child_that_runs_elsewhere_too_is_ended_here() {
    let mut state = state(false, false);
    state.handle_diffs(&[joins("me@h", Status::Alive), joins("b@h", Status::Alive)].concat());
    let mut spec = spec_for("me@h", &["me@h", "b@h"]);
    spec.insert(Term::atom("id"), 1.into());
    let ours = pid("me@h", 1);
    let discarded = |acts: &[Act]| acts.iter().any(|act| matches!(act, Act::Discard(pid) if *pid == ours));
    state.child_started(&spec, ours);
    state.handle_diffs(&[running(1, "me@h", &spec, ours)]);
    assert!(!discarded(&state.take_acts()));
    state.handle_diffs(&[running(1, "b@h", &spec, pid("b@h", 1))]);
    assert!(discarded(&state.take_acts()));
    // Ended by another member, which took it over or was told to end it.
    state.child_started(&spec, ours);
    state.handle_diffs(&[running(1, "me@h", &spec, ours), Diff::Remove(process_key(&1.into()))]);
    assert!(discarded(&state.take_acts()));
    // Given up by one that had it too, it is claimed again.
    state.child_started(&spec, ours);
    state.take_acts();
    state.handle_diffs(&[Diff::Add(process_key(&1.into()), Term::tuple([term!(nil), spec.clone().into()]))]);
    assert!(matches!(&state.take_acts()[..], [Act::Write(_)]));
}

#[test]
fn a_child_of_a_former_life_is_started_again() {
    let mut state = state(false, false);
    let spec = spec_for("me@h", &["me@h"]);
    let old = Pid { creation: Creation(9), ..pid("me@h", 1) };
    state.handle_diffs(&[&joins("me@h", Status::Alive)[..], &[running(1, "me@h", &spec, old)]].concat());
    assert_eq!(starts(&state.take_acts()), 1);
}

#[test]
fn who_is_said_to_be_dead_says_that_it_lives() {
    let mut state = state(false, false);
    state.handle_diffs(&joins("me@h", Status::Dead));
    let own = Member { name: member("me@h"), status: Status::Alive };
    let acts = state.take_acts();
    assert!(acts.iter().any(|act| matches!(act, Act::Write(pairs) if pairs[0].1 == own.term())), "{acts:?}");
}

#[test]
fn who_shuts_down_gives_up_its_children_and_takes_none() {
    let mut state = state(false, false);
    state.handle_diffs(&joins("me@h", Status::Alive));
    state.take_acts();
    state.shut_down();
    assert!(matches!(&state.take_acts()[..], [Act::Write(_), Act::GiveUpAll]));
    state.start_child(Map::new(), 1.into(), caller(), None);
    assert!(matches!(&state.take_acts()[..], [Act::Reply(..)]));
}

#[test]
fn unknown_children_are_not_found() {
    let mut state = state(false, false);
    state.terminate_child(pid("b@h", 1), caller(), None);
    let acts = state.take_acts();
    assert!(matches!(&acts[..], [Act::Reply(_, why)] if *why == term!({:error, :not_found})), "{acts:?}");
}
