//! One message to a name on several nodes, and what came back: `rpc:abcast`, `sbcast`, `multi_server_call`,
//! `server_call`.
//!
//! Servers of this old kind get `{From, Request}` and answer `{Name, Node, Reply}`; who is not there is found by a
//! monitor. None of these has a time-out.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Rpc, RpcError, decode};
use crate::etf::Encoded;
use crate::node::Node;
use crate::process::{Exited, Mail, Process, SendError, reason};
use crate::term::{Atom, Ref, atom::known};

/// Replies in the order of the nodes, and the nodes that gave none.
pub type Gathered<T> = (Vec<T>, Vec<Atom>);

impl Node {
    /// Sends a message to a name on each node, and does not wait for anything: `rpc:abcast/3`.
    ///
    /// # Errors
    /// [`SendError::Encode`].
    pub async fn abcast(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        name: impl Into<Atom>,
        message: impl Serialize,
    ) -> Result<(), SendError> {
        let (process, name, message) = (self.process(), name.into(), Encoded::of(&message)?);
        for node in nodes {
            process.send_encoded((name, node), message.clone()).await?;
        }
        Ok(())
    }

    /// Sends a message to a name on each node and waits until all have got it: `rpc:sbcast/3`. The nodes that have such a
    /// process, and the others.
    ///
    /// # Errors
    /// [`RpcError::Send`].
    pub async fn sbcast(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        name: impl Into<Atom>,
        message: impl Serialize,
    ) -> Result<Gathered<Atom>, RpcError> {
        let parts = [atom("sbcast"), atom(name.into().as_str()), encoded(&message)?];
        let (replies, bad) = self.gather(nodes, known::rex(), Encoded::tuple(&parts)).await?;
        // A name that is not there is told as `{nonexisting_name, Name}`; the node is known by its place.
        let (mut good, mut bad_nodes) = (Vec::new(), Vec::new());
        for (node, reply) in replies {
            if reply.as_atom().is_some() { good.push(node) } else { bad_nodes.push(node) }
        }
        bad_nodes.extend(bad);
        Ok((good, bad_nodes))
    }

    /// Asks the server of a name on each node: `rpc:multi_server_call/3`. It gets `{From, Request}` and answers
    /// `{Name, Node, Reply}`.
    ///
    /// # Errors
    /// [`RpcError::Send`]; [`RpcError::Decode`] for a reply of another type.
    pub async fn multi_server_call<T: DeserializeOwned>(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        name: impl Into<Atom>,
        request: impl Serialize,
    ) -> Result<Gathered<T>, RpcError> {
        let (replies, bad) = self.gather(nodes, name.into(), encoded(&request)?).await?;
        let replies = replies.into_iter().map(|(_, reply)| decode(&reply)).collect::<Result<_, _>>()?;
        Ok((replies, bad))
    }

    async fn gather(
        &self,
        nodes: impl IntoIterator<Item = Atom>,
        name: Atom,
        request: Encoded,
    ) -> Result<(Vec<(Atom, Encoded)>, Vec<Atom>), RpcError> {
        let mut process = self.process();
        let mut asked = Vec::new();
        for node in nodes {
            asked.push((node, ask(&process, name, node, &request).await?));
        }
        let (mut replies, mut bad) = (Vec::new(), Vec::new());
        let wrapper = atom(name.as_str());
        for (node, reference) in asked {
            match reply(&mut process, reference, &wrapper, node).await? {
                Some(reply) => replies.push((node, reply)),
                None => bad.push(node),
            }
        }
        Ok((replies, bad))
    }
}

impl Rpc {
    /// Asks the server of a name: `rpc:server_call/4`. It gets `{From, Request}` and answers `{Wrapper, Node, Reply}`.
    ///
    /// # Errors
    /// [`RpcError::NoConnection`] where there is no such server, or it ends, as Erlang's `{error, nodedown}`.
    pub async fn server_call<T: DeserializeOwned>(
        &self,
        name: impl Into<Atom>,
        wrapper: impl Serialize,
        request: impl Serialize,
    ) -> Result<T, RpcError> {
        let mut process = self.node.process();
        let reference = ask(&process, name.into(), self.to, &encoded(&request)?).await?;
        let reply = reply(&mut process, reference, &encoded(&wrapper)?, self.to).await?;
        decode(&reply.ok_or(RpcError::NoConnection(self.to))?)
    }
}

/// Monitors the server and sends it `{Self, Request}`.
async fn ask(process: &Process, name: Atom, node: Atom, request: &Encoded) -> Result<Ref, RpcError> {
    let reference = process.monitor((name, node))?;
    let message = Encoded::tuple(&[reason::of(&process.pid().into()), request.clone()]);
    process.send_encoded((name, node), message).await?;
    Ok(reference)
}

/// The reply `{Wrapper, Node, Reply}`; `None` where the server is not there, or has ended.
async fn reply(
    process: &mut Process,
    reference: Ref,
    wrapper: &Encoded,
    node: Atom,
) -> Result<Option<Encoded>, Exited> {
    let wrapper = wrapper.term().unwrap_or_default();
    let reply = process.receive_match(|mail| match mail {
        Mail::Message(message) => match message.body().parts().as_deref() {
            Some([tag, from, reply]) if from.as_atom() == Some(node) && tag.term().is_ok_and(|tag| tag == wrapper) => {
                Some(Some(reply.clone()))
            }
            _ => None,
        },
        Mail::Down(down) if down.reference == reference => Some(None),
        Mail::Down(_) | Mail::Exit(_) | Mail::SpawnReply(_) => None,
    });
    let reply = reply.await?;
    process.demonitor(reference);
    Ok(reply)
}

fn atom(text: &str) -> Encoded {
    reason::of(&Atom::new(text).into())
}

fn encoded(value: &impl Serialize) -> Result<Encoded, RpcError> {
    Encoded::of(value).map_err(|error| RpcError::Send(error.into()))
}
