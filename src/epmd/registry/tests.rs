use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const NOW: u32 = 1_700_000_000;

fn registry() -> Registry {
    Registry::new(100, 3)
}

fn add(registry: &mut Registry, name: &str) -> (Slot, u32) {
    registry.register(Registration::new(name, 1), 7, NOW).unwrap()
}

fn dead(registry: &Registry) -> Vec<&str> {
    registry.dead_entries().map(|entry| entry.name).collect()
}

#[test]
fn a_name_belongs_to_one_node_at_a_time() {
    let mut registry = registry();
    let (slot, _) = add(&mut registry, "a");
    assert_eq!(registry.register(Registration::new("a", 2), 8, NOW), Err(NotRegistered::InUse));
    assert_eq!(registry.lookup("a").map(|node| node.port), Some(1));
    assert!(registry.unregister(slot));
    assert!(!registry.unregister(slot));
    assert!(registry.lookup("a").is_none() && registry.is_empty());
    assert!(registry.register(Registration::new("a", 2), 8, NOW).is_ok());
}

#[test]
fn a_name_that_comes_back_has_the_next_creation() {
    let mut registry = registry();
    let (slot, first) = add(&mut registry, "a");
    assert_eq!(first, NOW + 1);
    registry.unregister(slot);
    let (slot, second) = add(&mut registry, "a");
    assert_eq!(second, first + 1);
    registry.unregister(slot);
    assert_eq!(add(&mut registry, "a").1, first + 2);
    assert_eq!(dead(&registry), [] as [&str; 0]);
}

#[test]
fn creations_are_never_0_to_3() {
    let mut registry = registry();
    assert_eq!(registry.register(Registration::new("a", 1), 7, u32::MAX).unwrap().1, 4);
    assert_eq!(registry.register(Registration::new("b", 1), 7, 0).unwrap().1, 4);
    let (slot, last) = registry.register(Registration::new("c", 1), 7, u32::MAX - 1).unwrap();
    assert_eq!(last, u32::MAX);
    registry.unregister(slot);
    assert_eq!(add(&mut registry, "c").1, 4);
}

#[test]
fn nodes_of_old_have_creations_1_to_3() {
    let mut registry = registry();
    let old = Registration { highest: 5, ..Registration::new("old", 1) };
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (slot, creation) = registry.register(old.clone(), 7, 10).unwrap();
        registry.unregister(slot);
        seen.push(creation);
    }
    assert_eq!(seen, [3, 1, 2, 3]);
}

#[test]
fn the_newest_name_is_listed_first_and_the_oldest_dead_one() {
    let mut registry = registry();
    let slots = ["a", "b", "c", "d", "e"].map(|name| add(&mut registry, name).0);
    assert!(registry.nodes().map(|node| &*node.name).eq(["e", "d", "c", "b", "a"]));
    for index in [2, 0, 4] {
        registry.unregister(slots[index]);
    }
    assert!(registry.active_entries().map(|entry| entry.name).eq(["d", "b"]));
    assert_eq!(dead(&registry), ["c", "a", "e"]);
}

#[test]
fn only_so_many_dead_names_are_remembered() {
    let mut registry = registry();
    for name in ["a", "b", "c", "d"] {
        let (slot, _) = add(&mut registry, name);
        registry.unregister(slot);
    }
    assert_eq!(dead(&registry), ["b", "c", "d"]);
    assert_eq!(add(&mut registry, "b").1, NOW + 2);
    assert_eq!(add(&mut registry, "a").1, NOW + 1);
}

#[test]
fn a_full_registry_takes_no_more() {
    let mut registry = Registry::new(1, 3);
    let (slot, _) = add(&mut registry, "a");
    assert_eq!(registry.register(Registration::new("b", 1), 8, NOW), Err(NotRegistered::Full));
    registry.unregister(slot);
    assert!(registry.register(Registration::new("b", 1), 8, NOW).is_ok());
}

proptest! {
    #[test]
    fn it_is_a_map_whatever_comes_and_goes(steps in prop::collection::vec((any::<bool>(), 0..6_u16), 0..60)) {
        let mut registry = registry();
        let mut model = HashMap::new();
        let mut last_creation = HashMap::new();
        for (register, n) in steps {
            let name = format!("node{n}");
            if register {
                match registry.register(Registration::new(&*name, n), 7, NOW) {
                    Ok((slot, creation)) => {
                        prop_assert!(model.insert(name.clone(), slot).is_none());
                        last_creation.insert(name, creation);
                    }
                    Err(why) => prop_assert!(why == NotRegistered::InUse && model.contains_key(&name)),
                }
            } else if let Some(slot) = model.remove(&name) {
                prop_assert!(registry.unregister(slot));
            }
            prop_assert_eq!(registry.nodes().count(), model.len());
            for name in model.keys() {
                prop_assert_eq!(registry.lookup(name).map(|node| &node.name), Some(name));
            }
            prop_assert!(registry.dead_entries().count() <= 3);
            prop_assert!(registry.dead_entries().all(|entry| !model.contains_key(entry.name)));
        }
    }
}
