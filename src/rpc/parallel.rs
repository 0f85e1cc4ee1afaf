//! Calls that run beside each other: `rpc:async_call`, `parallel_eval`, `pmap`, `eval_everywhere`, and `erpc:multicast`.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{Rpc, RpcError, argument_list, decode};
use crate::etf::Encoded;
use crate::node::Node;
use crate::term::{Atom, NodeName};

/// A call that runs, whose result is fetched later: the key of `rpc:async_call/4`.
#[derive(Debug)]
#[must_use = "its result is fetched with `yield_result`"]
pub struct Promise {
    node: Atom,
    outcome: oneshot::Receiver<Result<Encoded, RpcError>>,
}

impl Promise {
    /// Waits for the result: `rpc:yield/1`.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn yield_result<T: DeserializeOwned>(self) -> Result<T, RpcError> {
        let outcome = self.outcome.await.unwrap_or(Err(RpcError::NoConnection(self.node)));
        decode(&outcome?)
    }

    /// The result, or the promise again where it takes longer than this: `rpc:nb_yield/1,2`.
    ///
    /// # Errors
    /// The promise, which can be asked again; the inner result as [`Rpc::call`].
    pub async fn nb_yield<T: DeserializeOwned>(mut self, timeout: Duration) -> Result<Result<T, RpcError>, Self> {
        match tokio::time::timeout(timeout, &mut self.outcome).await {
            Ok(outcome) => {
                let outcome = outcome.unwrap_or(Err(RpcError::NoConnection(self.node)));
                Ok(outcome.and_then(|result| decode(&result)))
            }
            Err(_elapsed) => Err(self),
        }
    }
}

impl Rpc {
    /// Begins a call, whose result is fetched later: `rpc:async_call/4`. A promise that is dropped stops waiting.
    ///
    /// # Errors
    /// [`RpcError::Decode`], if the arguments are no terms.
    pub fn async_call(
        &self,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<Promise, RpcError> {
        let args = argument_list(&args)?;
        Ok(self.promise(module.into(), function.into(), args))
    }

    fn promise(&self, module: Atom, function: Atom, args: Encoded) -> Promise {
        let (mut done, outcome) = oneshot::channel();
        let (rpc, node) = (self.clone(), self.to);
        self.node.spawn_task(async move {
            let outcome = tokio::select! {
                outcome = rpc.call_encoded(module, function, args) => outcome,
                () = done.closed() => return,
            };
            let _nobody_waits = done.send(outcome);
        });
        Promise { node, outcome }
    }
}

impl Node {
    /// Calls a function on several nodes and waits for nothing: `erpc:multicast/4`.
    ///
    /// # Errors
    /// [`RpcError`], only where it could not be sent.
    pub async fn multicast(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        (module, function): (Atom, Atom),
        args: impl Serialize,
    ) -> Result<(), RpcError> {
        for node in nodes {
            self.rpc(node).cast(module, function, &args).await?;
        }
        Ok(())
    }

    /// Has a function evaluated on this node and all visible peers, and waits for nothing: `rpc:eval_everywhere/3`.
    ///
    /// # Errors
    /// As [`Node::multicast`].
    pub async fn eval_everywhere(&self, function: (Atom, Atom), args: impl Serialize) -> Result<(), RpcError> {
        self.multicast(self.this_and_visible(), function, args).await
    }

    /// Calls functions at the same time on this node and all visible peers in turn; results in the order of the calls:
    /// `rpc:parallel_eval/1`.
    pub async fn parallel_eval<T, A>(
        &self,
        calls: impl IntoIterator<Item = (Atom, Atom, A)>,
    ) -> Vec<Result<T, RpcError>>
    where
        T: DeserializeOwned,
        A: Serialize,
    {
        let nodes = self.this_and_visible();
        let promises: Vec<_> = calls
            .into_iter()
            .zip(nodes.iter().cycle())
            .map(|((module, function, args), node)| self.rpc(*node).async_call(module, function, args))
            .collect();
        let mut results = Vec::with_capacity(promises.len());
        for promise in promises {
            results.push(match promise {
                Ok(promise) => promise.yield_result().await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Applies a function to every element of a list, spread over this node and all visible peers; each is called with
    /// the element before the further arguments: `rpc:pmap/3`.
    ///
    /// # Errors
    /// That of the first element that failed, where Erlang exits with `badrpc`.
    pub async fn pmap<T, E>(
        &self,
        (module, function): (Atom, Atom),
        further: &[Encoded],
        list: impl IntoIterator<Item = E>,
    ) -> Result<Vec<T>, RpcError>
    where
        T: DeserializeOwned,
        E: Serialize,
    {
        let calls: Result<Vec<_>, RpcError> = list
            .into_iter()
            .map(|element| {
                let element = Encoded::of(&element).map_err(|error| RpcError::Decode(error.to_string()))?;
                let args: Vec<_> = std::iter::once(element).chain(further.iter().cloned()).collect();
                Ok(Encoded::list(&args))
            })
            .collect();
        let nodes = self.this_and_visible();
        let promises: Vec<_> = calls?
            .into_iter()
            .zip(nodes.iter().cycle())
            .map(|(args, node)| self.rpc(*node).promise(module, function, args))
            .collect();
        let mut results = Vec::with_capacity(promises.len());
        for promise in promises {
            results.push(promise.yield_result().await?);
        }
        Ok(results)
    }

    /// This node first, then all visible peers: `[node() | nodes()]`.
    #[must_use]
    pub fn this_and_visible(&self) -> Vec<Atom> {
        std::iter::once(self.name()).chain(self.nodes()).map(NodeName::atom).collect()
    }
}
