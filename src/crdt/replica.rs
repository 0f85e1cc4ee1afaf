//! A replica among its neighbours: ticks, comparisons, data and acknowledgements, as `DeltaCrdt.CausalCrdt` has them.
//!
//! What it sends is what a BEAM replica sends; only when differs. One comparison at a time is under way with each
//! neighbour; one that is known to be equal is left in peace; small writes are sent at once where the neighbour can take
//! them; and a context is only claimed together with everything that it covers.

use super::dialogues::Dialogues;
use super::diff::{DEPTH, Step, View};
use super::dots::{Claim, Context};
use super::elements::Elements;
use super::hash::Flavour;
use super::neighbours::{Neighbours, Pending, node_of};
use super::state::{Change, State, Written};
use super::tree::{Continuation, Loc, Tree};
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
    /// The keys it speaks of, each once; those without elements are gone.
    pub(crate) keys: Vec<(Term, Option<Elements>)>,
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
    /// Answers as Elixir's replicas do: with what is there now, under the context that the comparison began with.
    #[cfg(test)]
    pub(crate) as_elixir: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_sync_size: 20_000,
            patience: 10_000,
            #[cfg(test)]
            as_elixir: false,
        }
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
    dialogues: Dialogues,
    pending: Pending,
}

impl Replica {
    /// The replica whose process is `me`.
    pub(crate) fn new(state: State, me: Pid, settings: Settings) -> Self {
        Self {
            state,
            me,
            settings,
            neighbours: Neighbours::default(),
            dialogues: Dialogues::new(settings.patience),
            pending: Pending::default(),
        }
    }

    /// Replaces the neighbours: pids, names, `{name, node}`.
    pub(crate) fn set_neighbours(&mut self, addresses: Vec<Term>) {
        self.neighbours.set(addresses);
    }

    pub(crate) fn neighbours(&self) -> impl Iterator<Item = &Term> {
        self.neighbours.all.iter().map(|neighbour| &neighbour.address)
    }

    /// A neighbour is watched from now on: nothing is known of who is there.
    pub(crate) fn handle_up(&mut self, address: &Term) {
        if let Some(neighbour) = self.neighbours.get(address) {
            neighbour.forget();
            neighbour.there = true;
        }
    }

    /// A neighbour's process ended, or its node is gone.
    pub(crate) fn handle_down(&mut self, address: &Term) {
        if let Some(neighbour) = self.neighbours.get(address) {
            if let Some(pid) = neighbour.pid {
                self.dialogues.end(pid);
            }
            neighbour.forget();
        }
    }

    /// Something that was to be sent there was not: what it has is no longer known.
    pub(crate) fn handle_unsent(&mut self, to: &Term) {
        let neighbour = match to {
            Term::Pid(pid) => {
                self.dialogues.end(*pid);
                self.neighbours.of_pid(*pid)
            }
            _ => self.neighbours.get(to),
        };
        if let Some(neighbour) = neighbour {
            neighbour.doubt();
        }
    }

    /// Whether every neighbour that is there, and has answered before, has acknowledged a comparison that we began after
    /// this time.
    pub(crate) fn has_compared_since(&self, time: u64) -> bool {
        let others =
            self.neighbours.all.iter().filter(|other| other.there && other.pid.is_some_and(|pid| pid != self.me));
        others.into_iter().all(|other| other.compared.is_some_and(|begun| begun > time))
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

    /// Sends the writes since the last time to every neighbour that can take them as they are, and whose connection is
    /// not full; the others get them by comparison.
    pub(crate) fn push(&mut self, has_room: impl Fn(&Term) -> bool) -> Vec<Outgoing> {
        let pending = std::mem::take(&mut self.pending);
        // What was replaced before the context came to it must not be claimed: there may be more before it.
        let claimable = self.state.context.covers(&pending.replaced);
        if pending.keys.is_empty() || pending.keys.len() > PUSHED_AT_ONCE || !claimable {
            return Vec::new();
        }
        let me = self.state.me;
        let claim = pending.claim(me, self.state.context.get(me));
        let data = Message::Data(data_within(&self.state, pending.keys.clone(), &claim));
        let mut out = Vec::new();
        for at in 0..self.neighbours.all.len() {
            let flavour = self.neighbours.flavour(self.neighbours.all[at].node());
            let neighbour = &mut self.neighbours.all[at];
            // Sent to the process, not to the name: another one that has it by then would take the claim for its own.
            let Some(pid) = neighbour.pid.filter(|_| neighbour.there && has_room(&neighbour.address)) else { continue };
            if let Some(known) = neighbour.known.as_mut().filter(|known| pending.follows(known, me)) {
                known.union(&claim);
                out.push(Outgoing { to: Term::Pid(pid), flavour, message: data.clone() });
            }
        }
        out
    }

    /// Begins comparisons with the neighbours that are there, where one may find something.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<Outgoing> {
        self.state.update_hashes();
        self.state.claim_early(now, 3 * self.settings.patience);
        let mut out = Vec::new();
        for at in 0..self.neighbours.all.len() {
            let flavour = self.neighbours.flavour(self.neighbours.all[at].node());
            let root = self.state.map.root_hash(flavour);
            let patience = self.settings.patience;
            let neighbour = &mut self.neighbours.all[at];
            if neighbour.address == Term::Pid(self.me) || !neighbour.there {
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

    /// Takes what another replica says, the process `sender` where that is known; `local` is the local time in
    /// nanoseconds, `now` in milliseconds.
    pub(crate) fn handle(
        &mut self,
        message: Message,
        sender: Option<Pid>,
        now: u64,
        local: i64,
    ) -> (Vec<Outgoing>, Vec<Change>) {
        self.learn_pid(&message, sender);
        match message {
            Message::Diff(diff) => (self.handle_diff(diff, sender, now), Vec::new()),
            Message::GetDiff(diff, keys) => (self.handle_get_diff(diff, keys, sender), Vec::new()),
            Message::Data(data) => {
                let changes = self.join(data.keys.into_iter(), &data.dots, local);
                self.joined(&data.dots, sender);
                (Vec::new(), changes)
            }
            Message::Ack(address) => {
                self.handle_ack(&address);
                (Vec::new(), Vec::new())
            }
        }
    }

    /// What was taken at `began` has been answered only now: ticks of the same neighbour that came meanwhile, and a peer
    /// sends one every interval whatever is under way, are no later than that.
    pub(crate) fn answered(&mut self, began: u64, now: u64) {
        self.dialogues.answered(began, now);
    }

    /// Who answers under a neighbour's address is the neighbour.
    fn learn_pid(&mut self, message: &Message, sender: Option<Pid>) {
        let address = match message {
            Message::Diff(diff) | Message::GetDiff(diff, _) if diff.originator == self.me => &diff.from,
            Message::Ack(address) => address,
            Message::Diff(_) | Message::GetDiff(..) | Message::Data(_) => return,
        };
        let Some(sender) = sender.filter(|sender| *sender != self.me) else { return };
        let home = self.me.node;
        if let Some(neighbour) = self.neighbours.get(address) {
            if neighbour.pid != Some(sender) && neighbour.node().unwrap_or(home) == sender.node {
                if neighbour.pid.is_some() {
                    neighbour.doubt();
                }
                // One that is addressed by its pid is nobody else.
                neighbour.pid.get_or_insert(sender);
            }
        }
    }

    fn handle_ack(&mut self, address: &Term) {
        if let Some(neighbour) = self.neighbours.get(address) {
            neighbour.compared = neighbour.asked.take().or(neighbour.compared);
            if let Some(root) = neighbour.asked_with.take() {
                // It asked for nothing: what we have, it has.
                neighbour.root = Some(root);
            }
        }
    }

    fn handle_diff(&mut self, diff: Diff, sender: Option<Pid>, now: u64) -> Vec<Outgoing> {
        let Diff { continuation, dots, originator, from, to } = diff;
        let Some(continuation) = continuation else { return Vec::new() };
        // From here on as seen from us.
        let mut diff = Diff { continuation: None, dots, originator, from: to, to: from };
        let begins = matches!(&continuation.trees[..], [(Loc::ROOT, _)] if continuation.keys.is_empty());
        let theirs = originator != self.me;
        if theirs && begins {
            self.learn_from_beginning(&diff, &continuation);
            if !self.dialogues.begin(originator, now) {
                // Not acknowledged: that would say that both are equal.
                return Vec::new();
            }
        } else if theirs {
            self.dialogues.go_on(originator, now);
        }
        self.state.update_hashes();
        if theirs && begins {
            self.take_context_of_equal(&diff, &continuation);
        }
        let flavour = self.neighbours.flavour(node_of(&diff.to));
        let step = self.view(flavour).go_on(&continuation, DEPTH);
        match step {
            Step::Continue(continuation) => {
                diff.continuation = Some(continuation);
                vec![Outgoing { to: diff.to.clone(), flavour, message: Message::Diff(diff) }]
            }
            Step::Keys(mut keys) => {
                keys.retain(|key| !is_partial(key));
                let mut out = Vec::new();
                if theirs {
                    if self.dialogues.waits_for_data(originator, now) {
                        return Vec::new();
                    }
                    if keys.is_empty() {
                        self.dialogues.end(originator);
                    } else {
                        self.dialogues.ask(originator, now);
                        let message = Message::GetDiff(diff.clone(), keys);
                        out.push(Outgoing { to: diff.to.clone(), flavour, message });
                    }
                } else if !keys.is_empty() {
                    out.extend(self.answer(&diff, keys, sender));
                }
                out.extend(self.acknowledge(&diff));
                out
            }
        }
    }

    /// Who has the same as we may be believed what it has seen: all of it that is not here is gone there, too.
    fn take_context_of_equal(&mut self, diff: &Diff, continuation: &Continuation) {
        let [(_, tree)] = &continuation.trees[..] else { return };
        let flavour = self.neighbours.flavour(Some(diff.originator.node));
        let equal = match tree {
            Tree::Inner { hash, .. } | Tree::Leaf { hash, .. } => *hash == self.state.map.root_hash(flavour),
            Tree::Empty | Tree::Partial(_) => false,
        };
        if let (true, Claim::Map(context)) = (equal, &diff.dots) {
            if !self.state.context.covers(context) {
                self.state.take_context(&diff.dots);
            }
        }
    }

    /// Notes what the beginning of a neighbour's comparison tells of it.
    fn learn_from_beginning(&mut self, diff: &Diff, continuation: &Continuation) {
        let Some(neighbour) = self.neighbours.of_pid(diff.originator) else { return };
        let mut known = neighbour.known.take().unwrap_or_default();
        diff.dots.fold_into(&mut known);
        neighbour.known = Some(known);
        match &continuation.trees[..] {
            [(_, Tree::Partial(_))] => {}
            [(_, tree)] => neighbour.root = Some(tree.hash()),
            _ => {}
        }
    }

    fn handle_get_diff(&mut self, diff: Diff, keys: Vec<Term>, sender: Option<Pid>) -> Vec<Outgoing> {
        let diff = Diff { from: diff.to, to: diff.from, ..diff };
        let mut out = self.answer(&diff, keys, sender);
        out.extend(self.acknowledge(&diff));
        out
    }

    /// Sends what we have under these keys, and with it whatever the context claims beyond what the other has. It goes to
    /// the process that asked: another one of its name has not seen what this one has.
    fn answer(&mut self, diff: &Diff, mut keys: Vec<Term>, sender: Option<Pid>) -> Vec<Outgoing> {
        let to = sender.map_or_else(|| diff.to.clone(), Term::Pid);
        #[cfg(test)]
        if self.settings.as_elixir {
            let message = Message::Data(data(&self.state, keys, diff.dots.clone()));
            return vec![Outgoing { to, flavour: Flavour::default(), message }];
        }
        let context = self.state.context.clone();
        let flavour = self.neighbours.flavour(node_of(&to));
        let neighbour = match &to {
            Term::Pid(pid) => self.neighbours.of_pid(*pid),
            _ => None,
        };
        let known = neighbour.as_ref().and_then(|neighbour| neighbour.known.clone()).unwrap_or_default();
        if let Some(neighbour) = neighbour {
            if neighbour.there {
                neighbour.known.get_or_insert_default().union(&context);
            }
            neighbour.asked_with = None;
        }
        let mut asked = hashbrown::HashSet::with_capacity(keys.len());
        keys.retain(|key| asked.insert(key.clone()));
        let named = keys.iter().map(|key| (key, self.state.map.get(key)));
        let more = self.state.unseen_by(&known).filter(|(key, _)| !asked.contains(*key));
        let all = named.chain(more.map(|(key, elements)| (key, Some(elements)))).collect();
        in_chunks(all, self.settings.max_sync_size.max(1), &known, context)
            .into_iter()
            .map(|data| Outgoing { to: to.clone(), flavour, message: Message::Data(data) })
            .collect()
    }

    /// Joins some of the keys of what another replica sent; [`Replica::joined`] follows when all are.
    pub(crate) fn join(
        &mut self,
        keys: impl Iterator<Item = (Term, Option<Elements>)>,
        dots: &Claim,
        local: i64,
    ) -> Vec<Change> {
        keys.filter_map(|(key, theirs)| self.state.join_key(&key, theirs, dots, local)).collect()
    }

    /// All that another replica, the process `sender` where that is known, sent has been joined: what it claims counts as
    /// seen.
    pub(crate) fn joined(&mut self, dots: &Claim, sender: Option<Pid>) {
        match sender {
            Some(sender) => self.dialogues.end(sender),
            None => self.dialogues.end_all(),
        }
        self.state.take_context(dots);
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

/// Large answers go in pieces, write after write of each replica, so that each piece claims no more than what came with
/// it and before it; the whole claim comes last, with the keys that are gone. Writes that the context has not come to yet
/// go with the last: one may not claim what is before them.
fn in_chunks(all: Vec<(&Term, Option<&Elements>)>, limit: usize, known: &Context, context: Context) -> Vec<Data> {
    let whole = |(key, elements): &(&Term, Option<&Elements>)| ((*key).clone(), elements.cloned());
    if all.len() <= limit {
        return vec![Data { dots: Claim::Map(context), keys: all.iter().map(whole).collect() }];
    }
    let (mut new, mut rest) = (Vec::with_capacity(all.len()), Vec::new());
    for (key, elements) in all {
        let (mut any, mut early) = (false, false);
        for dot in elements.into_iter().flat_map(Elements::dots) {
            if !context.contains(dot) {
                early = true;
            } else if !known.contains(dot) {
                any = true;
                new.push((dot, key, elements));
            }
        }
        if early || !any {
            rest.push((key, elements));
        }
    }
    new.sort_unstable_by_key(|(dot, ..)| *dot);
    let mut claim = known.clone();
    let mut chunks = Vec::new();
    for chunk in new.chunks(limit) {
        chunk.iter().for_each(|(dot, ..)| claim.raise(*dot));
        // A key with several dots may be there as often.
        let mut keys = hashbrown::HashSet::new();
        let keys = chunk.iter().filter(|(_, key, elements)| {
            let several = elements.is_some_and(|elements| !matches!(elements, Elements::One(..)));
            !several || keys.insert(*key)
        });
        let keys = keys.map(|(_, key, elements)| ((*key).clone(), elements.and_then(|all| all.within(&claim))));
        chunks.push(Data { dots: Claim::Map(claim.clone()), keys: keys.collect() });
    }
    chunks.push(Data { dots: Claim::Map(context), keys: rest.iter().map(whole).collect() });
    chunks
}

/// What a state has under these keys, as far as it is claimed: what is taken without having been seen could not be
/// removed again.
fn data_within(state: &State, keys: Vec<Term>, claim: &Context) -> Data {
    let mut data = data(state, keys, Claim::Map(claim.clone()));
    for (_, elements) in &mut data.keys {
        *elements = elements.take().and_then(|elements| elements.within(claim));
    }
    data
}

/// What a state has under these keys.
fn data(state: &State, keys: Vec<Term>, dots: Claim) -> Data {
    let mut seen = hashbrown::HashSet::with_capacity(keys.len());
    let keys = keys.into_iter().filter(|key| seen.insert(key.clone())).map(|key| {
        let elements = state.map.get(&key).cloned();
        (key, elements)
    });
    Data { dots, keys: keys.collect() }
}

/// Peers crash on such a key.
pub(crate) fn is_partial(key: &Term) -> bool {
    key.as_tuple().is_some_and(|tuple| tuple.len() == 2 && tuple.first().is_some_and(|tag| tag.is_atom("partial")))
}
