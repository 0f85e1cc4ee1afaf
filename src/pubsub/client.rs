//! Subscribing and broadcasting: the functions of `Phoenix.PubSub`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::server::Shared;
use super::stream::Queue;
use super::wire::{CHANNELS, Forward, PLAIN};
use super::{PubSub, PubSubError, Subscriber, Subscription};
use crate::etf::Encoded;
use crate::phash2::phash2_range;
use crate::process::{Dest, Process, SendError};
use crate::term::{Atom, Binary, NodeName, Pid, Term};

/// What Phoenix's endpoints broadcast and channels push to their clients: `%Phoenix.Socket.Broadcast{}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Elixir.Phoenix.Socket.Broadcast")]
pub struct Broadcast<T> {
    /// The topic.
    pub topic: String,
    /// The event's name.
    pub event: String,
    /// What belongs to it; a map or struct, where it goes to clients as JSON.
    pub payload: T,
}

impl PubSub {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let keeper = shared.keeper();
        Self { group: chosen(&shared, keeper.pid()), sender: Arc::new(keeper), dispatcher: Atom::new(PLAIN), shared }
    }

    /// The same pubsub, used by this process: broadcasts are sent in its name, its pid chooses their group, and they reach
    /// subscribers in order. As it stands, the pubsub sends in the name of one process of its own.
    #[must_use]
    pub fn used_by(&self, process: &Process) -> Self {
        let group = chosen(&self.shared, process.pid());
        Self { group, sender: Arc::new(process.share()), ..self.clone() }
    }

    /// The same pubsub, whose broadcasts are handed out by this module's `dispatch/3` on every node
    /// (`Elixir.MyApp.Dispatcher`).
    #[must_use]
    pub fn with_dispatcher(&self, module: impl Into<Atom>) -> Self {
        Self { dispatcher: module.into(), ..self.clone() }
    }

    /// The node's name: `Phoenix.PubSub.node_name/1`.
    #[must_use]
    pub fn node_name(&self) -> NodeName {
        self.shared.setup.node.name()
    }

    /// The groups of `pg` that it listens to, which are the names of its workers as well.
    #[must_use]
    pub fn groups(&self) -> &[Atom] {
        &self.shared.setup.groups
    }

    /// What is broadcast on a topic from now on, as a stream.
    ///
    /// # Errors
    /// [`PubSubError::Ended`].
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<Subscription, PubSubError> {
        self.subscribing(topic).stream()
    }

    /// Has a process of this node find in its mailbox what is broadcast on a topic: `Phoenix.PubSub.subscribe/2` by that
    /// process. One that subscribes twice gets everything twice; one that ends has unsubscribed.
    ///
    /// # Errors
    /// [`PubSubError::NoLocal`], [`PubSubError::Ended`].
    pub fn subscribe_process(&self, topic: impl AsRef<[u8]>, pid: Pid) -> Result<(), PubSubError> {
        self.subscribing(topic).process(pid)
    }

    /// A subscription with options.
    #[must_use = "nothing is subscribed before `stream` or `process`"]
    pub fn subscribing(&self, topic: impl AsRef<[u8]>) -> Subscribing {
        let topic = Binary::copied(topic.as_ref());
        let shared = Arc::clone(&self.shared);
        Subscribing { shared, topic, metadata: Term::atom("nil"), capacity: CAPACITY, max_bytes: MAX_BYTES }
    }

    /// Ends all subscriptions of a topic that a process has: `Phoenix.PubSub.unsubscribe/2`. A stream is dropped instead.
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>, pid: Pid) {
        self.shared.unsubscribe(&Binary::copied(topic.as_ref()), Subscriber::Process(pid));
    }

    /// Sends a message to all subscribers of a topic, on all nodes: `Phoenix.PubSub.broadcast/4`.
    ///
    /// Waits while connections are busy, but only after everybody else has been served, this node's subscribers too.
    ///
    /// # Errors
    /// [`PubSubError::Serde`], [`PubSubError::Ended`].
    pub async fn broadcast(&self, topic: impl AsRef<[u8]>, message: impl Serialize) -> Result<(), PubSubError> {
        let forward = self.forward(topic.as_ref(), &message)?;
        self.to_all(None, forward).await
    }

    /// As [`PubSub::broadcast`], but not to this subscriber: `Phoenix.PubSub.broadcast_from/5`.
    ///
    /// # Errors
    /// As there.
    pub async fn broadcast_from(
        &self,
        from: impl Into<Subscriber>,
        topic: impl AsRef<[u8]>,
        message: impl Serialize,
    ) -> Result<(), PubSubError> {
        let forward = self.forward(topic.as_ref(), &message)?;
        self.to_all(Some(from.into()), forward).await
    }

    /// Sends a message to this node's subscribers of a topic: `Phoenix.PubSub.local_broadcast/4`.
    ///
    /// # Errors
    /// [`PubSubError::Serde`], [`PubSubError::Ended`].
    pub fn local_broadcast(&self, topic: impl AsRef<[u8]>, message: impl Serialize) -> Result<(), PubSubError> {
        self.locally(None, &self.forward(topic.as_ref(), &message)?)
    }

    /// As [`PubSub::local_broadcast`], but not to this subscriber: `Phoenix.PubSub.local_broadcast_from/5`.
    ///
    /// # Errors
    /// As there.
    pub fn local_broadcast_from(
        &self,
        from: impl Into<Subscriber>,
        topic: impl AsRef<[u8]>,
        message: impl Serialize,
    ) -> Result<(), PubSubError> {
        self.locally(Some(from.into()), &self.forward(topic.as_ref(), &message)?)
    }

    /// Sends a message to the subscribers of a topic on one node: `Phoenix.PubSub.direct_broadcast/5`. Connects by itself;
    /// waits while the connection is busy.
    ///
    /// # Errors
    /// [`PubSubError::Serde`], [`PubSubError::Ended`].
    pub async fn direct_broadcast(
        &self,
        node: impl Into<Atom>,
        topic: impl AsRef<[u8]>,
        message: impl Serialize,
    ) -> Result<(), PubSubError> {
        let forward = self.forward(topic.as_ref(), &message)?.encode();
        let to = Dest::Remote(self.shared.setup.groups[self.group], node.into());
        self.sender.send_encoded(to, forward).await.map_err(not_sent)
    }

    /// Sends an event to the clients of Phoenix's channels, and to all other subscribers of the topic:
    /// `MyApp.Endpoint.broadcast/3`. Subscribers get a [`Broadcast`].
    ///
    /// # Errors
    /// As [`PubSub::broadcast`].
    pub async fn channel_broadcast(
        &self,
        topic: &str,
        event: &str,
        payload: impl Serialize,
    ) -> Result<(), PubSubError> {
        let message = Broadcast { topic: topic.into(), event: event.into(), payload };
        self.with_dispatcher(CHANNELS).broadcast(topic, message).await
    }

    /// Ends it on this node: streams end, and other nodes send nothing to it any more.
    pub fn stop(&self) {
        self.shared.end();
    }

    fn forward(&self, topic: &[u8], message: &impl Serialize) -> Result<Forward, PubSubError> {
        if !self.shared.runs() {
            return Err(PubSubError::Ended);
        }
        Ok(Forward { topic: Binary::copied(topic), message: Encoded::of(message)?, dispatcher: self.dispatcher })
    }

    fn locally(&self, from: Option<Subscriber>, forward: &Forward) -> Result<(), PubSubError> {
        // What has ended sends nothing.
        if self.sender.cell().live().is_err() {
            return Err(PubSubError::Ended);
        }
        self.shared.dispatch(&self.sender, from, forward);
        Ok(())
    }

    async fn to_all(&self, from: Option<Subscriber>, forward: Forward) -> Result<(), PubSubError> {
        let here = self.sender.pid().node;
        let group = Term::Atom(self.shared.setup.groups[self.group]);
        let mut members = self.shared.setup.pg.members_of(&group);
        members.retain(|member| member.node != here);
        let body = (!members.is_empty()).then(|| forward.encode());
        if let Some(body) = &body {
            let mut sent = Ok(());
            members.retain(|member| {
                let busy = self.sender.router().outbox(member.node).check_writable().is_err();
                if !busy && sent.is_ok() {
                    sent = self.sender.send_now(*member, body.clone());
                }
                busy
            });
            sent.map_err(not_sent)?;
        }
        self.locally(from, &forward)?;
        if let Some(body) = body {
            for member in members {
                self.sender.send_encoded(member, body.clone()).await.map_err(not_sent)?;
            }
        }
        Ok(())
    }
}

/// The group that the processes of Phoenix choose as well: `erlang:phash2(self(), Groups)`.
fn chosen(shared: &Shared, pid: Pid) -> usize {
    let groups = shared.setup.broadcast_pool_size;
    u64::try_from(groups)
        .ok()
        .and_then(|range| phash2_range(&Term::Pid(pid), range))
        .and_then(|group| usize::try_from(group).ok())
        .filter(|group| *group < groups)
        .unwrap_or(0)
}

fn not_sent(error: SendError) -> PubSubError {
    match error {
        SendError::Exited(_) => PubSubError::Ended,
        SendError::Encode(error) => PubSubError::Serde(error),
        error => PubSubError::Send(error),
    }
}

/// How many messages a stream keeps that is not read, and how many bytes.
const CAPACITY: usize = 1024;
const MAX_BYTES: usize = 16 << 20;

/// A subscription that is being made; see [`PubSub::subscribing`].
#[derive(Debug)]
#[must_use = "nothing is subscribed before `stream` or `process`"]
pub struct Subscribing {
    shared: Arc<Shared>,
    topic: Binary,
    metadata: Term,
    capacity: usize,
    max_bytes: usize,
}

impl Subscribing {
    /// What dispatchers find beside the subscriber; `nil` otherwise.
    pub fn metadata(mut self, metadata: impl Into<Term>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// How many messages a stream keeps that is not read; 1,024 otherwise. The oldest are lost first.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// How many bytes of messages a stream keeps that is not read; 16 MiB otherwise. The newest message it always keeps.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// As a stream.
    ///
    /// # Errors
    /// [`PubSubError::Ended`].
    pub fn stream(self) -> Result<Subscription, PubSubError> {
        let queue = Arc::new(Queue::new(self.capacity, self.max_bytes));
        let id = self.shared.subscribe_stream(self.topic.clone(), self.metadata, &queue)?;
        Ok(Subscription { shared: self.shared, topic: self.topic, id, queue })
    }

    /// For a process of this node, whose mailbox is as large as it gets.
    ///
    /// # Errors
    /// [`PubSubError::NoLocal`], [`PubSubError::Ended`].
    pub fn process(self, pid: Pid) -> Result<(), PubSubError> {
        self.shared.subscribe_process(self.topic, pid, self.metadata)
    }
}
