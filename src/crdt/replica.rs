//! A replica among its neighbours: ticks, comparisons, data and acknowledgements, as `DeltaCrdt.CausalCrdt` has them.
//!
//! What it sends is what a BEAM replica sends; only when differs. One comparison at a time is under way with each
//! neighbour; one that is known to be equal is left in peace; small writes are sent at once where the neighbour can take
//! them; and a context is only claimed together with everything that it covers.

use super::diff::{DEPTH, Step, View};
use super::dots::{Claim, Context};
use super::elements::Elements;
use super::hash::Flavour;
use super::neighbours::{Neighbours, Pending};
use super::state::{Change, State, Written};
use super::tree::{Continuation, Loc};
use crate::term::{Pid, Term};

/// One round of a comparison, `%DeltaCrdt.CausalCrdt.Diff{}`.
#[derive(Debug, Clone)]
pub(crate) struct Diff {
    /// `None` where it does not matter: in requests.
    pub(crate) continuation: Option<Continuation>,
    /// What the originator had seen when it began.
    pub(crate) dots: Claim,
    pub(crate) originator: Pid,
    pub(crate) from: Term,
    pub(crate) to: Term,
}

/// What a replica has under some keys.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) dots: Claim,
    pub(crate) value: Vec<(Term, Elements)>,
    /// The keys it speaks of: those without a value are gone.
    pub(crate) keys: Vec<Term>,
}

/// Everything that replicas say to each other.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Diff(Diff),
    GetDiff(Diff, Vec<Term>),
    Data(Data),
    Ack(Term),
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Term,
    /// How the receiver lays out sets.
    pub(crate) flavour: Flavour,
    pub(crate) message: Message,
}

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// At most so many keys are sent at once; more go in several messages. A peer's limit of that name loses keys; this
    /// one does not.
    pub(crate) max_sync_size: usize,
    /// After so many milliseconds without an answer a comparison is given up.
    pub(crate) patience: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_sync_size: 20_000, patience: 10_000 }
    }
}

/// More writes than this at once are left to the next comparison.
const PUSHED_AT_ONCE: usize = 1_000;

/// A neighbour that is equal is asked all the same every so many ticks.
const QUIET_TICKS: u32 = 10;

/// A replica and its neighbours.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) state: State,
    me: Pid,
    settings: Settings,
    neighbours: Neighbours,
    pending: Pending,
}

impl Replica {
    /// The replica whose process is `me`.
    pub(crate) fn new(state: State, me: Pid, settings: Settings) -> Self {
        Self { state, me, settings, neighbours: Neighbours::default(), pending: Pending::default() }
    }

    /// Replaces the neighbours: pids, names, `{name, node}`.
    pub(crate) fn set_neighbours(&mut self, addresses: Vec<Term>) {
        self.neighbours.set(addresses);
    }

    pub(crate) fn neighbours(&self) -> impl Iterator<Item = &Term> {
        self.neighbours.all.iter().map(|neighbour| &neighbour.address)
    }

    /// A neighbour's process ended, or its node is gone.
    pub(crate) fn handle_down(&mut self, address: &Term) {
        if let Some(neighbour) = self.neighbours.get(address) {
            neighbour.forget();
        }
    }

    /// Writes a key.
    pub(crate) fn add(&mut self, key: &Term, value: Term, local: i64) -> Option<Change> {
        let written = self.state.add(key, value, local);
        self.written(key, written)
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &Term) -> Option<Change> {
        let written = self.state.remove(key)?;
        self.written(key, written)
    }

    fn written(&mut self, key: &Term, written: Written) -> Option<Change> {
        if !self.neighbours.all.is_empty() {
            self.pending.add(key, written.new, &written.replaced);
        }
        written.change
    }

    /// Whether there are writes that [`Replica::push`] would send.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.keys.is_empty()
    }

    /// Sends the writes since the last time to every neighbour that can take them as they are; the others get them by
    /// comparison.
    pub(crate) fn push(&mut self) -> Vec<Outgoing> {
        let pending = std::mem::take(&mut self.pending);
        if pending.keys.is_empty() || pending.keys.len() > PUSHED_AT_ONCE {
            return Vec::new();
        }
        let me = self.state.me;
        let claim = pending.claim(me, self.state.context.get(me));
        let data = Message::Data(data_within(&self.state, pending.keys.clone(), &claim));
        let mut out = Vec::new();
        for at in 0..self.neighbours.all.len() {
            let flavour = self.neighbours.flavour(self.neighbours.all[at].node());
            let neighbour = &mut self.neighbours.all[at];
            if let Some(known) = neighbour.known.as_mut().filter(|known| pending.follows(known, me)) {
                known.union(&claim);
                out.push(Outgoing { to: neighbour.address.clone(), flavour, message: data.clone() });
            }
        }
        out
    }

    /// Begins comparisons with the neighbours that are there, where one may find something.
    pub(crate) fn tick(&mut self, now: u64, is_there: impl Fn(&Term) -> bool) -> Vec<Outgoing> {
        self.state.update_hashes();
        let mut out = Vec::new();
        for at in 0..self.neighbours.all.len() {
            let flavour = self.neighbours.flavour(self.neighbours.all[at].node());
            let root = self.state.map.root_hash(flavour);
            let patience = self.settings.patience;
            let neighbour = &mut self.neighbours.all[at];
            if neighbour.address == Term::Pid(self.me) || !is_there(&neighbour.address) {
                continue;
            }
            if neighbour.asked.is_some_and(|asked| now.saturating_sub(asked) < patience) {
                continue;
            }
            let same = neighbour.root == Some(root);
            if let Some(quiet) = neighbour.quiet.as_mut().filter(|quiet| same && **quiet < QUIET_TICKS) {
                *quiet += 1;
                continue;
            }
            neighbour.quiet = Some(0);
            neighbour.asked = Some(now);
            neighbour.asked_with = Some(root);
            let to = neighbour.address.clone();
            let cut = self.view(flavour).cut(Loc::ROOT, if same { 1 } else { DEPTH });
            let continuation = Some(Continuation { keys: Vec::new(), trees: vec![(Loc::ROOT, cut)] });
            let dots = Claim::Map(self.state.context.clone());
            let diff = Diff { continuation, dots, originator: self.me, from: Term::Pid(self.me), to: to.clone() };
            out.push(Outgoing { to, flavour, message: Message::Diff(diff) });
        }
        out
    }

    fn view(&self, flavour: Flavour) -> View<'_> {
        View { map: &self.state.map, replicas: &self.state.replicas, flavour, at_once: true }
    }

    /// Sets of this layout came from that process' node.
    pub(crate) fn learn_flavour(&mut self, from: Pid, flavour: Flavour) {
        self.neighbours.learn_flavour(from.node, flavour);
    }

    /// Takes what another replica says; `local` is the local time in nanoseconds, `now` in milliseconds.
    pub(crate) fn handle(&mut self, message: Message, now: u64, local: i64) -> (Vec<Outgoing>, Vec<Change>) {
        match message {
            Message::Diff(diff) => (self.handle_diff(diff, now), Vec::new()),
            Message::GetDiff(diff, keys) => (self.handle_get_diff(diff, keys), Vec::new()),
            Message::Data(data) => (Vec::new(), self.handle_data(&data, local)),
            Message::Ack(address) => {
                self.handle_ack(&address);
                (Vec::new(), Vec::new())
            }
        }
    }

    fn handle_ack(&mut self, address: &Term) {
        if let Some(neighbour) = self.neighbours.get(address) {
            neighbour.asked = None;
            if let Some(root) = neighbour.asked_with.take() {
                // It asked for nothing: what we have, it has.
                neighbour.root = Some(root);
            }
        }
    }

    fn handle_diff(&mut self, diff: Diff, now: u64) -> Vec<Outgoing> {
        let Diff { continuation, dots, originator, from, to } = diff;
        let Some(continuation) = continuation else { return Vec::new() };
        // From here on as seen from us.
        let mut diff = Diff { continuation: None, dots, originator, from: to, to: from };
        let begins = matches!(&continuation.trees[..], [(Loc::ROOT, _)] if continuation.keys.is_empty());
        let theirs = originator != self.me;
        if theirs && begins && self.is_answering(&diff, &continuation, now) {
            return ack(self.me, &diff);
        }
        self.state.update_hashes();
        let node = diff.to.as_pid().map(|pid| pid.node).or_else(|| diff.to.as_tuple()?.get(1)?.as_atom());
        let flavour = self.neighbours.flavour(node);
        let step = self.view(flavour).go_on(&continuation, DEPTH);
        match step {
            Step::Continue(continuation) => {
                diff.continuation = Some(continuation);
                vec![Outgoing { to: diff.to.clone(), flavour, message: Message::Diff(diff) }]
            }
            Step::Keys(keys) => {
                let mut out = Vec::new();
                if theirs {
                    let asks = !keys.is_empty();
                    if let Some(neighbour) = self.neighbours.of_pid(originator) {
                        // Until the data is here, there is no use in comparing again.
                        neighbour.answering = asks.then_some(now);
                    }
                    if asks {
                        let message = Message::GetDiff(diff.clone(), keys);
                        out.push(Outgoing { to: diff.to.clone(), flavour, message });
                    }
                } else if !keys.is_empty() {
                    out.extend(self.answer(&diff.to.clone(), keys));
                }
                out.extend(self.acknowledge(&diff));
                out
            }
        }
    }

    /// Notes what the beginning of a neighbour's comparison tells; whether one with it is under way already.
    fn is_answering(&mut self, diff: &Diff, continuation: &Continuation, now: u64) -> bool {
        let patience = self.settings.patience;
        let Some(neighbour) = self.neighbours.of_pid(diff.originator) else { return false };
        let mut known = neighbour.known.take().unwrap_or_default();
        diff.dots.fold_into(&mut known);
        neighbour.known = Some(known);
        if let [(_, tree)] = &continuation.trees[..] {
            neighbour.root = Some(tree.hash());
        }
        if neighbour.answering.is_some_and(|since| now.saturating_sub(since) < patience) {
            return true;
        }
        neighbour.answering = Some(now);
        false
    }

    fn handle_get_diff(&mut self, diff: Diff, keys: Vec<Term>) -> Vec<Outgoing> {
        let diff = Diff { from: diff.to, to: diff.from, ..diff };
        let mut out = self.answer(&diff.to, keys);
        out.extend(self.acknowledge(&diff));
        out
    }

    /// Sends what we have under these keys, and with it whatever the context claims beyond what the other has.
    fn answer(&mut self, to: &Term, mut keys: Vec<Term>) -> Vec<Outgoing> {
        let context = self.state.context.clone();
        let node = to.as_pid().map(|pid| pid.node).or_else(|| to.as_tuple()?.get(1)?.as_atom());
        let flavour = self.neighbours.flavour(node);
        let neighbour = match to {
            Term::Pid(pid) => self.neighbours.of_pid(*pid),
            _ => self.neighbours.get(to),
        };
        let known = neighbour.as_ref().and_then(|neighbour| neighbour.known.clone()).unwrap_or_default();
        if let Some(neighbour) = neighbour {
            neighbour.known.get_or_insert_default().union(&context);
            neighbour.asked_with = None;
        }
        let asked: hashbrown::HashSet<&Term> = keys.iter().collect();
        let more: Vec<_> = self.state.unseen_by(&known).into_iter().filter(|key| !asked.contains(key)).collect();
        drop(asked);
        keys.extend(more);
        self.in_chunks(keys, &known, context)
            .into_iter()
            .map(|data| Outgoing { to: to.clone(), flavour, message: Message::Data(data) })
            .collect()
    }

    /// Large answers go in pieces, write after write of each replica, so that each piece claims no more than what came
    /// with it and before it; the whole claim comes last, with the keys that are gone.
    fn in_chunks(&self, keys: Vec<Term>, known: &Context, context: Context) -> Vec<Data> {
        let limit = self.settings.max_sync_size.max(1);
        if keys.len() <= limit {
            return vec![data(&self.state, keys, Claim::Map(context))];
        }
        let (mut new, mut rest) = (Vec::new(), Vec::new());
        for key in keys {
            let dots = self.state.map.get(&key).into_iter().flat_map(Elements::dots);
            let before = new.len();
            new.extend(dots.filter(|dot| !known.contains(*dot)).map(|dot| (dot, key.clone())));
            if new.len() == before {
                rest.push(key);
            }
        }
        new.sort_unstable_by_key(|(dot, _)| *dot);
        let mut claim = known.clone();
        let mut chunks = Vec::new();
        for chunk in new.chunks(limit) {
            chunk.iter().for_each(|(dot, _)| claim.raise(*dot));
            let keys = chunk.iter().map(|(_, key)| key.clone()).collect();
            chunks.push(data_within(&self.state, keys, &claim));
        }
        chunks.push(data(&self.state, rest, Claim::Map(context)));
        chunks
    }

    fn handle_data(&mut self, data: &Data, local: i64) -> Vec<Change> {
        for neighbour in &mut self.neighbours.all {
            // Data does not say whose it is; comparing once too often does no harm.
            neighbour.answering = None;
        }
        let values: hashbrown::HashMap<&Term, &Elements> = data.value.iter().map(|(key, value)| (key, value)).collect();
        let mut changes = Vec::new();
        let mut seen = hashbrown::HashSet::with_capacity(data.keys.len());
        // A value whose key is not listed would be invisible to comparisons: it is listed.
        for key in data.keys.iter().chain(data.value.iter().map(|(key, _)| key)) {
            if seen.insert(key) {
                changes.extend(self.state.join_key(key, values.get(key).copied(), &data.dots, local));
            }
        }
        self.state.take_context(&data.dots);
        changes
    }

    fn acknowledge(&mut self, diff: &Diff) -> Vec<Outgoing> {
        if diff.originator == self.me {
            if let Some(neighbour) = self.neighbours.get(&diff.to) {
                neighbour.asked = None;
            }
            return Vec::new();
        }
        ack(self.me, diff)
    }
}

/// Tells the originator that its neighbour, under the address it used, is done.
fn ack(me: Pid, diff: &Diff) -> Vec<Outgoing> {
    if diff.originator == me {
        return Vec::new();
    }
    let message = Message::Ack(diff.from.clone());
    vec![Outgoing { to: Term::Pid(diff.originator), flavour: Flavour::default(), message }]
}

/// What a state has under these keys, as far as it is claimed: what is taken without having been seen could not be
/// removed again.
fn data_within(state: &State, keys: Vec<Term>, claim: &Context) -> Data {
    let mut data = data(state, keys, Claim::Map(claim.clone()));
    data.value.retain_mut(|(_, elements)| match elements.within(claim) {
        Some(within) => {
            *elements = within;
            true
        }
        None => false,
    });
    data
}

/// What a state has under these keys.
fn data(state: &State, keys: Vec<Term>, dots: Claim) -> Data {
    let mut seen = hashbrown::HashSet::with_capacity(keys.len());
    let mut value = Vec::with_capacity(keys.len());
    for key in &keys {
        let elements = if seen.insert(key) { state.map.get(key) } else { None };
        if let Some(elements) = elements {
            value.push((key.clone(), elements.clone()));
        }
    }
    drop(seen);
    Data { dots, value, keys }
}

impl Message {
    /// Of how many keys the data speaks, if it is data.
    pub(crate) fn data_keys(&self) -> Option<usize> {
        match self {
            Self::Data(data) => Some(data.keys.len()),
            Self::Diff(_) | Self::GetDiff(..) | Self::Ack(_) => None,
        }
    }
}
