//! What programs do with `:global`: registering, finding, locking.
//!
//! Whoever registers takes the lock `global` on every node first, on the node with the greatest name before all others,
//! and does it all as one process: nodes take no name from one who does not hold the lock.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Shared, name_server, resolve};
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{AliasMode, Answer, Dest, Exited, Mail, Process, Registry, SendError, reason};
use crate::signal::Target;
use crate::term::{Atom, Pid, Term, atom::known};

/// The names and locks of the cluster; made by [`Node::global`].
#[derive(Debug, Clone)]
pub struct Global {
    node: Node,
    shared: Option<Arc<Shared>>,
}

/// A global name: any term. A text is the atom of that text, as for local names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalName(pub Term);

impl From<&str> for GlobalName {
    fn from(name: &str) -> Self {
        Self(Term::atom(name))
    }
}

impl From<Atom> for GlobalName {
    fn from(name: Atom) -> Self {
        Self(name.into())
    }
}

impl From<Term> for GlobalName {
    fn from(name: Term) -> Self {
        Self(name)
    }
}

/// Something could not be done in the cluster's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobalError {
    /// Another process has the name, or the process has another: Erlang's `no`.
    #[error("the name is taken")]
    Taken,
    /// Others hold the lock, after as many tries as were wanted.
    #[error("the lock is held by another")]
    Locked,
    /// This node is hidden, and so no part of the cluster.
    #[error("a hidden node has no :global")]
    Hidden,
    /// The node shuts down.
    #[error("the node shuts down")]
    ShuttingDown,
}

/// What is to become of a name.
#[derive(Debug, Clone)]
pub(crate) enum Registering {
    /// If nobody has it.
    Register(Pid, Term),
    /// Whoever has it.
    Replace(Pid, Term),
    Unregister,
}

/// A lock that is held until it is given back, dropped, or the node is gone.
#[derive(Debug)]
#[must_use = "dropping it gives the lock back"]
pub struct Lock {
    process: Process,
    id: Term,
    nodes: Vec<Atom>,
}

impl Lock {
    /// Gives the lock back, and waits until every node knows: `del_lock`.
    pub async fn del_lock(mut self) {
        let _node_stops = release(&mut self.process, &self.id, &self.nodes).await;
    }
}

impl Global {
    pub(super) fn new(node: Node, shared: Option<Arc<Shared>>) -> Self {
        Self { node, shared }
    }

    /// Registers a process under a name, if nobody has it. Cancel-safe: once begun it is carried out.
    ///
    /// # Errors
    /// [`GlobalError::Taken`].
    pub async fn register(&self, name: impl Into<GlobalName>, pid: Pid) -> Result<(), GlobalError> {
        let method = resolve::standard("random_exit_name");
        self.change(name.into().0, Registering::Register(pid, method)).await
    }

    /// As [`Global::register`], with a function that decides, should two parts of a cluster meet again that both have
    /// the name: which of the two pids keeps it, or none.
    ///
    /// # Errors
    /// As there.
    pub async fn register_with<F>(&self, name: impl Into<GlobalName>, pid: Pid, resolver: F) -> Result<(), GlobalError>
    where
        F: Fn(&Term, Pid, Pid) -> Option<Pid> + Send + Sync + 'static,
    {
        let method = resolve::export_resolver(&self.node, resolver);
        self.change(name.into().0, Registering::Register(pid, method)).await
    }

    /// Registers a process under a name, whoever has it. Cancel-safe as [`Global::register`].
    ///
    /// # Errors
    /// [`GlobalError`].
    pub async fn re_register(&self, name: impl Into<GlobalName>, pid: Pid) -> Result<(), GlobalError> {
        let method = resolve::standard("random_exit_name");
        self.change(name.into().0, Registering::Replace(pid, method)).await
    }

    /// Frees a name. Cancel-safe as [`Global::register`].
    ///
    /// # Errors
    /// [`GlobalError`].
    pub async fn unregister(&self, name: impl Into<GlobalName>) -> Result<(), GlobalError> {
        self.change(name.into().0, Registering::Unregister).await
    }

    pub(crate) async fn change(&self, name: Term, what: Registering) -> Result<(), GlobalError> {
        let shared = self.shared()?;
        let (done, outcome) = tokio::sync::oneshot::channel();
        let node = self.node.clone();
        // A task of its own: a registration that stops halfway would leave nodes that disagree.
        self.node.spawn_task(async move {
            let mut stopping = node.stopping();
            let changed = tokio::select! {
                changed = change(&node, &shared, name, what) => changed,
                _ = stopping.wait_for(|stopping| *stopping) => Err(GlobalError::ShuttingDown),
            };
            let _nobody_waits = done.send(changed);
        });
        outcome.await.unwrap_or(Err(GlobalError::ShuttingDown))
    }

    /// Who has a name.
    #[must_use]
    pub fn whereis(&self, name: impl Into<GlobalName>) -> Option<Pid> {
        let pid = self.shared.as_ref()?.state().whereis(&name.into().0)?;
        let router = self.node.router();
        (!router.is_ours(pid) || router.cell(pid).is_some()).then_some(pid)
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> Vec<Term> {
        let Some(shared) = &self.shared else { return Vec::new() };
        shared.state().names().map(|(name, _)| name.clone()).collect()
    }

    /// Sends a message to the process of a name.
    ///
    /// # Errors
    /// [`SendError::Nobody`] where no process has it.
    pub async fn send(&self, name: impl Into<GlobalName>, message: impl Serialize) -> Result<(), SendError> {
        self.node.process().send(Dest::Global(name.into().0), message).await
    }

    /// Takes a lock on this node and all visible peers, however long that takes. Cancel-safe.
    ///
    /// # Errors
    /// [`GlobalError`].
    pub async fn set_lock(&self, resource: impl Into<GlobalName>) -> Result<Lock, GlobalError> {
        self.try_lock(resource, None).await
    }

    /// As [`Global::set_lock`], trying again so often only, after pauses that grow.
    ///
    /// # Errors
    /// [`GlobalError::Locked`].
    pub async fn try_lock(&self, resource: impl Into<GlobalName>, retries: Option<u32>) -> Result<Lock, GlobalError> {
        self.shared()?;
        let mut process = self.node.process();
        let id = Term::tuple([resource.into().0, process.pid().into()]);
        let nodes = all_nodes(&self.node);
        match set_lock(&mut process, &id, &nodes, retries).await {
            Ok(true) => Ok(Lock { process, id, nodes }),
            Ok(false) => Err(GlobalError::Locked),
            Err(_ended) => Err(GlobalError::ShuttingDown),
        }
    }

    /// Runs a future while holding a lock: `global:trans`. Cancel-safe: dropped, it gives the lock back.
    ///
    /// # Errors
    /// [`GlobalError`].
    pub async fn trans<T>(
        &self,
        resource: impl Into<GlobalName>,
        body: impl Future<Output = T> + Send,
    ) -> Result<T, GlobalError> {
        let lock = self.set_lock(resource).await?;
        let result = body.await;
        lock.del_lock().await;
        Ok(result)
    }

    /// Waits until all visible peers that are connected have the same names as this node. Cancel-safe.
    ///
    /// # Errors
    /// [`GlobalError`].
    pub async fn sync(&self) -> Result<(), GlobalError> {
        let shared = self.shared()?;
        let mut changed = shared.changed.subscribe();
        loop {
            if shared.state().is_synced() {
                return Ok(());
            }
            changed.changed().await.map_err(|_server_ended| GlobalError::ShuttingDown)?;
        }
    }

    fn shared(&self) -> Result<Arc<Shared>, GlobalError> {
        self.shared.clone().ok_or(GlobalError::Hidden)
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }
}

impl Registry for Global {
    fn register_name(&self, name: Term, pid: Pid) -> Answer<'_, bool> {
        Box::pin(async move { self.register(name, pid).await.is_ok() })
    }

    fn unregister_name(&self, name: Term) -> Answer<'_, ()> {
        Box::pin(async move {
            let _shutting_down = self.unregister(name).await;
        })
    }

    fn whereis_name(&self, name: Term) -> Answer<'_, Option<Pid>> {
        let found = self.whereis(name);
        Box::pin(std::future::ready(found))
    }
}

/// This node and all visible peers.
pub(crate) fn all_nodes(node: &Node) -> Vec<Atom> {
    std::iter::once(node.name()).chain(node.nodes()).map(crate::term::NodeName::atom).collect()
}

async fn change(node: &Node, shared: &Shared, name: Term, what: Registering) -> Result<(), GlobalError> {
    let _one_at_a_time = shared.registrar.lock().await;
    let mut process = node.process();
    let changed = change_as(&mut process, node.name().atom(), shared, name, what).await;
    changed.unwrap_or(Err(GlobalError::ShuttingDown))
}

async fn change_as(
    process: &mut Process,
    me: Atom,
    shared: &Shared,
    name: Term,
    what: Registering,
) -> Result<Result<(), GlobalError>, Exited> {
    let id = Term::tuple([Term::atom("global"), process.pid().into()]);
    let (nodes, boss) = lock_everybody(process, me, shared, &id).await?;
    let request = match what {
        Registering::Register(pid, _) if !shared.state().is_free(&name, pid) => None,
        Registering::Register(pid, method) | Registering::Replace(pid, method) => {
            Some(Term::tuple([Term::atom("register"), name, pid.into(), method]))
        }
        Registering::Unregister => Some(Term::tuple([Term::atom("unregister"), name])),
    };
    let outcome = if request.is_some() { Ok(()) } else { Err(GlobalError::Taken) };
    if let Some(request) = request {
        ask(process, &nodes, &request).await?;
    }
    let others: Vec<Atom> = nodes.into_iter().filter(|node| *node != boss).collect();
    release(process, &id, &others).await?;
    release(process, &id, &[boss]).await?;
    Ok(outcome)
}

/// Takes the lock `global` on this node and all partners: on the boss, the greatest, first.
async fn lock_everybody(
    process: &mut Process,
    me: Atom,
    shared: &Shared,
    id: &Term,
) -> Result<(Vec<Atom>, Atom), Exited> {
    let everybody = || {
        let mut nodes = shared.state().known();
        nodes.push(me);
        nodes
    };
    let mut times = 0;
    loop {
        let mut nodes = everybody();
        nodes.sort();
        let boss = nodes.iter().copied().max().unwrap_or(me);
        // One that is just coming or going would have no say, and is waited for.
        let all_there = nodes.iter().all(|node| process.is_connected(*node));
        if all_there && set_lock(process, id, &[boss], Some(0)).await? {
            let others: Vec<Atom> = nodes.iter().copied().filter(|node| *node != boss).collect();
            let locked = set_lock(process, id, &others, Some(0)).await?;
            let mut now = everybody();
            now.sort();
            if locked && now == nodes {
                return Ok((nodes, boss));
            }
            if locked {
                release(process, id, &others).await?;
            }
            release(process, id, &[boss]).await?;
        }
        pause(&mut times).await;
    }
}

/// Takes a lock on these nodes, those that are connected, in the name of a process; false once it was tried again so
/// often.
pub(crate) async fn set_lock(
    process: &mut Process,
    id: &Term,
    nodes: &[Atom],
    retries: Option<u32>,
) -> Result<bool, Exited> {
    let request = Term::tuple([Term::atom("set_lock"), id.clone()]);
    let (mut times, mut left) = (0, retries);
    loop {
        let answers = ask(process, nodes, &request).await?;
        // A node that has no `:global`, or is gone, has no say.
        let refused = |answer: &Option<Term>| answer.as_ref().is_some_and(|answer| answer.is_atom("false"));
        if !answers.iter().any(|(_, answer)| refused(answer)) {
            return Ok(true);
        }
        let granted: Vec<Atom> =
            answers.iter().filter(|(_, answer)| answer.is_some() && !refused(answer)).map(|(node, _)| *node).collect();
        release(process, id, &granted).await?;
        match &mut left {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None => {}
        }
        pause(&mut times).await;
    }
}

/// Gives a lock back on these nodes; those that are gone have dropped it, and are not connected to again.
pub(crate) async fn release(process: &mut Process, id: &Term, nodes: &[Atom]) -> Result<(), Exited> {
    ask(process, nodes, &Term::tuple([Term::atom("del_lock"), id.clone()])).await.map(|_answers| ())
}

/// Waits for at most a quarter of a second, and each time longer, up to eight seconds, as BEAMs do.
async fn pause(times: &mut u32) {
    let most = if *times > 5 { 8000 } else { (1_u64 << *times) * 125 };
    *times += 1;
    let random = u64::from(getrandom::u32().unwrap_or(most as u32 / 2));
    tokio::time::sleep(Duration::from_millis(1 + random % most)).await;
}

/// Calls the name servers of several nodes at once; `None` for one that is not there. Never connects to any.
async fn ask(process: &mut Process, nodes: &[Atom], request: &Term) -> Result<Vec<(Atom, Option<Term>)>, Exited> {
    let request = reason::of(request);
    let mut open = Vec::with_capacity(nodes.len());
    for node in nodes {
        let to = Target::Name(name_server());
        let reference = process.monitor_alias_noconnect(to, *node, AliasMode::ReplyDemonitor)?;
        let tag = crate::term::List::improper(vec![known::alias().into()], reference.into());
        let from = Term::tuple([process.pid().into(), tag]);
        let message = Encoded::tuple(&[reason::of(&known::gen_call().into()), reason::of(&from), request.clone()]);
        let _sent_or_gone = process.send_noconnect(name_server(), *node, message);
        open.push((*node, reference));
    }
    let mut answers = Vec::with_capacity(open.len());
    for (node, reference) in open {
        let answer = process.receive_match(|mail| match mail {
            Mail::Message(message) if message.alias() == Some(reference) => {
                Some(message.term().ok().and_then(|reply| reply.as_tuple()?.get(1).cloned()))
            }
            Mail::Down(down) if down.reference == reference => Some(None),
            Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
        });
        answers.push((node, answer.await?));
    }
    Ok(answers)
}
