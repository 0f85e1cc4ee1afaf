//! Simulated clusters: tables converge, locks exclude, nobody hangs.

mod world;

use proptest::prelude::*;

use self::world::{Event, World};

fn events(nodes: usize) -> impl Strategy<Value = Vec<Event>> {
    let (at, name, process) = (0..nodes, 0..3_u32, 0..4_u32);
    let pair = || (0..nodes, 0..nodes);
    let event = prop_oneof![
        4 => (at.clone(), name.clone(), process.clone(), any::<bool>())
            .prop_map(|(at, name, process, replace)| Event::Register { at, name, process, replace }),
        1 => (at.clone(), name).prop_map(|(at, name)| Event::Unregister { at, name }),
        1 => (at.clone(), process).prop_map(|(at, process)| Event::Die { at, process }),
        1 => at.prop_map(|at| Event::Lock { at }),
        3 => pair().prop_map(|(one, two)| Event::Connect { one, two }),
        1 => pair().prop_map(|(one, two)| Event::Cut { one, two }),
        1 => pair().prop_map(|(one, two)| Event::Block { one, two }),
        1 => pair().prop_map(|(one, two)| Event::Unblock { one, two }),
        8 => (1..40_usize).prop_map(Event::Run),
        1 => Just(Event::Settle),
    ];
    prop::collection::vec(event, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The cluster comes to rest after each thing that happens.
    #[test]
    fn each_failure_heals(
        (nodes, events) in (2..=5_usize).prop_flat_map(|nodes| (Just(nodes), events(nodes))),
        seed in any::<u64>(),
        guards in any::<bool>(),
    ) {
        let mut world = World::new(nodes, seed, guards);
        for event in &events {
            world.happen(event);
            world.settle();
        }
    }

    #[test]
    fn what_is_lost_and_made_again_at_once_comes_to_rest(
        (nodes, events) in (2..=5_usize).prop_flat_map(|nodes| (Just(nodes), events(nodes))),
        seed in any::<u64>(),
        guards in any::<bool>(),
    ) {
        let mut world = World::new(nodes, seed, guards);
        events.iter().for_each(|event| world.happen(event));
        world.come_to_rest();
    }

    #[test]
    #[ignore = "known to fail: lost while names are registered, tables can differ; seldom an in_sync is lost and one hangs"]
    fn tables_converge_and_nobody_hangs(
        (nodes, events) in (2..=5_usize).prop_flat_map(|nodes| (Just(nodes), events(nodes))),
        seed in any::<u64>(),
        guards in any::<bool>(),
    ) {
        let mut world = World::new(nodes, seed, guards);
        events.iter().for_each(|event| world.happen(event));
        world.settle();
    }

    #[test]
    fn locks_exclude(nodes in 2..=5_usize, rounds in 1..8_usize, seed in any::<u64>()) {
        let mut world = World::new(nodes, seed, true);
        world.settle();
        for at in (0..nodes).cycle().take(nodes * rounds) {
            world.happen(&Event::Lock { at });
        }
        world.settle();
        prop_assert_eq!((world.locked, world.most_at_once), (nodes * rounds, 1));
    }
}

#[test]
fn names_of_before_and_after_are_everywhere() {
    let mut world = World::new(3, 1, true);
    world.happen(&Event::Register { at: 0, name: 0, process: 0, replace: false });
    world.happen(&Event::Run(1000));
    assert_eq!((world.names(0), world.names(2)), (1, 0));
    world.settle();
    world.happen(&Event::Register { at: 2, name: 1, process: 0, replace: false });
    world.settle();
    assert_eq!((world.names(0), world.names(1), world.names(2)), (2, 2, 2));
    world.happen(&Event::Die { at: 0, process: 0 });
    world.settle();
    assert_eq!((world.names(0), world.names(1), world.names(2)), (1, 1, 1));
}
