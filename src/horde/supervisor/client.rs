//! What programs do with a supervisor, with the names and meanings of `Horde.DynamicSupervisor`'s functions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::children::Order;
use super::{HordeSupervisor, Supervisors, children_name};
use crate::horde::MemberName;
use crate::horde::registry::MemberOf;
use crate::process::CallError;
use crate::term::{Atom, Map, Pid, Term, atom::known};

/// How long a member may take to tell of its children; then it is passed over.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a member that goes waits for others to take its children.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A child of some member.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its process.
    pub pid: Pid,
    /// Whether it supervises others.
    pub supervisor: bool,
    /// The modules of its specification.
    pub modules: Term,
}

impl HordeSupervisor {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Atom {
        self.shared.state().me().name
    }

    /// The supervisor's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.shared.me
    }

    /// Starts a child on the member that is chosen for it. The specification is a map as Elixir's: `start: {M, F, A}`,
    /// and perhaps `restart`, `shutdown`, `type`, `modules`.
    ///
    /// # Errors
    /// [`CallError::Exit`] with the reason why it was not started.
    pub async fn start_child(&self, spec: Map) -> Result<Pid, CallError> {
        let request = Term::tuple([Term::atom("start_child"), spec.into()]);
        let answer = self.node.process().call(self.shared.me, &request, None).await?;
        match answer.as_tuple() {
            Some([ok, Term::Pid(pid), ..]) if ok.is_atom("ok") => Ok(*pid),
            Some([_, why, ..]) => Err(CallError::Exit(why.clone())),
            _ => Err(CallError::Exit(answer)),
        }
    }

    /// Ends a child, wherever it runs, for good.
    ///
    /// # Errors
    /// [`CallError::Exit`] with `not_found`, or why its member cannot be reached.
    pub async fn terminate_child(&self, child: Pid) -> Result<(), CallError> {
        let request = Term::tuple([Term::atom("terminate_child"), child.into()]);
        let answer = self.node.process().call(self.shared.me, &request, None).await?;
        match answer.as_tuple() {
            Some([_, why, ..]) => Err(CallError::Exit(why.clone())),
            _ => Ok(()),
        }
    }

    /// The children of all members. One that does not answer is passed over.
    pub async fn which_children(&self) -> Vec<ChildInfo> {
        let all = self.which_children_term().await;
        let child = |child: std::borrow::Cow<'_, Term>| {
            let [_, Term::Pid(pid), kind, modules] = child.as_tuple()? else { return None };
            Some(ChildInfo { pid: *pid, supervisor: kind.is_atom("supervisor"), modules: modules.clone() })
        };
        all.as_list().into_iter().flatten().filter_map(child).collect()
    }

    pub(super) async fn which_children_term(&self) -> Term {
        let mut all = Vec::new();
        for answer in self.ask_all("which_children").await {
            for child in answer.as_list().into_iter().flatten() {
                if let Some([_, pid, kind, modules]) = child.as_tuple() {
                    let child = [known::undefined().into(), pid.clone(), kind.clone(), modules.clone()];
                    all.push(Term::tuple(child));
                }
            }
        }
        all.into()
    }

    /// How many `specs`, `active`, `supervisors` and `workers` all members have together.
    pub async fn count_children(&self) -> BTreeMap<Atom, u64> {
        let mut counts = BTreeMap::new();
        for answer in self.ask_all("count_children").await {
            for count in answer.as_list().into_iter().flatten() {
                if let Some([Term::Atom(kind), n]) = count.as_tuple() {
                    *counts.entry(*kind).or_default() += n.as_i64().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                }
            }
        }
        counts
    }

    pub(super) async fn count_children_term(&self) -> Term {
        let counts = self.count_children().await;
        counts.into_iter().map(|(kind, n)| (kind.into(), n.into())).collect::<Map>().into()
    }

    async fn ask_all(&self, question: &str) -> Vec<Term> {
        let question = Term::atom(question);
        let members = self.members();
        let calls: Vec<_> = members
            .into_iter()
            .filter_map(|member| Some((children_name(member.name)?, member.node)))
            .map(|to| {
                let (mut process, question) = (self.node.process(), question.clone());
                tokio::spawn(async move { process.call(to, &question, Some(ANSWER_WITHIN)).await.ok() })
            })
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.extend(call.await.ok().flatten());
        }
        answers
    }

    /// Waits until enough members are alive to run children. Cancel-safe.
    ///
    /// # Errors
    /// [`CallError`], once the supervisor has ended.
    pub async fn wait_for_quorum(&self) -> Result<(), CallError> {
        let waiting = Term::atom("wait_for_quorum");
        self.node.process().call(self.shared.me, &waiting, None).await.map(|_ok| ())
    }

    /// The members: `Horde.Cluster.members/1`.
    #[must_use]
    pub fn members(&self) -> Vec<MemberName> {
        self.shared.state().members().collect()
    }

    /// Makes these the members, and no others: `Horde.Cluster.set_members/2`.
    pub fn set_members<M: Into<MemberOf>>(&self, members: impl IntoIterator<Item = M>) {
        let name = self.name();
        let members: Vec<_> = members.into_iter().map(|member| member.into().of(name)).collect();
        self.shared.change(|state| state.set_members(&members));
    }

    /// Gives its children up, and waits until those members have started them that they belong to now; it takes no more.
    pub async fn leave(&self) {
        let shut_down = Term::atom("horde_shutting_down");
        let _has_ended = self.node.process().call(self.shared.me, &shut_down, Some(ANSWER_WITHIN)).await;
        // Each answers after what it was told before: the children have ended, this is written, and on its way.
        let last = [(self.shared.children, Term::atom("count_children")), (self.shared.me, Term::atom("members"))];
        for (pid, question) in last {
            let _has_ended = self.node.process().call(pid, &question, None).await;
        }
        if let Some(crdt) = self.shared.crdt.get() {
            if !crdt.synced(TAKEN_WITHIN).await {
                tracing::warn!("not all members have acknowledged the children that are given up");
            }
            // That a child runs elsewhere is seen once both sides have compared.
            let last = tokio::time::Instant::now() + TAKEN_WITHIN;
            while self.shared.state().awaits_takers() && tokio::time::Instant::now() < last {
                crdt.sync();
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let left = self.shared.state().counts_given_up();
            if left > 0 {
                tracing::warn!(left, "children that no member has taken over yet");
            }
        }
    }

    /// Ends the member, its children given up first.
    pub async fn stop(&self) {
        self.leave().await;
        self.node.extension::<Supervisors>().lock().remove(&self.name());
        let mut process = self.node.process();
        self.shared.order(Order::Halt);
        for pid in [self.shared.children, self.shared.me] {
            if let Ok(reference) = process.monitor(pid) {
                let _ended_already = process.exit(pid, &known::shutdown().into());
                let _down = process.down(reference).await;
            }
        }
        if let Some(crdt) = self.shared.crdt.get() {
            crdt.stop().await;
        }
    }
}

/// The answer to what no supervisor understands.
pub(super) fn bad_call(request: &Term) -> Term {
    Term::tuple([known::error().into(), Term::tuple([Term::atom("bad_call"), request.clone()])])
}
