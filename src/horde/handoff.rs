//! Hand-off: the state of a process goes on where the next incarnation of it runs.
//!
//! A process that is told to end puts its state into a [`DeltaCrdt`] under its key, and ends once the other replicas
//! have it; its next incarnation, on whichever member, takes it out again when it begins. It is what users of Horde do
//! with a `DeltaCrdt` of their own, so incarnations may be Elixir's as well: these use `DeltaCrdt.put/3`, `get/2` and
//! `delete/2` with the same keys.
//!
//! A process that has lost its name in a conflict ([`NameConflict`]) can stash its state, or send it to the winner with
//! [`NameConflict::send_state`], which is the cast `{handoff, Key, State}`.
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node, mut me: tiebeam::Process) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! let crdt = node.delta_crdt("handoff").start()?;
//! crdt.set_neighbours([("handoff", "other@127.0.0.1")]);
//! let handoff = node.horde_handoff(crdt);
//!
//! let mut count: i64 = handoff.pick_up("counter-1", Duration::ZERO).await?.unwrap_or(0);
//! me.trap_exit(true);
//! // … until an exit signal comes:
//! count += 1;
//! handoff.stash("counter-1", count).await?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::registry::NameConflict;
use crate::delta_crdt::{DeltaCrdt, DeltaCrdtError, Diff, Remote};
use crate::node::Node;
use crate::process::{Dest, SendError};
use crate::serde::{from_term, to_term};
use crate::term::{Atom, Term};

/// How long a process that ends waits for the other replicas, unless told otherwise.
const ARRIVES_WITHIN: Duration = Duration::from_secs(3);

/// States on their way from one incarnation of a process to the next. Clones use the same map.
#[derive(Debug, Clone)]
pub struct Handoff {
    node: Node,
    crdt: DeltaCrdt,
    within: Duration,
}

impl Node {
    /// Uses a replica for hand-off; its neighbours are the replicas of the nodes where next incarnations may run.
    #[must_use]
    pub fn horde_handoff(&self, crdt: DeltaCrdt) -> Handoff {
        Handoff { node: self.clone(), crdt, within: ARRIVES_WITHIN }
    }
}

impl Handoff {
    /// How long [`Handoff::stash`] waits for the other replicas; 3 seconds.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// The replica.
    #[must_use]
    pub fn crdt(&self) -> &DeltaCrdt {
        &self.crdt
    }

    /// Leaves a state for the next incarnation, and waits until the neighbours have it or the time is over. How many
    /// have it: none means that it is lost, should this node end now.
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn stash(&self, key: impl Serialize, state: impl Serialize) -> Result<usize, DeltaCrdtError> {
        let (key, state) = (to_term(&key)?, to_term(&state)?);
        self.crdt.put(&key, &state).await?;
        let mut asked = JoinSet::new();
        for to in self.crdt.neighbours().iter().filter_map(Dest::from_term) {
            asked.spawn(self.clone().arrival(to, key.clone(), state.clone()));
        }
        let mut reached = 0;
        while let Some(has) = asked.join_next().await {
            reached += usize::from(has.unwrap_or(false));
        }
        Ok(reached)
    }

    /// Whether a neighbour has the state in time. One that was picked up meanwhile has arrived somewhere.
    async fn arrival(self, neighbour: Dest, key: Term, state: Term) -> bool {
        let last = Instant::now() + self.within;
        let mut pause = Duration::from_millis(10);
        while Instant::now() < last {
            let mut remote = Remote::new(self.node.process(), neighbour.clone(), Some(self.within));
            // `read` of everything is what replicas of every version answer.
            match timeout(self.within, remote.to_map()).await {
                Ok(Ok(map)) if map.get(&key) == Some(&state) => return true,
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return false,
            }
            if self.crdt.get_term(&key).as_ref() != Some(&state) {
                return true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        false
    }

    /// Takes the state that the last incarnation left, waiting so long for it; it is there for nobody else then.
    ///
    /// # Errors
    /// [`DeltaCrdtError::Serde`], if it is not of that type: then it stays.
    pub async fn pick_up<T: DeserializeOwned>(
        &self,
        key: impl Serialize,
        patience: Duration,
    ) -> Result<Option<T>, DeltaCrdtError> {
        let key = to_term(&key)?;
        let mut diffs = self.crdt.diffs();
        let found = match self.crdt.get_term(&key) {
            Some(state) => Some(state),
            None if patience.is_zero() => None,
            None => {
                let arrival = async {
                    loop {
                        match diffs.next().await {
                            Some(Diff::Add(arrived, state)) if arrived == key => return Some(state),
                            Some(_) => {}
                            None => return None,
                        }
                    }
                };
                timeout(patience, arrival).await.unwrap_or(None)
            }
        };
        let Some(state) = found else { return Ok(None) };
        let state = from_term(&state)?;
        self.crdt.delete(&key).await?;
        Ok(Some(state))
    }
}

impl NameConflict {
    /// Sends the loser's state to the winner, as the cast `{handoff, Key, State}`; a winner of Elixir's takes it in
    /// `handle_cast({:handoff, key, state}, _)`, one of Rust's reads it with [`NameConflict::read_state`].
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_state(&self, node: &Node, state: impl Serialize) -> Result<(), SendError> {
        let state = to_term(&state).map_err(SendError::from)?;
        let cast = Term::tuple([Atom::new(HANDOFF).into(), self.key.clone(), state]);
        node.gen_cast(self.winner, &cast).await
    }

    /// The key and the loser's state, if a cast is one of [`NameConflict::send_state`].
    #[must_use]
    pub fn read_state(cast: &Term) -> Option<(&Term, &Term)> {
        let [tag, key, state] = cast.as_tuple()? else { return None };
        tag.is_atom(HANDOFF).then_some((key, state))
    }
}

const HANDOFF: &str = "handoff";
