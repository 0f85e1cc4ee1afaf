//! The process of a registry's member: answers `Horde`'s calls, watches who has names, does what changes demand.

use std::time::Duration;

use hashbrown::HashMap;

use super::state::Act;
use super::{Event, HordeRegistry};
use crate::delta_crdt::{DeltaCrdt, Operation};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply, serve};
use crate::horde::{MemberName, crdt_addresses, member_list};
use crate::process::{Dest, Exit, From, Mail, Process, reason};
use crate::term::{Atom, Pid, Ref, Term, atom::known};

pub(super) struct Server {
    registry: HordeRegistry,
    crdt: DeltaCrdt,
    watches: HashMap<Pid, Ref>,
    watched: HashMap<Ref, Pid>,
    listeners: Vec<Atom>,
    /// After so long the loser's own node has told it.
    patience: Duration,
}

impl Server {
    pub(super) fn start(
        registry: HordeRegistry,
        crdt: DeltaCrdt,
        process: Process,
        listeners: Vec<Atom>,
        interval: Duration,
    ) {
        process.trap_exit(true);
        let node = registry.node.clone();
        let (watches, watched) = (HashMap::new(), HashMap::new());
        let server = Self { registry, crdt, watches, watched, listeners, patience: interval * 3 };
        let serving = node.clone();
        node.run(process, move |process| serve(server, Context::new(serving, process)));
    }

    /// Does all that is to be done, and what follows from it.
    fn act(&mut self, process: &mut Process) {
        loop {
            let acts = self.registry.shared.take_acts();
            if acts.is_empty() {
                return;
            }
            for act in acts {
                self.perform(act, process);
            }
        }
    }

    fn perform(&mut self, act: Act, process: &mut Process) {
        match act {
            Act::Write(pairs) => self.write(pairs.into_iter().map(|(key, value)| Operation::Add(key, value)).collect()),
            Act::Drop(keys) => self.write(keys.into_iter().map(Operation::Remove).collect()),
            Act::Neighbours(members) => self.crdt.set_neighbour_terms(crdt_addresses(&members)),
            Act::Join(node) => {
                let name = self.registry.name();
                let seen = self.registry.node.nodes().into_iter().map(crate::term::NodeName::atom);
                let members: Vec<_> = seen.chain([node]).map(|node| MemberName { name, node }).collect();
                self.registry.shared.state().add_members(&members);
            }
            Act::Watch(pid) => {
                if self.watches.contains_key(&pid) {
                    return;
                }
                if let Ok(reference) = process.monitor(pid) {
                    self.watches.insert(pid, reference);
                    self.watched.insert(reference, pid);
                }
            }
            Act::Unwatch(pid) => {
                if let Some(reference) = self.watches.remove(&pid) {
                    self.watched.remove(&reference);
                    process.demonitor(reference);
                }
            }
            Act::Exit(pid, why) => {
                let _ended_already = process.exit(pid, &why);
            }
            Act::Contest { key, loser, reason } => {
                let value = super::state::entry_term(loser.member, loser.pid, loser.value);
                if self.crdt.holds(&super::state::key_term(&key), &value) {
                    let (process, patience) = (process.share(), self.patience);
                    self.registry.node.spawn_task(async move {
                        tokio::time::sleep(patience).await;
                        let _ended_already = process.exit(loser.pid, &reason);
                    });
                }
            }
            Act::Tell(event) => self.tell(&event, process),
        }
    }

    fn write(&self, operations: Vec<Operation>) {
        if let Err(error) = self.crdt.mutate_all(operations) {
            tracing::debug!(%error, "the registry cannot write");
        }
    }

    fn tell(&self, event: &Event, process: &Process) {
        self.registry.shared.tell(event);
        if self.listeners.is_empty() {
            return;
        }
        let name = Term::from(self.registry.name());
        let message = match event.clone() {
            Event::Registered { key, pid, value } => {
                Term::tuple([Term::atom("register"), name, key, pid.into(), value])
            }
            Event::Unregistered { key, pid } => Term::tuple([Term::atom("unregister"), name, key, pid.into()]),
            Event::Conflict { .. } => return,
        };
        let message = reason::of(&message);
        for listener in &self.listeners {
            let _nobody_listens = process.send_now(Dest::Name(*listener), message.clone());
        }
    }

    /// `None` for what no registry understands.
    fn answer(&self, request: &Term) -> Option<Term> {
        let registry = &self.registry;
        let ok = || Term::from(known::ok());
        if request.is_atom("members") {
            return Some(registry.members().iter().map(MemberName::term).collect::<Vec<_>>().into());
        }
        let request = request.as_tuple()?;
        let (tag, args) = request.split_first()?;
        let done = match (tag.as_atom()?.as_str(), args) {
            ("set_members", [members]) => {
                registry.set_member_names(&member_list(members, registry.node.name().atom())?);
                Ok(ok())
            }
            ("register", [key, value, Term::Pid(pid)]) => {
                let registered = registry.take(key.clone(), *pid, value.clone());
                registered.map(|()| Term::tuple([ok(), registry.pid().into()]))
            }
            ("unregister", [key, Term::Pid(_)]) => registry.unregister_term(key).map(|()| ok()),
            ("update_value", [key, Term::Pid(pid), value]) => {
                registry.take(key.clone(), *pid, value.clone()).map(|()| ok())
            }
            ("put_meta", [key, value]) => registry.put_meta(key, value).map(|()| ok()),
            ("delete_meta", [key]) => registry.delete_meta(key).map(|()| ok()),
            _ => return None,
        };
        done.map_err(|error| tracing::debug!(%error, "the registry cannot do what it was asked")).ok()
    }
}

impl GenServer for Server {
    /// A request that no registry understands is refused to its caller alone.
    async fn call(&mut self, request: Encoded, _: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        let answer = self.answer(&request);
        // Whoever has the answer finds all members told.
        self.act(&mut context.process);
        Ok(match answer {
            Some(answer) => answer.into(),
            None => Term::tuple([known::error().into(), Term::tuple([Term::atom("bad_call"), request])]).into(),
        })
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        match mail {
            // Only `act` is sent here; anything else is passed over by doing nothing new.
            Mail::Message(_) | Mail::SpawnReply(_) => {}
            Mail::Down(down) => {
                if let Some(pid) = self.watched.remove(&down.reference) {
                    self.watches.remove(&pid);
                    self.registry.shared.state().process_down(pid);
                }
            }
            Mail::Exit(exit) => {
                let why = exit.reason.term().unwrap_or_default();
                if why.is_atom("shutdown") {
                    return Err(Exit::shutdown());
                }
            }
        }
        self.act(&mut context.process);
        Ok(())
    }

    fn state(&self) -> Term {
        self.registry.members().iter().map(MemberName::term).collect::<Vec<_>>().into()
    }

    fn module(&self) -> &str {
        "Elixir.Horde.RegistryImpl"
    }
}
