//! The process of a supervisor's member: takes requests, hands them on, watches the other members.

use std::time::Duration;

use hashbrown::HashMap;

use super::children::Order;
use super::state::{Act, State};
use super::{HordeSupervisor, client};
use crate::delta_crdt::{DeltaCrdt, Operation};
use crate::etf::Encoded;
use crate::gen_server::{Context, GenServer, Reply, serve};
use crate::horde::{MemberName, crdt_addresses, member_list};
use crate::process::{Dest, Exit, From, Mail, Process, reason};
use crate::term::{Map, Ref, Term, atom::known};

/// How many intervals a member that was marked dead and lives may take to say so: it compares, writes, and others compare.
const PATIENCE: u32 = 10;

pub(super) struct Server {
    supervisor: HordeSupervisor,
    crdt: DeltaCrdt,
    monitors: HashMap<Ref, MemberName>,
    waiting: Vec<From>,
    /// After so long a member that lives has said so.
    patience: Duration,
}

impl Server {
    pub(super) fn start(supervisor: HordeSupervisor, crdt: DeltaCrdt, process: Process, interval: Duration) {
        process.trap_exit(true);
        let node = supervisor.node.clone();
        let server =
            Self { supervisor, crdt, monitors: HashMap::new(), waiting: Vec::new(), patience: interval * PATIENCE };
        let serving = node.clone();
        node.run(process, move |process| serve(server, Context::new(serving, process)));
    }

    fn act(&mut self, process: &Process) {
        loop {
            let acts = self.supervisor.shared.take_acts();
            if acts.is_empty() {
                return;
            }
            for act in acts {
                self.perform(act, process);
            }
        }
    }

    fn perform(&mut self, act: Act, process: &Process) {
        let shared = &self.supervisor.shared;
        match act {
            Act::Write(pairs) => self.write(pairs.into_iter().map(|(key, value)| Operation::Add(key, value)).collect()),
            Act::Drop(keys) => self.write(keys.into_iter().map(Operation::Remove).collect()),
            Act::Neighbours(members) => self.crdt.set_neighbour_terms(crdt_addresses(&members)),
            Act::Join(node) => {
                let name = self.supervisor.name();
                let seen = self.supervisor.node.nodes().into_iter().map(crate::term::NodeName::atom);
                let members: Vec<_> = seen.chain([node]).map(|node| MemberName { name, node }).collect();
                shared.state().add_members(&members);
            }
            Act::Monitor(member) => {
                if let Ok(reference) = process.monitor((member.name, member.node)) {
                    self.monitors.insert(reference, member);
                }
            }
            Act::Start(spec, from) => shared.order(Order::Start(spec, from)),
            Act::Terminate(id, from) => shared.order(Order::Terminate(id, from)),
            Act::HandOver(pid) => shared.order(Order::HandOver(pid)),
            Act::Discard(pid) => shared.order(Order::Discard(pid)),
            Act::GiveUpAll => shared.order(Order::GiveUpAll),
            Act::Reply(from, reply) => {
                let _caller_is_gone = process.reply(&from, &reply);
            }
            Act::Proxy { to, operation, from, ttl } => {
                let from = Term::tuple([from.pid().into(), from.tag().clone()]);
                let mut message = vec![Term::atom("proxy_operation"), operation, from];
                // Members of before 0.10 know only the form without it.
                message.extend(ttl.map(Term::from));
                let _gone = process.send_now(Dest::from((to.name, to.node)), reason::of(&Term::tuple(message)));
            }
            Act::LookAgain => {
                let (supervisor, patience) = (self.supervisor.clone(), self.patience);
                supervisor.node.clone().spawn_task(async move {
                    tokio::time::sleep(patience).await;
                    supervisor.shared.change(State::look_again);
                });
            }
            Act::Quorum(met) => {
                for from in self.waiting.drain(..).filter(|_| met).collect::<Vec<_>>() {
                    let _caller_is_gone = process.reply(&from, &known::ok().into());
                }
            }
        }
    }

    fn write(&self, operations: Vec<Operation>) {
        if let Err(error) = self.crdt.mutate_all(operations) {
            tracing::debug!(%error, "the supervisor cannot write");
        }
    }

    /// What changes the state, or is handed on. False for what it is not.
    fn operate(&self, request: &Term, from: &From, ttl: Option<u64>) -> bool {
        let shared = &self.supervisor.shared;
        match request.as_tuple() {
            Some([tag, Term::Map(spec)]) if tag.is_atom("start_child") => {
                shared.state().start_child(spec.clone(), random_id(), from.clone(), ttl);
            }
            Some([tag, Term::Pid(pid)]) if tag.is_atom("terminate_child") => {
                shared.state().terminate_child(*pid, from.clone(), ttl);
            }
            _ => return false,
        }
        true
    }

    fn handle_call(&mut self, request: &Term, from: From) -> Result<Reply, Exit> {
        let supervisor = &self.supervisor;
        let ttl = supervisor.shared.state().ttl();
        if self.operate(request, &from, ttl) {
            return Ok(Reply::Later);
        }
        let now = |term: Term| Ok(Reply::from(term));
        match request.as_atom().map_or("", |name| name.as_str()) {
            "members" => now(supervisor.members().iter().map(MemberName::term).collect::<Vec<_>>().into()),
            question @ ("which_children" | "count_children") => {
                let (asking, question) = (supervisor.clone(), question.to_owned());
                supervisor.node.spawn_task(async move {
                    let answer = match question.as_str() {
                        "which_children" => asking.which_children_term().await,
                        _ => asking.count_children_term().await,
                    };
                    let _caller_is_gone = asking.node.process().reply(&from, &answer);
                });
                Ok(Reply::Later)
            }
            "wait_for_quorum" => {
                if supervisor.shared.state().has_quorum() {
                    return now(known::ok().into());
                }
                self.waiting.push(from);
                Ok(Reply::Later)
            }
            "get_telemetry" => {
                let (all, here) = supervisor.shared.state().counts();
                let fields = [("global_supervised_process_count", all), ("local_supervised_process_count", here)];
                now(fields.into_iter().map(|(field, n)| (Term::atom(field), n.into())).collect::<Map>().into())
            }
            "horde_shutting_down" => {
                supervisor.shared.state().shut_down();
                now(known::ok().into())
            }
            _ => match request.as_tuple() {
                Some([tag, members]) if tag.is_atom("set_members") => {
                    let members = member_list(members, supervisor.node.name().atom());
                    let Some(members) = members else { return now(client::bad_call(request)) };
                    supervisor.shared.state().set_members(&members);
                    now(known::ok().into())
                }
                _ => now(client::bad_call(request)),
            },
        }
    }

    /// `{proxy_operation, Operation, From}`, with the hops that are left perhaps.
    fn proxied(&self, message: &Term) -> Option<()> {
        let (tag, rest) = message.as_tuple()?.split_first()?;
        let (operation, from, ttl) = match rest {
            [operation, from] => (operation, from, None),
            [operation, from, ttl] if ttl.is_atom("infinity") => (operation, from, None),
            [operation, from, ttl] => (operation, from, Some(u64::try_from(ttl.as_i64()?).ok()?.saturating_sub(1))),
            _ => return None,
        };
        let from = From::parse(&reason::of(from)).filter(|_| tag.is_atom("proxy_operation"))?;
        self.operate(operation, &from, ttl).then_some(())
    }
}

/// From 1 to 2^128, as Horde's.
fn random_id() -> Term {
    let [high, low] = [(); 2].map(|()| u128::from(getrandom::u64().unwrap_or(1)));
    Term::from((high << 64 | low).max(1))
}

impl GenServer for Server {
    async fn call(&mut self, request: Encoded, from: From, context: &mut Context) -> Result<Reply, Exit> {
        let request = request.term().unwrap_or_default();
        let reply = self.handle_call(&request, from);
        self.act(&context.process);
        reply
    }

    async fn info(&mut self, mail: Mail, context: &mut Context) -> Result<(), Exit> {
        match mail {
            Mail::Message(message) => {
                if let Ok(term) = message.term() {
                    let _something_else = self.proxied(&term);
                }
            }
            Mail::Down(down) => {
                if let Some(member) = self.monitors.remove(&down.reference) {
                    self.supervisor.shared.state().member_down(member);
                }
            }
            Mail::Exit(exit) => {
                if exit.reason.is_atom("shutdown") {
                    return Err(Exit::shutdown());
                }
            }
            Mail::SpawnReply(_) => {}
        }
        self.act(&context.process);
        Ok(())
    }

    fn module(&self) -> &str {
        "Elixir.Horde.DynamicSupervisorImpl"
    }
}
