//! Starting a member of a supervisor: `Horde.DynamicSupervisor.start_link/1` with its options.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::children::{Children, Spec};
use super::server::Server;
use super::state::{Settings, State};
use super::{HordeSupervisor, Shared, Supervisors, Watcher, children_name, exports};
use crate::gen_server::{Context, serve};
use crate::horde::registry::{MemberOf, Members, StartError};
use crate::horde::{Distribution, MemberName, SYNC_INTERVAL, Uniform, crdt_name};
use crate::node::{Node, Observer};
use crate::supervisor::Intensity;
use crate::term::Atom;

/// Sets a member of a supervisor up; made by `Node::horde_supervisor`.
#[derive(Debug)]
#[must_use = "a member starts with `start`"]
pub struct HordeSupervisorBuilder {
    node: Node,
    name: Atom,
    members: Members,
    observer: bool,
    distribution: Arc<dyn Distribution>,
    active: bool,
    ttl: Option<u64>,
    intensity: Intensity,
    sync_interval: Duration,
    max_sync_size: Option<usize>,
}

impl HordeSupervisorBuilder {
    pub(super) fn new(node: Node, name: Atom) -> Self {
        Self {
            node,
            name,
            members: Members::Alone,
            observer: false,
            distribution: Arc::new(Uniform),
            active: false,
            ttl: None,
            intensity: Intensity { restarts: 3, within: Duration::from_secs(5) },
            sync_interval: SYNC_INTERVAL,
            max_sync_size: None,
        }
    }

    /// All visible nodes are members, as they come and go: `members: :auto`.
    pub fn members_auto(mut self) -> Self {
        self.members = Members::Auto;
        self
    }

    /// These are members, and this node.
    pub fn members<M: Into<MemberOf>>(mut self, members: impl IntoIterator<Item = M>) -> Self {
        let name = self.name;
        self.members = Members::These(members.into_iter().map(|member| member.into().of(name)).collect());
        self
    }

    /// It is never chosen to run children, and counts in no quorum.
    pub fn observer(mut self) -> Self {
        self.observer = true;
        self
    }

    /// Which member runs a child; [`Uniform`] otherwise. All members must agree.
    pub fn distribution(mut self, distribution: impl Distribution + 'static) -> Self {
        self.distribution = Arc::new(distribution);
        self
    }

    /// A child that belongs to another member, since one has come, is handed over at once: `process_redistribution:
    /// :active`. Otherwise it stays until its member ends.
    pub fn redistribute(mut self) -> Self {
        self.active = true;
        self
    }

    /// How often a request may be handed on among the members, `proxy_message_ttl`; as often as it takes otherwise.
    /// Horde before 0.10 does not understand it.
    pub fn proxy_ttl(mut self, hops: u64) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// How many restarts there may be in how long: 3 in 5 seconds. A child that needs more is given up.
    pub fn intensity(mut self, restarts: usize, within: Duration) -> Self {
        self.intensity = Intensity { restarts, within };
        self
    }

    /// How often replicas compare; 300 ms.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// How many keys one message between replicas carries at most.
    pub fn max_sync_size(mut self, keys: usize) -> Self {
        self.max_sync_size = Some(keys);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`StartError`].
    #[expect(clippy::unused_async, reason = "members of other nodes may be asked before the start")]
    pub async fn start(self) -> Result<HordeSupervisor, StartError> {
        let too_long = || StartError::TooLong(self.name.as_str().to_owned());
        let crdt_name = crdt_name(self.name).ok_or_else(too_long)?;
        let children_name = children_name(self.name).ok_or_else(too_long)?;
        let node = self.node;
        let me = MemberName { name: self.name, node: node.name().atom() };
        let (process, children) = (node.process(), node.process());
        process.register(self.name)?;
        children.register(children_name)?;
        children.trap_exit(true);
        let (auto, stays) = match &self.members {
            Members::Alone => (false, false),
            Members::Auto => (true, true),
            Members::These(_) => (false, true),
        };
        let (running, seeing) = (node.clone(), node.clone());
        let settings = Settings {
            me,
            auto,
            stays,
            observer: self.observer,
            distribution: self.distribution,
            active: self.active,
            ttl: self.ttl,
            creation: node.creation(),
            sees: Box::new(move |node| seeing.nodes().iter().any(|peer| *peer == node)),
            runs: Box::new(move |spec| Spec::parse(spec).is_some_and(|spec| spec.runs_on(&running))),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(settings)),
            node: node.clone(),
            me: process.pid(),
            children: children.pid(),
            orders: Mutex::default(),
            crdt: OnceLock::new(),
            told: AtomicBool::new(false),
        });
        let watcher = Arc::new(Watcher(Arc::downgrade(&shared)));
        let telling = Arc::clone(&watcher);
        let mut crdt = node.delta_crdt(crdt_name.as_str()).sync_interval(self.sync_interval);
        crdt = crdt.on_diffs(move |diffs| telling.diffs(diffs));
        if let Some(keys) = self.max_sync_size {
            crdt = crdt.max_sync_size(keys);
        }
        let crdt = crdt.start()?;
        // It was made a moment ago.
        let _set_once = shared.crdt.set(crdt.clone());
        let supervisor = HordeSupervisor { node: node.clone(), shared: Arc::clone(&shared) };
        node.observe(watcher as Arc<dyn Observer>);
        let hosting = Children::new(Arc::clone(&shared), self.intensity);
        let serving = node.clone();
        node.run(children, move |process| serve(hosting, Context::new(serving, process)));
        Server::start(supervisor.clone(), crdt, process, self.sync_interval);
        let mut members = vec![me];
        match self.members {
            Members::Alone => {}
            Members::Auto => members.extend(node.nodes().into_iter().map(|peer| MemberName::new(me.name, peer))),
            Members::These(these) => members.extend(these),
        }
        shared.change(|state| {
            state.publish();
            state.add_members(&members);
        });
        node.extension::<Supervisors>().lock().insert(self.name, supervisor.clone());
        exports::export(&node);
        crate::horde::cluster::export(&node);
        Ok(supervisor)
    }
}
