use std::collections::HashSet;

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::etf::decode;
use crate::term;

const SUPERVISOR: &str = "Elixir.LabSup";

fn name(i: u64) -> MemberName {
    MemberName::new(SUPERVISOR, format!("lab_n{i}@127.0.0.1").as_str())
}

fn members(statuses: &[Status]) -> Vec<Member> {
    (1..).zip(statuses).map(|(i, status)| Member { name: name(i), status: *status }).collect()
}

fn lines(release: u32) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/erlang-fixtures/vectors");
    let text = std::fs::read_to_string(format!("{folder}/horde-choose-otp{release}.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn spec(line: &Value) -> Map {
    let hex = line["spec_hex"].as_str().unwrap().as_bytes();
    let bytes = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    let Term::Map(spec) = decode(&bytes.collect::<Bytes>()).unwrap() else { panic!("{line} is no map") };
    spec
}

#[test]
fn children_are_placed_as_elixir_places_them() {
    for release in [25, 27] {
        let placed: Vec<_> = lines(release).into_iter().filter(|line| line["kind"] == "uniform").collect();
        assert_eq!(placed.len(), 200);
        for line in placed {
            let spec = spec(&line);
            assert_eq!(Some(u64::from(identifier(&spec))), line["identifier"].as_u64(), "{line}");
            let count = usize::try_from(line["n"].as_u64().unwrap()).unwrap();
            let mut members = members(&vec![Status::Alive; count]);
            members.reverse();
            let chosen = Uniform.choose(&spec, &members).unwrap();
            assert_eq!(Some(chosen.node.as_str()), line["chosen"].as_str(), "{line}");
            assert_eq!(UniformQuorum.choose(&spec, &members), Ok(chosen));
        }
    }
}

#[test]
fn the_ring_has_elixirs_points() {
    for release in [25, 27] {
        let line = lines(release).into_iter().find(|line| line["kind"] == "ring3").unwrap();
        let ours: Vec<Value> = Ring::new((1..=3).map(name))
            .points()
            .take(10)
            .map(|(point, member)| serde_json::json!([point, member.node.as_str()]))
            .collect();
        assert_eq!(Value::from(ours), line["first10"]);
    }
}

#[test]
fn quorums_are_elixirs() {
    use Status::{Alive, Dead, ShuttingDown, Uninitialized};
    let case = |name: &str| match name {
        "2of4" => members(&[Alive, Alive, Dead, Dead]),
        "1of3" => members(&[Alive, Dead, Dead]),
        "2alive1shutting" => members(&[Alive, Alive, ShuttingDown]),
        "2: first alive" => members(&[Alive, Dead]),
        "2: second alive" => members(&[Dead, Alive]),
        "1alive2uninit" => members(&[Alive, Uninitialized, Uninitialized]),
        "only shutting" => members(&[ShuttingDown]),
        other => panic!("an unknown case: {other}"),
    };
    for release in [25, 27] {
        let cases: Vec<_> = lines(release).into_iter().filter(|line| line["kind"] == "quorum").collect();
        assert_eq!(cases.len(), 7);
        for line in cases {
            // Elixir's `nil` of a supervisor that only shuts down is as false as its `false`.
            let expected = line["has_quorum"] == "true";
            assert_eq!(UniformQuorum.has_quorum(&case(line["case"].as_str().unwrap())), expected, "{line}");
        }
    }
}

#[test]
fn nobody_is_chosen_where_nobody_is_alive_or_the_quorum_is_lost() {
    let spec = Map::default();
    let gone = members(&[Status::Dead, Status::ShuttingDown, Status::Uninitialized]);
    assert_eq!(Uniform.choose(&spec, &gone), Err(NoMember::NoAliveNodes));
    assert_eq!(UniformRandom.choose(&spec, &gone), Err(NoMember::NoAliveNodes));
    assert_eq!(UniformQuorum.choose(&spec, &gone), Err(NoMember::QuorumNotMet));
    assert_eq!(UniformQuorum.choose(&spec, &[]), Err(NoMember::QuorumNotMet));
    assert_eq!(NoMember::QuorumNotMet.term(), term!(:quorum_not_met));
}

#[test]
fn random_placement_takes_each_living_member_and_no_other() {
    let members = members(&[Status::Alive, Status::Dead, Status::Alive]);
    let chosen: HashSet<_> = (0..200).map(|_| UniformRandom.choose(&Map::default(), &members).unwrap()).collect();
    assert_eq!(chosen, HashSet::from([name(1), name(3)]));
}

#[test]
fn most_children_stay_where_they_are_when_a_member_joins() {
    let (three, four) = (Ring::new((1..=3).map(name)), Ring::new((1..=4).map(name)));
    for key in 0..1000_u32 {
        let (before, after) = (three.owner(&key.into()), four.owner(&key.into()));
        assert!(before == after || after == Some(name(4)), "{key} went from {before:?} to {after:?}");
    }
}

#[test]
fn each_child_goes_to_a_member_that_can_run_it() {
    let member = |node: &str, status| Member { name: MemberName::new(SUPERVISOR, node), status };
    let spec = |module: &str, n: i64| {
        let Term::Map(spec) = term!(%{id: 1, start: {(Term::atom(module)), :start_link, [n]}}) else { unreachable!() };
        spec
    };
    let strategy = Hybrid::new("rust", ["Elixir.Native"]).both(["Elixir.Any"]);
    let mut members = vec![
        member("rust1@h", Status::Alive),
        member("beam1@h", Status::Alive),
        member("rust2@h", Status::Alive),
        member("beam2@h", Status::Dead),
    ];
    let places = |module: &str, members: &[Member]| -> HashSet<&str> {
        (0..50).map(|n| strategy.choose(&spec(module, n), members).unwrap().node.as_str()).collect()
    };
    assert_eq!(places("Elixir.Native", &members), HashSet::from(["rust1@h", "rust2@h"]));
    assert_eq!(places("Elixir.Other", &members), HashSet::from(["beam1@h"]));
    assert_eq!(places("Elixir.Any", &members), HashSet::from(["rust1@h", "rust2@h", "beam1@h"]));
    members[1].status = Status::ShuttingDown;
    let nobody = strategy.choose(&spec("Elixir.Other", 1), &members).unwrap_err();
    assert_eq!(nobody.term(), term!({:no_member_runs, :"Elixir.Other"}));
    assert_eq!(strategy.choose(&spec("Elixir.Any", 1), &members[3..]), Err(NoMember::NoAliveNodes));
}
