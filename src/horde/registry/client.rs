//! What programs do with a registry, with the names and meanings of `Horde.Registry`'s functions.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::builder::MemberOf;
use super::state::{entry_term, key_term, meta_key};
use super::{Entry, Events, HordeRegistry, Registries, RegistryError};
use crate::delta_crdt::{DeltaCrdtError, Operation};
use crate::horde::MemberName;
use crate::process::Dest;
use crate::serde::{from_term, to_term};
use crate::term::{Atom, Pid, Term};

/// How long another node may take to say whether a process lives; then the name counts as taken.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// How long a member that goes waits for the others' acknowledgement.
const SYNCED_WITHIN: Duration = Duration::from_secs(5);

impl HordeRegistry {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Atom {
        self.shared.state().me().name
    }

    /// The registry's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.shared.me
    }

    /// Registers a process, of this node as a rule, unless a living one has the name. Cancel-safe.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRegistered`].
    pub async fn register(&self, key: impl Serialize, pid: Pid, value: impl Serialize) -> Result<(), RegistryError> {
        self.register_term(to_term(&key)?, pid, to_term(&value)?).await
    }

    pub(crate) async fn register_term(&self, key: Term, pid: Pid, value: Term) -> Result<(), RegistryError> {
        let dead = match self.view(&key) {
            Some(entry) if self.is_alive(entry.pid).await => return Err(RegistryError::AlreadyRegistered(entry.pid)),
            entry => entry.map(|entry| entry.pid),
        };
        let _one_at_a_time = self.shared.registrar.lock().unwrap_or_else(PoisonError::into_inner);
        match self.view(&key) {
            Some(entry) if Some(entry.pid) != dead => Err(RegistryError::AlreadyRegistered(entry.pid)),
            _ => self.put(key, pid, value),
        }
    }

    /// Registers whoever has the name, as the call `{register, …}` of a registry does.
    pub(super) fn take(&self, key: Term, pid: Pid, value: Term) -> Result<(), RegistryError> {
        let _one_at_a_time = self.shared.registrar.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(key, pid, value)
    }

    /// One at a time.
    fn put(&self, key: Term, pid: Pid, value: Term) -> Result<(), RegistryError> {
        let me = {
            let state = self.shared.state();
            if state.has_left() {
                return Err(DeltaCrdtError::Ended.into());
            }
            state.me()
        };
        Ok(self.shared.write(vec![Operation::Add(key_term(&key), entry_term(me, pid, value))])?)
    }

    /// Frees a name, whoever has it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn unregister(&self, key: impl Serialize) -> Result<(), RegistryError> {
        self.unregister_term(&to_term(&key)?)
    }

    pub(crate) fn unregister_term(&self, key: &Term) -> Result<(), RegistryError> {
        self.shared.state().unregistered(key);
        Ok(self.shared.write(vec![Operation::Remove(key_term(key))])?)
    }

    /// Frees the names of a process whose values are wanted by `matches`: `unregister_match/4`. How many.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn unregister_match(&self, pid: Pid, matches: impl Fn(&Term, &Term) -> bool) -> Result<usize, RegistryError> {
        let found = self.select(|key, entry_pid, value| (entry_pid == pid && matches(key, value)).then(|| key.clone()));
        for key in &found {
            self.unregister_term(key)?;
        }
        Ok(found.len())
    }

    /// The process of a name and its value, if it lives: `lookup/2`. The process's node is asked.
    ///
    /// # Errors
    /// [`RegistryError::Serde`], if the value is not of that type.
    pub async fn lookup<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<Option<(Pid, T)>, RegistryError> {
        match self.lookup_term(&to_term(&key)?).await {
            Some((pid, value)) => Ok(Some((pid, from_term(&value)?))),
            None => Ok(None),
        }
    }

    pub(crate) async fn lookup_term(&self, key: &Term) -> Option<(Pid, Term)> {
        let entry = self.view(key)?;
        self.is_alive(entry.pid).await.then_some((entry.pid, entry.value))
    }

    /// The process of a name, as this member knows it: nobody is asked. Its node is connected.
    #[must_use]
    pub fn whereis(&self, key: impl Serialize) -> Option<Pid> {
        self.whereis_term(&to_term(&key).ok()?)
    }

    pub(super) fn whereis_term(&self, key: &Term) -> Option<Pid> {
        let pid = self.view(key)?.pid;
        let router = self.node.router();
        let there = if router.is_ours(pid) { router.cell(pid).is_some() } else { self.sees(pid.node) };
        there.then_some(pid)
    }

    /// A destination for sends, calls and monitors: `{via, Horde.Registry, {Name, Key}}`.
    ///
    /// # Errors
    /// [`RegistryError::Serde`], if the key is no term.
    pub fn via(&self, key: impl Serialize) -> Result<Dest, RegistryError> {
        let name = Term::tuple([self.name().into(), to_term(&key)?]);
        Ok(Dest::Via(Atom::new("Elixir.Horde.Registry"), name))
    }

    /// The names of a process, the latest first.
    #[must_use]
    pub fn keys(&self, pid: Pid) -> Vec<Term> {
        self.shared.state().keys_of(pid).to_vec()
    }

    /// How many names there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.state().entries().len()
    }

    /// How many registrations of a key have such a value; none or one: `count_match/4`.
    #[must_use]
    pub fn count_match(&self, key: &Term, matches: impl Fn(&Term) -> bool) -> usize {
        usize::from(self.matching(key, matches).is_some())
    }

    /// The registration of a key, if it has such a value: `match/4`.
    #[must_use]
    pub fn matching(&self, key: &Term, matches: impl Fn(&Term) -> bool) -> Option<(Pid, Term)> {
        let state = self.shared.state();
        state.entry(key).filter(|entry| matches(&entry.value)).map(|entry| (entry.pid, entry.value.clone()))
    }

    /// What `pick` makes of every registration that it wants: `select/2`. It must not use the registry.
    pub fn select<T>(&self, pick: impl Fn(&Term, Pid, &Term) -> Option<T>) -> Vec<T> {
        self.shared.state().entries().filter_map(|(key, entry)| pick(key, entry.pid, &entry.value)).collect()
    }

    /// All names with their processes and values, in the order of the names.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<Term, (Pid, Term)> {
        self.select(|key, pid, value| Some((key.clone(), (pid, value.clone())))).into_iter().collect()
    }

    pub(super) fn rows<T>(&self, pick: impl Fn(Term) -> Option<T>) -> Vec<T> {
        let state = self.shared.state();
        let row = |(key, entry): (&Term, &Entry)| {
            let value = Term::tuple([entry.pid.into(), entry.value.clone()]);
            pick(Term::tuple([key.clone(), entry.member.term(), value]))
        };
        state.entries().filter_map(row).collect()
    }

    /// Calls `act` with the process of a key and its value, if there is one: `dispatch/4`.
    pub fn dispatch(&self, key: &Term, act: impl FnOnce(Pid, &Term)) {
        let found = self.matching(key, |_| true);
        if let Some((pid, value)) = found {
            act(pid, &value);
        }
    }

    /// Changes the value of a name that the process has: `update_value/3`. The new and the old value, or `None` where
    /// it has no such name.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn update_value(
        &self,
        key: impl Serialize,
        pid: Pid,
        change: impl FnOnce(&Term) -> Term,
    ) -> Result<Option<(Term, Term)>, RegistryError> {
        let key = to_term(&key)?;
        let _one_at_a_time = self.shared.registrar.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((owner, old)) = self.matching(&key, |_| true) else { return Ok(None) };
        if owner != pid {
            return Ok(None);
        }
        let new = change(&old);
        self.put(key, pid, new.clone())?;
        Ok(Some((new, old)))
    }

    /// Keeps a pair beside the names, for all members.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_meta(&self, key: impl Serialize, value: impl Serialize) -> Result<(), RegistryError> {
        Ok(self.shared.write(vec![Operation::Add(meta_key(&to_term(&key)?), to_term(&value)?)])?)
    }

    /// The value of a pair beside the names.
    ///
    /// # Errors
    /// [`RegistryError::Serde`], if the value is not of that type.
    pub fn meta<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<Option<T>, RegistryError> {
        let value = self.meta_term(&to_term(&key)?);
        Ok(value.map(|value| from_term(&value)).transpose()?)
    }

    pub(super) fn meta_term(&self, key: &Term) -> Option<Term> {
        self.shared.state().meta(key).cloned()
    }

    /// Removes a pair beside the names.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn delete_meta(&self, key: impl Serialize) -> Result<(), RegistryError> {
        Ok(self.shared.write(vec![Operation::Remove(meta_key(&to_term(&key)?))])?)
    }

    /// The members: `Horde.Cluster.members/1`.
    #[must_use]
    pub fn members(&self) -> Vec<MemberName> {
        self.shared.state().members().collect()
    }

    /// Makes these the members, and no others: `Horde.Cluster.set_members/2`. Saying it on one member is enough.
    pub fn set_members<M: Into<MemberOf>>(&self, members: impl IntoIterator<Item = M>) {
        let name = self.name();
        let members: Vec<_> = members.into_iter().map(|member| member.into().of(name)).collect();
        self.set_member_names(&members);
    }

    pub(super) fn set_member_names(&self, members: &[MemberName]) {
        self.shared.change(|state, _| state.set_members(members));
    }

    /// What happens to names from now on: what Horde's listeners get.
    #[must_use]
    pub fn events(&self) -> Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Events(receiver)
    }

    /// Frees all names that were registered here, so that the others need not find out, and waits until they have
    /// acknowledged it; it stays a member, and registers nobody any more.
    pub async fn leave(&self) {
        let keys = {
            // Who is registering at the moment is here, too.
            let _one_at_a_time = self.shared.registrar.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.state().leave()
        };
        let _has_ended = self.shared.write(keys.into_iter().map(Operation::Remove).collect());
        if let Some(crdt) = self.shared.crdt.get() {
            if !crdt.synced(SYNCED_WITHIN).await {
                tracing::warn!("not all members have acknowledged that its names are free");
            }
        }
    }

    /// Ends the member, names freed first.
    pub async fn stop(&self) {
        self.leave().await;
        let registries = self.node.extension::<Registries>();
        registries.lock().remove(&self.name());
        let mut process = self.node.process();
        if let Ok(reference) = process.monitor(self.shared.me) {
            let _ended_already = process.exit(self.shared.me, &Term::atom("shutdown"));
            let _down = process.down(reference).await;
        }
        if let Some(crdt) = self.shared.crdt.get() {
            crdt.stop().await;
        }
        self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn view(&self, key: &Term) -> Option<Entry> {
        self.shared.state().lookup(key).cloned()
    }

    fn sees(&self, node: Atom) -> bool {
        self.node.nodes().iter().any(|peer| *peer == node)
    }

    /// As Horde's `process_alive?`: a process of a node that is not connected counts as gone.
    async fn is_alive(&self, pid: Pid) -> bool {
        let router = self.node.router();
        if router.is_ours(pid) || pid.node == self.node.name().atom() {
            return router.cell(pid).is_some_and(|cell| cell.live().is_ok());
        }
        if !self.sees(pid.node) {
            return false;
        }
        let rpc = self.node.rpc(pid.node).timeout(ALIVE_WITHIN);
        let alive = rpc.call_term(Atom::new("Elixir.Process"), Atom::new("alive?"), vec![pid.into()]).await;
        match alive {
            Ok(alive) => alive.is_atom("true"),
            Err(crate::rpc::RpcError::NoConnection(_)) => false,
            // Rather a name that is refused than one that two have.
            Err(_) => true,
        }
    }
}
