//! Spawning processes on other nodes: `spawn/4`, `spawn_link/4`, `spawn_monitor/4`, and their forms that take a fun.
//!
//! The parent is a process of the program's: links and monitors are its own. A fun is spawned as `erlang:apply(Fun, [])`;
//! only a BEAM that has its module can run it.

use serde::Serialize;

use super::{Rpc, RpcError, argument_list, client};
use crate::etf::Encoded;
use crate::process::{Mail, Process, SpawnOptions};
use crate::term::{Atom, Pid, Ref};

impl Rpc {
    /// Starts `module:function(args…)` as a process of the node: `Node.spawn/4`. It has no tie to its parent.
    ///
    /// # Errors
    /// [`RpcError::NoConnection`] and its like, where a BEAM gives the pid of a process that has failed already. That
    /// there is no such function is no error: the process ends with `undef`.
    pub async fn spawn(
        &self,
        parent: &mut Process,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<Pid, RpcError> {
        let options = SpawnOptions::default();
        self.spawn_mfa(parent, (module.into(), function.into()), &args, &options).await.map(|(pid, _)| pid)
    }

    /// As [`Rpc::spawn`], linked to its parent from the first moment: `Node.spawn_link/4`.
    ///
    /// # Errors
    /// As there; then there is no link.
    pub async fn spawn_link(
        &self,
        parent: &mut Process,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<Pid, RpcError> {
        let options = SpawnOptions { link: true, ..SpawnOptions::default() };
        self.spawn_mfa(parent, (module.into(), function.into()), &args, &options).await.map(|(pid, _)| pid)
    }

    /// As [`Rpc::spawn`], monitored by its parent from the first moment: `Node.spawn_monitor/4`. The reference is that of
    /// the [`Mail::Down`] to come.
    ///
    /// # Errors
    /// As there.
    pub async fn spawn_monitor(
        &self,
        parent: &mut Process,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<(Pid, Ref), RpcError> {
        let options = SpawnOptions { monitor: true, ..SpawnOptions::default() };
        self.spawn_mfa(parent, (module.into(), function.into()), &args, &options).await
    }

    async fn spawn_mfa(
        &self,
        parent: &mut Process,
        mf: (Atom, Atom),
        args: &impl Serialize,
        options: &SpawnOptions,
    ) -> Result<(Pid, Ref), RpcError> {
        let args = argument_list(args)?;
        self.spawn_encoded(parent, mf, args, options).await
    }

    /// Spawns with a list of arguments that is encoded already: the pid, and the reference of the request.
    pub(crate) async fn spawn_encoded(
        &self,
        parent: &mut Process,
        (module, function): (Atom, Atom),
        args: Encoded,
        options: &SpawnOptions,
    ) -> Result<(Pid, Ref), RpcError> {
        let arity = args.list_elements().and_then(|args| u8::try_from(args.len()).ok());
        let arity = arity.ok_or_else(|| RpcError::Decode("the arguments are no list of up to 255".into()))?;
        let leader = self.group_leader.unwrap_or_else(|| parent.group_leader());
        let id = parent.spawn_request(self.to, (module, function, arity), args, leader, options).await?;
        let reply = parent.receive_match(|mail| match mail {
            Mail::SpawnReply(reply) if reply.reference == id => Some(reply.result),
            Mail::Message(_) | Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
        });
        let pid = reply.await?.map_err(|why| client::refusal(self.to, why))?;
        Ok((pid, id))
    }
}
