//! `rpc:block_call`: a call that `rex` itself runs, one after the other; and `rpc:pinfo`, which uses it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CallContext, Class, Rpc, RpcError, argument_list, decode, rex};
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{CallError, reason};
use crate::term::{Atom, Pid, Term, atom::known};

impl Rpc {
    /// Calls a function in the process `rex` of the node, which does nothing else meanwhile: `rpc:block_call/4,5`. What
    /// the function registers or locks is `rex`'s. Its time-out is [`Rpc::timeout`]'s. A call to this node itself runs
    /// in a process of its own, as Erlang runs it in the caller.
    ///
    /// # Errors
    /// [`RpcError`]; how the function failed is told as [`Class::Exit`], whatever it raised; what it throws is its result.
    pub async fn block_call<T: DeserializeOwned>(
        &self,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<T, RpcError> {
        let args = argument_list(&args)?;
        let result = self.block_call_encoded(module.into(), function.into(), args).await?;
        if let Some([badrpc, why]) = result.parts().as_deref() {
            if badrpc.is_atom("badrpc") {
                return Err(failure(&why.term().map_err(|error| RpcError::Decode(error.to_string()))?));
            }
        }
        decode(&result)
    }

    /// As [`Rpc::block_call`]; the result as `rex` gives it, `{badrpc, Reason}` included.
    pub(crate) async fn block_call_encoded(
        &self,
        module: Atom,
        function: Atom,
        args: Encoded,
    ) -> Result<Encoded, RpcError> {
        let mut process = self.node.process();
        if self.to == self.node.name().atom() {
            let caller = process.pid();
            let context = CallContext { node: self.node.clone(), process, caller };
            return Ok(rex::outcome(self.node.apply(context, module, function, args).await));
        }
        let leader = self.group_leader.unwrap_or_else(|| self.node.user());
        let name = |name: Atom| reason::of(&name.into());
        let request =
            [name(Atom::new("block_call")), name(module), name(function), args, reason::of(&Term::from(leader))];
        let called = process.call_encoded((known::rex(), self.to), Encoded::tuple(&request), self.timeout).await;
        called.map_err(|error| match error {
            CallError::Timeout => RpcError::Timeout,
            CallError::NoConnection(node) => RpcError::NoConnection(node),
            CallError::Exit(why) => RpcError::Signal(why),
            CallError::Send(error) => RpcError::Send(error),
            CallError::Decode(error) => RpcError::Decode(error),
        })
    }
}

/// What `{badrpc, Reason}` says.
fn failure(why: &Term) -> RpcError {
    let exit = match why.as_tuple() {
        Some([tag, reason]) if tag.is_atom("EXIT") => reason.clone(),
        _ => why.clone(),
    };
    RpcError::Remote { class: Class::Exit, reason: exit, stack: None }
}

impl Node {
    /// What is known of a process, wherever it runs: `rpc:pinfo/1`. `None` where it has ended.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn pinfo(&self, pid: Pid) -> Result<Option<Term>, RpcError> {
        let info = self.rpc(pid.node).call_term(known::erlang(), Atom::new("process_info"), vec![pid.into()]).await?;
        Ok((!info.is_atom("undefined")).then_some(info))
    }

    /// One item, or a list of items, of what is known of a process: `rpc:pinfo/2`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn pinfo_of(&self, pid: Pid, items: impl Into<Term>) -> Result<Option<Term>, RpcError> {
        let args = (Term::from(pid), items.into());
        let info: Term = self.rpc(pid.node).block_call(known::erlang(), "process_info", args).await?;
        Ok((!info.is_atom("undefined")).then_some(info))
    }
}
