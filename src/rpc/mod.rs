//! Calling functions of other nodes, and letting other nodes call ours.
//!
//! Since OTP 25 `rpc:call` is `erpc:call`, and that is a remote spawn: SPAWN_REQUEST of
//! `erpc:execute_call(Ref, M, F, A)` with a monitor, whose DOWN carries the result home. `rex` keeps the rest.

mod block;
mod client;
mod context;
mod error;
mod exports;
mod gather;
mod net_kernel;
mod parallel;
mod request;
mod rex;
mod server;
mod spawn;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::context::CallContext;
pub use self::error::{Class, RpcError};
pub use self::exports::{Args, Raise, Returned};
pub use self::gather::Gathered;
pub use self::parallel::Promise;
pub use self::request::{RequestId, RequestIds, Response};

#[cfg(feature = "cli")]
pub(crate) use self::net_kernel::is_auth;
pub(crate) use self::server::exit_reason;

use self::client::Call;
use self::exports::Exports;
use self::server::SpawnServer;
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{Process, RegisterError};
use crate::term::{Atom, Pid, Term};

/// Calls to one node; made by [`Node::rpc`].
#[derive(Debug, Clone)]
pub struct Rpc {
    node: Node,
    to: Atom,
    timeout: Option<Duration>,
    group_leader: Option<Pid>,
}

impl Rpc {
    /// Gives up on a call after so long; without it a call waits until the connection is lost.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sends what the function prints to this process instead of the node's `user`.
    #[must_use]
    pub fn group_leader(mut self, device: Pid) -> Self {
        self.group_leader = Some(device);
        self
    }

    /// Calls `module:function(args…)` and waits for its result. Cancel-safe: dropped, it stops waiting; the remote
    /// process goes on, as with `erpc:call/5`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<T, RpcError> {
        let args = argument_list(&args)?;
        let result = self.call_encoded(module.into(), function.into(), args).await?;
        decode(&result)
    }

    /// Calls with a list of terms, for a term.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call_term(&self, module: Atom, function: Atom, args: Vec<Term>) -> Result<Term, RpcError> {
        let args = crate::process::reason::of(&Term::list(args));
        let result = self.call_encoded(module, function, args).await?;
        result.term().map_err(|error| RpcError::Decode(error.to_string()))
    }

    /// Calls with a list of arguments that is encoded already.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call_encoded(&self, module: Atom, function: Atom, args: Encoded) -> Result<Encoded, RpcError> {
        let mut process = self.node.process();
        let call = self.prepare(module, function, &args);
        client::call(&mut process, &call).await
    }

    /// Calls and does not wait for anything: `erpc:cast/4`.
    ///
    /// # Errors
    /// [`RpcError`], only where it could not be sent.
    pub async fn cast(
        &self,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<(), RpcError> {
        let args = argument_list(&args)?;
        client::cast(&self.node.process(), &self.prepare(module.into(), function.into(), &args)).await
    }

    fn prepare<'a>(&self, module: Atom, function: Atom, args: &'a Encoded) -> Call<'a> {
        let group_leader = self.group_leader.unwrap_or_else(|| self.node.user());
        Call { node: self.to, module, function, args, group_leader, timeout: self.timeout }
    }
}

impl Node {
    /// Calls functions of another node, or of this one.
    #[must_use]
    pub fn rpc(&self, to: impl Into<Atom>) -> Rpc {
        Rpc { node: self.clone(), to: to.into(), timeout: None, group_leader: None }
    }

    /// Calls a function on several nodes at once; results in the order of the nodes: `erpc:multicall`.
    pub async fn multicall<T: DeserializeOwned + Send + 'static>(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        (module, function): (Atom, Atom),
        args: impl Serialize,
        timeout: Option<Duration>,
    ) -> Vec<Result<T, RpcError>> {
        let args = match argument_list(&args) {
            Ok(args) => args,
            Err(error) => return nodes.into_iter().map(|_| Err(error.clone())).collect(),
        };
        let calls: Vec<_> = nodes
            .into_iter()
            .map(|to| {
                let (rpc, args) = (Rpc { timeout, ..self.rpc(to) }, args.clone());
                tokio::spawn(async move { rpc.call_encoded(module, function, args).await })
            })
            .collect();
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            let answered = call.await.unwrap_or_else(|_aborted| Err(RpcError::Timeout));
            results.push(answered.and_then(|value| decode(&value)));
        }
        results
    }

    /// Lets peers call a function: from Elixir `:rpc.call(node, module, function, args)`.
    ///
    /// Arguments are decoded to the tuple that `function` takes; others raise `badarg`. Only what is exported can be
    /// called or spawned.
    pub fn export<A, R, F, Fut>(&self, module: impl Into<Atom>, name: impl Into<Atom>, function: F)
    where
        A: Args,
        R: Serialize,
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Raise>> + Send + 'static,
    {
        self.export_with(module, name, move |_context, args| function(args));
    }

    /// As [`Node::export`], for a function that wants to know who calls, or to act as the process it runs in.
    pub fn export_with<A, R, F, Fut>(&self, module: impl Into<Atom>, name: impl Into<Atom>, function: F)
    where
        A: Args,
        R: Serialize,
        F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Raise>> + Send + 'static,
    {
        exports(self).add((module.into(), name.into(), A::ARITY), exports::typed(function));
    }

    /// As [`Node::export_with`], over terms: for functions that take anything.
    pub fn export_terms<F, Fut>(&self, module: impl Into<Atom>, name: impl Into<Atom>, arity: u8, function: F)
    where
        F: Fn(CallContext, Vec<Term>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Term, Raise>> + Send + 'static,
    {
        exports(self).add((module.into(), name.into(), arity), exports::untyped(function));
    }

    /// As [`Node::export_terms`], over the list of arguments as bytes.
    pub fn export_encoded<F, Fut>(&self, module: impl Into<Atom>, name: impl Into<Atom>, arity: u8, function: F)
    where
        F: Fn(CallContext, Encoded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Returned> + Send + 'static,
    {
        let handler: exports::Handler = Arc::new(move |context, args| Box::pin(function(context, args)));
        exports(self).add((module.into(), name.into(), arity), handler);
    }

    /// All exported functions, as module, function and arity.
    #[must_use]
    pub fn exports(&self) -> Vec<(Atom, Atom, u8)> {
        exports(self).list()
    }

    /// How many calls of functions of this node there were, unknown ones included.
    #[must_use]
    pub fn exported_calls(&self) -> u64 {
        exports(self).calls()
    }

    /// Whether a function of that module is exported.
    #[must_use]
    pub fn exports_module(&self, module: Atom) -> bool {
        exports(self).has_module(module)
    }

    /// Calls an exported function of this very node, in the process of `context`.
    ///
    /// # Errors
    /// [`Raise`], as the function raises; `undef` if there is none.
    pub async fn apply(&self, context: CallContext, module: Atom, function: Atom, args: Encoded) -> Returned {
        server::apply(context, &exports(self), module, function, args).await
    }
}

/// The list of the arguments that a Rust tuple, or a list, stands for.
fn argument_list<T: Serialize>(args: &T) -> Result<Encoded, RpcError> {
    let args = Encoded::of(args).map_err(|error| RpcError::Decode(error.to_string()))?;
    Ok(match args.parts() {
        Some(parts) => Encoded::list(&parts),
        // `()` is no argument at all.
        None if args.as_atom().is_some() => Encoded::list(&[]),
        None => args,
    })
}

/// A result as the type that is asked for.
fn decode<T: DeserializeOwned>(result: &Encoded) -> Result<T, RpcError> {
    result.decode().map_err(|error| RpcError::Decode(error.to_string()))
}

fn exports(node: &Node) -> Arc<Exports> {
    node.extension::<Exports>()
}

/// Starts what answers spawns, `net_kernel` and `rex`.
pub(crate) fn start(node: &Node) -> Result<(), RegisterError> {
    let exports = exports(node);
    node.router().serve_spawns(Box::new(SpawnServer { node: node.clone(), exports: Arc::clone(&exports) }));
    node.spawn_server(net_kernel::NetKernel { exports: Arc::clone(&exports) }).register("net_kernel")?;
    let process: Process = node.process();
    process.register("rex")?;
    let serving = node.clone();
    node.run(process, move |process| rex::serve(serving, exports, process));
    Ok(())
}
