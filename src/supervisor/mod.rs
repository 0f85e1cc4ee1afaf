//! Supervisors with OTP's words: `supervisor`, Elixir's `DynamicSupervisor` and `Task.Supervisor`.
//!
//! They start, restart and end processes of this node, and answer what `Supervisor`, `DynamicSupervisor`,
//! `Task.Supervisor` and `supervisor` ask them from any node. A specification that comes from there names a function
//! that this node exports; any other fails as `undef`.

pub(crate) mod child;
mod dynamic;
mod intensity;
mod server;
mod task;

use std::time::Duration;

use tokio::sync::oneshot;

pub use self::child::{AutoShutdown, ChildSpec, Restart, Shutdown, Started};
pub use self::intensity::Intensity;

pub(crate) use self::intensity::Restarts;

use self::dynamic::Dynamic;
use self::server::Server;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::process::RegisterError;
use crate::term::{Atom, Pid, Term};

/// Which other children a restart concerns: `strategy` of `supervisor:sup_flags()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// None.
    #[default]
    OneForOne,
    /// All of them.
    OneForAll,
    /// Those that were started after it.
    RestForOne,
}

/// A supervisor was not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// Its name.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A child did not start; those before it have been ended again: `{failed_to_start_child, Id, Reason}`.
    #[error("a child did not start: {0}")]
    Child(Term),
}

/// A supervisor: `Supervisor.start_link/2`. Made by [`Node::supervisor`].
#[derive(Debug)]
#[must_use = "a supervisor starts with `start`"]
pub struct Supervisor {
    node: Node,
    name: Option<Atom>,
    parent: Option<Pid>,
    strategy: Strategy,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    children: Vec<ChildSpec>,
}

/// A supervisor of children that come and go: `DynamicSupervisor.start_link/1`, or `Task.Supervisor`, which is one.
/// Made by [`Node::dynamic_supervisor`] and [`Node::task_supervisor`].
#[derive(Debug)]
#[must_use = "a supervisor starts with `start`"]
pub struct DynamicSupervisor {
    node: Node,
    name: Option<Atom>,
    parent: Option<Pid>,
    intensity: Intensity,
    max_children: Option<usize>,
    module: &'static str,
}

/// Elixir's defaults, of both.
const INTENSITY: Intensity = Intensity { restarts: 3, within: Duration::from_secs(5) };

impl Node {
    /// Sets up a supervisor.
    pub fn supervisor(&self) -> Supervisor {
        Supervisor {
            node: self.clone(),
            name: None,
            parent: None,
            strategy: Strategy::default(),
            intensity: INTENSITY,
            auto_shutdown: AutoShutdown::default(),
            children: Vec::new(),
        }
    }

    /// Sets up a supervisor whose children are started later.
    pub fn dynamic_supervisor(&self) -> DynamicSupervisor {
        self.dynamic("Elixir.DynamicSupervisor")
    }

    /// Sets up a supervisor of tasks, for Elixir's `Task.Supervisor.async({name, node}, module, function, args)` and its
    /// like: exported functions can be run by it.
    pub fn task_supervisor(&self) -> DynamicSupervisor {
        self.dynamic("Elixir.Task.Supervisor")
    }

    fn dynamic(&self, module: &'static str) -> DynamicSupervisor {
        let node = self.clone();
        DynamicSupervisor { node, name: None, parent: None, intensity: INTENSITY, max_children: None, module }
    }
}

impl Supervisor {
    /// Registers it.
    pub fn name(mut self, name: impl Into<Atom>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Links it to a process, a supervisor above it mostly: with that it ends.
    pub fn link(mut self, parent: Pid) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Which other children a restart concerns; none otherwise.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How often children may be restarted: three times within five seconds, as Elixir's default. Beyond it the
    /// supervisor ends all children, and itself with `shutdown`.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Whether it ends with its significant children; not otherwise.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child; they are started in this order, and ended in the reverse one.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.children.push(spec);
        self
    }

    /// Starts it and its children.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn start(self) -> Result<Pid, SupervisorError> {
        let (ready, started) = oneshot::channel();
        let server = Server::new(self.strategy, self.intensity, self.auto_shutdown, self.children, ready);
        let pid = launch(&self.node, server, self.parent, self.name)?;
        match started.await {
            Ok(Ok(())) => Ok(pid),
            Ok(Err(why)) => Err(SupervisorError::Child(why)),
            // Ended by an exit signal.
            Err(_dropped) => Err(SupervisorError::Register(RegisterError::NoProcess)),
        }
    }
}

impl DynamicSupervisor {
    /// Registers it.
    pub fn name(mut self, name: impl Into<Atom>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Links it to a process, a supervisor above it mostly: with that it ends.
    pub fn link(mut self, parent: Pid) -> Self {
        self.parent = Some(parent);
        self
    }

    /// How often children may be restarted: three times within five seconds, as Elixir's default.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How many children there may be; a start beyond it answers `{error, max_children}`.
    pub fn max_children(mut self, most: usize) -> Self {
        self.max_children = Some(most);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`SupervisorError`], if the name is taken.
    pub fn start(self) -> Result<Pid, SupervisorError> {
        task::export(&self.node);
        let server = Dynamic::new(self.intensity, self.max_children, self.module);
        launch(&self.node, server, self.parent, self.name)
    }
}

fn launch<S: GenServer>(
    node: &Node,
    server: S,
    parent: Option<Pid>,
    name: Option<Atom>,
) -> Result<Pid, SupervisorError> {
    let process = node.process();
    // Before the first request can come: exit signals of children are mail.
    process.trap_exit(true);
    if let Some(name) = name {
        process.register(name)?;
    }
    if let Some(parent) = parent {
        let _just_made = process.link(parent);
    }
    Ok(node.serve(process, server, parent))
}

#[cfg(test)]
mod tests;
