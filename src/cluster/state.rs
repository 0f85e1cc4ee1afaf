//! Which nodes to connect to, when, and which to leave: sets and times, nothing that happens by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::term::NodeName;

/// The pause after a first failure or a lost connection; doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the sources name, and how connecting to it has gone. Times are counted from any one moment.
#[derive(Debug)]
pub(super) struct Formation {
    own: NodeName,
    sources: Vec<Named>,
    /// Announced since the last look: worth one attempt each.
    heard: BTreeSet<NodeName>,
    tries: BTreeMap<NodeName, Try>,
}

#[derive(Debug)]
struct Named {
    /// Whether a node that is no longer named is to be left.
    knows_all: bool,
    nodes: BTreeSet<NodeName>,
}

#[derive(Debug, Default)]
struct Try {
    running: bool,
    failures: u32,
    not_before: Duration,
}

impl Formation {
    /// With as many sources as there are answers to: does it know the whole cluster?
    pub(super) fn new(own: NodeName, knows_all: impl Iterator<Item = bool>) -> Self {
        let sources = knows_all.map(|knows_all| Named { knows_all, nodes: BTreeSet::new() }).collect();
        Self { own, sources, heard: BTreeSet::new(), tries: BTreeMap::new() }
    }

    /// What a source names now; the nodes that are to be left therefore.
    pub(super) fn handle_listed(&mut self, source: usize, nodes: BTreeSet<NodeName>) -> Vec<NodeName> {
        let Some(named) = self.sources.get_mut(source) else { return Vec::new() };
        let before = std::mem::replace(&mut named.nodes, nodes);
        if !named.knows_all {
            return Vec::new();
        }
        before.into_iter().filter(|node| *node != self.own && !self.is_named(node)).collect()
    }

    /// A node has announced itself.
    pub(super) fn handle_heard(&mut self, node: NodeName) {
        self.heard.insert(node);
    }

    /// A connection was lost: nodes that lost each other at the same moment should not all come back at the same one.
    pub(super) fn handle_down(&mut self, node: NodeName, now: Duration, jitter: Jitter) {
        if self.is_named(&node) {
            let tried = self.tries.entry(node).or_default();
            tried.not_before = now + jitter.of(FIRST_PAUSE);
        }
    }

    /// An attempt has ended; how long until the next one, where it failed.
    pub(super) fn handle_outcome(
        &mut self,
        node: NodeName,
        reached: bool,
        now: Duration,
        jitter: Jitter,
    ) -> Option<Duration> {
        if reached {
            self.tries.remove(&node);
            return None;
        }
        let tried = self.tries.entry(node).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << tried.failures.min(7)).min(LONGEST_PAUSE);
        let pause = jitter.of(pause);
        *tried = Try { running: false, failures: tried.failures.saturating_add(1), not_before: now + pause };
        Some(pause)
    }

    /// The nodes to connect to now; each is tried until [`Self::handle_outcome`].
    pub(super) fn poll_connect(&mut self, connected: &BTreeSet<NodeName>, now: Duration) -> Vec<NodeName> {
        let mut wanted = std::mem::take(&mut self.heard);
        self.tries.retain(|node, tried| tried.running || !connected.contains(node));
        wanted.extend(self.sources.iter().flat_map(|source| &source.nodes));
        wanted.retain(|node| *node != self.own && !connected.contains(node));
        wanted.retain(|node| self.tries.get(node).is_none_or(|tried| !tried.running && tried.not_before <= now));
        for node in &wanted {
            self.tries.entry(*node).or_default().running = true;
        }
        wanted.into_iter().collect()
    }

    /// When to look again though nothing has happened.
    pub(super) fn poll_timeout(&self, connected: &BTreeSet<NodeName>) -> Option<Duration> {
        let waiting = self
            .tries
            .iter()
            .filter(|(node, tried)| !tried.running && !connected.contains(*node) && self.is_named(node));
        waiting.map(|(_, tried)| tried.not_before).min()
    }

    fn is_named(&self, node: &NodeName) -> bool {
        self.sources.iter().any(|source| source.nodes.contains(node))
    }
}

/// A random share, so that pauses differ between nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jitter(pub(super) u8);

impl Jitter {
    /// The time and up to a half of it more.
    fn of(self, time: Duration) -> Duration {
        time + time * u32::from(self.0) / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Jitter = Jitter(0);

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<NodeName> {
        names.into_iter().map(|name| NodeName::new(name).unwrap()).collect()
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_named_is_connected_to_once_and_never_the_node_itself() {
        let mut formation = Formation::new(name("me@h"), [false].into_iter());
        assert!(formation.handle_listed(0, names(["me@h", "a@h", "b@h"])).is_empty());
        assert_eq!(formation.poll_connect(&names(["b@h"]), ms(0)), [name("a@h")]);
        assert!(formation.poll_connect(&names(["b@h"]), ms(9)).is_empty());
        assert_eq!(formation.handle_outcome(name("a@h"), true, ms(10), NONE), None);
        assert!(formation.poll_connect(&names(["a@h", "b@h"]), ms(11)).is_empty());
        assert_eq!(formation.poll_timeout(&names(["a@h", "b@h"])), None);
    }

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let mut formation = Formation::new(name("me@h"), [false].into_iter());
        formation.handle_listed(0, names(["a@h"]));
        let (mut now, mut pauses) = (ms(0), Vec::new());
        for _ in 0..9 {
            assert_eq!(formation.poll_connect(&names([]), now), [name("a@h")]);
            let pause = formation.handle_outcome(name("a@h"), false, now, NONE).unwrap();
            assert!(formation.poll_connect(&names([]), now + pause - ms(1)).is_empty());
            now += pause;
            assert_eq!(formation.poll_timeout(&names([])), Some(now));
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(formation.poll_connect(&names([]), now), [name("a@h")]);
        formation.handle_outcome(name("a@h"), true, now, NONE);
        formation.handle_down(name("a@h"), now, Jitter(255));
        let again = formation.poll_timeout(&names([])).unwrap() - now;
        assert!(again > ms(370) && again < ms(376), "{again:?}");
    }

    #[test]
    fn only_who_knows_the_whole_cluster_lets_nodes_go_and_only_those_that_nobody_names() {
        let mut formation = Formation::new(name("me@h"), [true, false].into_iter());
        formation.handle_listed(0, names(["a@h", "b@h", "c@h", "me@h"]));
        assert!(formation.handle_listed(1, names(["b@h", "d@h"])).is_empty());
        assert_eq!(formation.handle_listed(0, names(["a@h"])), [name("c@h")]);
        assert!(formation.handle_listed(1, names([])).is_empty());
        assert!(formation.handle_listed(7, names(["x@h"])).is_empty());
        assert_eq!(formation.poll_connect(&names([]), ms(0)), [name("a@h")]);
    }

    #[test]
    fn an_announcement_is_worth_one_attempt_and_not_during_a_pause() {
        let mut formation = Formation::new(name("me@h"), [false].into_iter());
        formation.handle_heard(name("a@h"));
        formation.handle_heard(name("me@h"));
        assert_eq!(formation.poll_connect(&names([]), ms(0)), [name("a@h")]);
        formation.handle_outcome(name("a@h"), false, ms(1), NONE);
        assert_eq!(formation.poll_timeout(&names([])), None);
        formation.handle_heard(name("a@h"));
        assert!(formation.poll_connect(&names([]), ms(2)).is_empty());
        assert!(formation.poll_connect(&names([]), ms(600)).is_empty());
        formation.handle_heard(name("a@h"));
        assert_eq!(formation.poll_connect(&names([]), ms(600)), [name("a@h")]);
    }
}
