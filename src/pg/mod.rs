//! `pg`: named groups of processes that every node of the cluster sees.
//!
//! A *scope* is a process under the same name on each node; scopes tell each other of their own nodes' members, so a
//! group is what all of them together say. Any term names a group, a process may be a member several times, and members
//! that die or whose node goes are gone by themselves (`pg` in OTP's kernel).
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let me = node.process();
//! node.pg("my_scope").join("workers", me.pid())?;
//! let everywhere = node.pg("my_scope").members("workers");
//! # let _ = everywhere;
//! # Ok(())
//! # }
//! ```

mod server;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;

use self::server::Shared;
pub use self::state::PgEvent;
use crate::node::Node;
use crate::process::{Process, RegisterError};
use crate::serde::to_term;
use crate::term::{Atom, Pid, Term};

/// A scope on this node. Clones are the same scope.
#[derive(Debug, Clone)]
pub struct Pg {
    shared: Arc<Shared>,
}

/// A process could not join or leave.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// Only processes of this node can be joined by it: `{nolocal, Pid}`.
    #[error("{0:?} is no process of this node")]
    NoLocal(Pid),
    /// It was no member: `not_joined`.
    #[error("not a member")]
    NotJoined,
    /// The name of the scope is that of another process.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The group's name is no term.
    #[error(transparent)]
    Serde(#[from] crate::serde::Error),
}

/// The scopes of a node, by name.
#[derive(Debug, Default)]
struct Scopes(Mutex<Vec<(Atom, Arc<Shared>)>>);

impl Node {
    /// The scope of this name, which starts if it does not run. Where another process has the name, the scope is alone:
    /// [`Node::start_pg`] tells.
    pub fn pg(&self, scope: impl Into<Atom>) -> Pg {
        let scope = scope.into();
        match self.running_pg(scope) {
            Some(pg) => pg,
            None => self.start_pg(scope).unwrap_or_else(|_taken| self.keep_pg(scope, None)),
        }
    }

    /// The scope of this name, if it runs.
    #[must_use]
    pub fn running_pg(&self, scope: impl Into<Atom>) -> Option<Pg> {
        let (scope, scopes) = (scope.into(), self.extension::<Scopes>());
        let mut scopes = scopes.0.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.retain(|(_, shared)| shared.runs());
        let (_, shared) = scopes.iter().find(|(name, _)| *name == scope)?;
        Some(Pg { shared: Arc::clone(shared) })
    }

    /// Has all processes of this node leave all groups of all its scopes. Before a node ends: others then choose no member
    /// here while they are still connected.
    pub fn leave_pg(&self) {
        let scopes = self.extension::<Scopes>();
        let scopes: Vec<Pg> = {
            let scopes = scopes.0.lock().unwrap_or_else(PoisonError::into_inner);
            scopes.iter().map(|(_, shared)| Pg { shared: Arc::clone(shared) }).collect()
        };
        for pg in scopes {
            for group in pg.local_groups() {
                let members = pg.shared.state().local_members(&group);
                // Who has left or ended meanwhile is no member any more.
                let _none_was_left = pg.shared.leave(&group, &members);
            }
        }
    }

    /// Starts a scope: `pg:start/1`.
    ///
    /// # Errors
    /// [`RegisterError`], if a process has that name, such as the same scope.
    pub fn start_pg(&self, scope: impl Into<Atom>) -> Result<Pg, RegisterError> {
        let scope = scope.into();
        let process = self.process();
        process.register(scope)?;
        Ok(self.keep_pg(scope, Some(process)))
    }

    fn keep_pg(&self, scope: Atom, named: Option<Process>) -> Pg {
        let shared = server::start(self, scope, named);
        let scopes = self.extension::<Scopes>();
        scopes.0.lock().unwrap_or_else(PoisonError::into_inner).push((scope, Arc::clone(&shared)));
        Pg { shared }
    }
}

impl Pg {
    /// The scope's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.shared.pid()
    }

    /// Makes a process of this node a member once more: `pg:join/3`.
    ///
    /// # Errors
    /// [`PgError`].
    pub fn join(&self, group: impl Serialize, pid: Pid) -> Result<(), PgError> {
        self.join_all(group, &[pid])
    }

    /// Makes several processes of this node members at once.
    ///
    /// # Errors
    /// [`PgError`]; then none has joined.
    pub fn join_all(&self, group: impl Serialize, pids: &[Pid]) -> Result<(), PgError> {
        self.shared.join(to_term(&group)?, pids)
    }

    /// Ends one membership of a process of this node: `pg:leave/3`.
    ///
    /// # Errors
    /// [`PgError::NotJoined`], if it had none.
    pub fn leave(&self, group: impl Serialize, pid: Pid) -> Result<(), PgError> {
        self.leave_all(group, &[pid])
    }

    /// Ends one membership of each of these processes.
    ///
    /// # Errors
    /// [`PgError::NotJoined`], if none of them had one.
    pub fn leave_all(&self, group: impl Serialize, pids: &[Pid]) -> Result<(), PgError> {
        self.shared.leave(&to_term(&group)?, pids)
    }

    /// The members on all nodes, each as often as it joined: `pg:get_members/2`.
    pub fn members(&self, group: impl Serialize) -> Vec<Pid> {
        to_term(&group).map(|group| self.shared.state().members(&group)).unwrap_or_default()
    }

    #[cfg(feature = "pubsub")]
    pub(crate) fn members_of(&self, group: &Term) -> Vec<Pid> {
        self.shared.state().members(group)
    }

    /// The members on this node: `pg:get_local_members/2`.
    pub fn local_members(&self, group: impl Serialize) -> Vec<Pid> {
        to_term(&group).map(|group| self.shared.state().local_members(&group)).unwrap_or_default()
    }

    /// The groups that have members: `pg:which_groups/1`.
    #[must_use]
    pub fn groups(&self) -> Vec<Term> {
        self.shared.state().groups()
    }

    /// The groups that have members on this node: `pg:which_local_groups/1`.
    #[must_use]
    pub fn local_groups(&self) -> Vec<Term> {
        self.shared.state().local_groups()
    }

    /// All groups as they are now, and what changes from then on: `pg:monitor_scope/1`.
    #[must_use]
    pub fn monitor_scope(&self) -> (Vec<(Term, Vec<Pid>)>, PgEvents) {
        let mut state = self.shared.state();
        let (sender, receiver) = mpsc::unbounded_channel();
        state.listen(None, sender);
        (state.all(), PgEvents(receiver))
    }

    /// The members of a group as they are now, and what changes from then on: `pg:monitor/2`.
    ///
    /// # Errors
    /// [`PgError::Serde`].
    pub fn monitor(&self, group: impl Serialize) -> Result<(Vec<Pid>, PgEvents), PgError> {
        let group = to_term(&group)?;
        let mut state = self.shared.state();
        let (sender, receiver) = mpsc::unbounded_channel();
        let members = state.members(&group);
        state.listen(Some(group), sender);
        Ok((members, PgEvents(receiver)))
    }
}

/// Joins and leaves, in order; dropping it ends the subscription.
#[derive(Debug)]
pub struct PgEvents(mpsc::UnboundedReceiver<PgEvent>);

impl PgEvents {
    /// The next event; `None` once the scope has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<PgEvent> {
        self.0.recv().await
    }
}
