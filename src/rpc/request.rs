//! `erpc`'s request identifiers: a call that is sent now, whose response a process takes from its mailbox later.
//!
//! A request belongs to the process that sent it; one whose response is not wanted any more is abandoned.

use std::time::Duration;

use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Rpc, RpcError, argument_list, client, decode};
use crate::etf::Encoded;
use crate::process::{Exited, Mail, Process};
use crate::term::{Atom, Ref};

/// A request that was sent: `erpc:request_id()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    node: Atom,
    id: Ref,
    reference: Ref,
}

impl Rpc {
    /// Sends a call in the name of a process, which takes the response when it likes: `erpc:send_request/4`.
    ///
    /// # Errors
    /// [`RpcError`], only where it could not be sent.
    pub async fn send_request(
        &self,
        process: &Process,
        module: impl Into<Atom>,
        function: impl Into<Atom>,
        args: impl Serialize,
    ) -> Result<RequestId, RpcError> {
        let args = argument_list(&args)?;
        let mut call = self.prepare(module.into(), function.into(), &args);
        call.group_leader = self.group_leader.unwrap_or_else(|| process.group_leader());
        let reference = process.router().make_ref();
        let id = client::request_call(process, &call, reference).await?;
        Ok(RequestId { node: self.to, id, reference })
    }
}

impl RequestId {
    /// Waits for the response, and abandons the request where it takes too long: `erpc:receive_response/1,2`.
    /// Cancel-safe: dropped, the request is still there.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn receive_response<T: DeserializeOwned>(
        self,
        process: &mut Process,
        timeout: Option<Duration>,
    ) -> Result<T, RpcError> {
        match self.wait_response(process, timeout).await? {
            Some(response) => Ok(response),
            None => {
                self.abandon(process);
                Err(RpcError::Timeout)
            }
        }
    }

    /// The response, or `None` where it has not come in time, to be asked for again: `erpc:wait_response/1,2`; with no
    /// time-out it waits for ever. Cancel-safe.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn wait_response<T: DeserializeOwned>(
        self,
        process: &mut Process,
        timeout: Option<Duration>,
    ) -> Result<Option<T>, RpcError> {
        let response = process.receive_match(|mail| self.answer(mail));
        match within(timeout, response).await? {
            Some(response) => response.and_then(|result| decode(&result)).map(Some),
            None => Ok(None),
        }
    }

    /// The response, if this mail is it: `erpc:check_response/2`, for a process that receives all of its mail itself.
    ///
    /// # Errors
    /// The inner result as [`Rpc::call`].
    #[must_use]
    pub fn check_response<T: DeserializeOwned>(self, mail: &Mail) -> Option<Result<T, RpcError>> {
        self.answer(mail).map(|response| response.and_then(|result| decode(&result)))
    }

    /// Gives the response up: a late one is thrown away, the remote process goes on.
    pub fn abandon(self, process: &mut Process) {
        process.demonitor(self.id);
        let _ended = process.try_receive_match(|mail| self.answer(mail));
    }

    fn answer(self, mail: &Mail) -> Option<Result<Encoded, RpcError>> {
        client::answer(mail, self.id, self.reference, self.node)
    }
}

/// Requests of one process under labels of the program's: `erpc:request_id_collection()`.
#[derive(Debug, Clone)]
pub struct RequestIds<L> {
    open: HashMap<Ref, (RequestId, L)>,
}

/// What came of waiting for any response of a collection.
#[derive(Debug, Clone, PartialEq)]
pub enum Response<T, L> {
    /// This response, of the request of that label, which the collection no longer has.
    Of(L, Result<T, RpcError>),
    /// None in time: `no_response`.
    None,
    /// The collection is empty: `no_request`.
    NoRequest,
}

impl<L> Default for RequestIds<L> {
    fn default() -> Self {
        Self { open: HashMap::new() }
    }
}

impl<L> RequestIds<L> {
    /// No requests: `erpc:reqids_new/0`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a request: `erpc:reqids_add/3`. One that is there already gets the new label.
    pub fn add(&mut self, request: RequestId, label: L) {
        self.open.insert(request.id, (request, label));
    }

    /// How many requests: `erpc:reqids_size/1`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// All requests with their labels, in no order: `erpc:reqids_to_list/1`.
    pub fn iter(&self) -> impl Iterator<Item = (RequestId, &L)> {
        self.open.values().map(|(request, label)| (*request, label))
    }

    /// Waits for the response to any request; where it takes too long, all are abandoned: `erpc:receive_response/3`.
    /// `Ok(None)` for an empty collection. Cancel-safe.
    ///
    /// # Errors
    /// [`RpcError::Timeout`], and where the process has ended; how the request itself went is inside.
    #[allow(clippy::type_complexity, reason = "a label with how its request went")]
    pub async fn receive_response<T: DeserializeOwned>(
        &mut self,
        process: &mut Process,
        timeout: Option<Duration>,
    ) -> Result<Option<(L, Result<T, RpcError>)>, RpcError> {
        match self.wait_response(process, timeout).await? {
            Response::Of(label, response) => Ok(Some((label, response))),
            Response::NoRequest => Ok(None),
            Response::None => {
                for (request, _label) in std::mem::take(&mut self.open).into_values() {
                    request.abandon(process);
                }
                Err(RpcError::Timeout)
            }
        }
    }

    /// The first response to any request, if it comes in time: `erpc:wait_response/3`. Cancel-safe.
    ///
    /// # Errors
    /// Only where the process has ended.
    pub async fn wait_response<T: DeserializeOwned>(
        &mut self,
        process: &mut Process,
        timeout: Option<Duration>,
    ) -> Result<Response<T, L>, RpcError> {
        if self.open.is_empty() {
            return Ok(Response::NoRequest);
        }
        let open = &self.open;
        let any = process.receive_match(|mail| answer_of(open, mail));
        let Some((request, response)) = within(timeout, any).await? else { return Ok(Response::None) };
        Ok(self.closed(request, response))
    }

    /// Whether this mail is the response to any request: `erpc:check_response/3`.
    pub fn check_response<T: DeserializeOwned>(&mut self, mail: &Mail) -> Response<T, L> {
        if self.open.is_empty() {
            return Response::NoRequest;
        }
        match answer_of(&self.open, mail) {
            Some((request, response)) => self.closed(request, response),
            None => Response::None,
        }
    }

    fn closed<T: DeserializeOwned>(
        &mut self,
        request: RequestId,
        response: Result<Encoded, RpcError>,
    ) -> Response<T, L> {
        match self.open.remove(&request.id) {
            Some((_, label)) => Response::Of(label, response.and_then(|result| decode(&result))),
            None => Response::None,
        }
    }
}

fn answer_of<L>(open: &HashMap<Ref, (RequestId, L)>, mail: &Mail) -> Option<(RequestId, Result<Encoded, RpcError>)> {
    let reference = match mail {
        Mail::SpawnReply(reply) => reply.reference,
        Mail::Down(down) => down.reference,
        Mail::Message(_) | Mail::Exit(_) => return None,
    };
    let (request, _label) = open.get(&reference)?;
    request.answer(mail).map(|response| (*request, response))
}

/// What a receive found, or `None` once the time is over.
async fn within<T>(
    timeout: Option<Duration>,
    receive: impl Future<Output = Result<T, Exited>>,
) -> Result<Option<T>, RpcError> {
    match timeout {
        None => Ok(receive.await.map(Some)?),
        Some(limit) => match tokio::time::timeout(limit, receive).await {
            Ok(received) => Ok(received.map(Some)?),
            Err(_elapsed) => Ok(None),
        },
    }
}
