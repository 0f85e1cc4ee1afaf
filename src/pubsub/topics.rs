//! Who subscribes to which topic, and how a message is handed to them.

use std::sync::Arc;

use hashbrown::HashMap;

use super::stream::{Queue, Subscription};
use crate::etf::Encoded;
use crate::process::Process;
use crate::term::{Binary, Pid, Ref, Term};

/// A subscriber, as `broadcast_from` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subscriber {
    /// A process of this node, which finds messages in its mailbox.
    Process(Pid),
    /// A [`Subscription`], by its number.
    Stream(u64),
}

impl From<Pid> for Subscriber {
    fn from(pid: Pid) -> Self {
        Self::Process(pid)
    }
}

impl From<&Process> for Subscriber {
    fn from(process: &Process) -> Self {
        Self::Process(process.pid())
    }
}

impl From<&Subscription> for Subscriber {
    fn from(subscription: &Subscription) -> Self {
        subscription.subscriber()
    }
}

/// Hands messages to the subscribers of a topic: what a module with `dispatch/3` is to Phoenix.
///
/// Registered with [`PubSubBuilder::dispatcher`](super::PubSubBuilder::dispatcher) under the module's name, it is used
/// wherever a broadcast, of this node or another, names that module.
pub trait Dispatcher: Send + Sync {
    /// A message for these, who all subscribe to its topic; `from` is whom `broadcast_from` leaves out, where it was said on
    /// this node. It must not block.
    fn dispatch(&self, entries: &[Entry<'_>], from: Option<Subscriber>, message: &Encoded);
}

impl<F: Fn(&[Entry<'_>], Option<Subscriber>, &Encoded) + Send + Sync> Dispatcher for F {
    fn dispatch(&self, entries: &[Entry<'_>], from: Option<Subscriber>, message: &Encoded) {
        self(entries, from, message);
    }
}

/// A subscription, as a dispatcher sees it.
#[derive(Debug)]
pub struct Entry<'a> {
    row: &'a Row,
    sender: &'a Process,
}

impl Entry<'_> {
    /// Who subscribed.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        self.row.subscriber
    }

    /// What was said on subscribing; `nil` where nothing was.
    #[must_use]
    pub fn metadata(&self) -> &Term {
        &self.row.metadata
    }

    /// Gives the subscriber a message.
    pub fn send(&self, message: Encoded) {
        self.row.send(self.sender, message);
    }
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) subscriber: Subscriber,
    pub(super) metadata: Term,
    /// Where it is a stream.
    pub(super) queue: Option<Arc<Queue>>,
}

impl Row {
    fn send(&self, sender: &Process, message: Encoded) {
        match (&self.queue, self.subscriber) {
            (Some(queue), _) => queue.push(message),
            (None, Subscriber::Process(pid)) => {
                let _ended_or_the_sender_has = sender.send_now(pid, message);
            }
            (None, Subscriber::Stream(_)) => {}
        }
    }
}

/// A message to all but `from`, as it is.
pub(super) fn plain(rows: &[Row], sender: &Process, from: Option<Subscriber>, message: &Encoded) {
    for row in rows.iter().filter(|row| from != Some(row.subscriber)) {
        row.send(sender, message.clone());
    }
}

pub(super) fn by(
    dispatcher: &dyn Dispatcher,
    rows: &[Row],
    sender: &Process,
    from: Option<Subscriber>,
    message: &Encoded,
) {
    let entries: Vec<Entry<'_>> = rows.iter().map(|row| Entry { row, sender }).collect();
    dispatcher.dispatch(&entries, from, message);
}

/// All subscriptions of a pubsub on this node.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// In the order of subscribing. Shared with whoever is dispatching: nothing is locked while that goes on.
    rows: HashMap<Binary, Arc<Vec<Row>>>,
    /// Under which reference each process is watched, and what it subscribes to, each topic as often as it does.
    processes: HashMap<Pid, (Ref, Vec<Binary>)>,
}

impl Topics {
    pub(super) fn of(&self, topic: &Binary) -> Option<Arc<Vec<Row>>> {
        self.rows.get(topic).cloned()
    }

    /// A stream's subscription.
    pub(super) fn add_stream(&mut self, topic: Binary, id: u64, metadata: Term, queue: Arc<Queue>) {
        self.add(topic, Row { subscriber: Subscriber::Stream(id), metadata, queue: Some(queue) });
    }

    /// A process's subscription; it is watched from its first on.
    pub(super) fn add_process<E>(
        &mut self,
        topic: Binary,
        pid: Pid,
        metadata: Term,
        watch: impl FnOnce() -> Result<Ref, E>,
    ) -> Result<(), E> {
        if let Some((_, topics)) = self.processes.get_mut(&pid) {
            topics.push(topic.clone());
        } else {
            self.processes.insert(pid, (watch()?, vec![topic.clone()]));
        }
        self.add(topic, Row { subscriber: Subscriber::Process(pid), metadata, queue: None });
        Ok(())
    }

    fn add(&mut self, topic: Binary, row: Row) {
        Arc::make_mut(self.rows.entry(topic).or_default()).push(row);
    }

    /// Ends all of a subscriber's subscriptions of a topic; the watch to end with its last one.
    pub(super) fn remove(&mut self, topic: &Binary, subscriber: Subscriber) -> Option<Ref> {
        if let Some(rows) = self.rows.get_mut(topic) {
            Arc::make_mut(rows).retain(|row| row.subscriber != subscriber);
            if rows.is_empty() {
                self.rows.remove(topic);
            }
        }
        let Subscriber::Process(pid) = subscriber else { return None };
        let (_, topics) = self.processes.get_mut(&pid)?;
        topics.retain(|other| other != topic);
        if topics.is_empty() { self.processes.remove(&pid).map(|(reference, _)| reference) } else { None }
    }

    /// A process that was watched under this reference has ended.
    pub(super) fn down(&mut self, pid: Pid, reference: Ref) {
        if self.processes.get(&pid).is_none_or(|(watched, _)| *watched != reference) {
            return;
        }
        let Some((_, topics)) = self.processes.remove(&pid) else { return };
        for topic in topics {
            self.remove(&topic, Subscriber::Process(pid));
        }
    }

    /// Forgets all of them; streams end.
    pub(super) fn end(&mut self) {
        for queue in self.rows.drain().flat_map(|(_, rows)| Arc::unwrap_or_clone(rows)).filter_map(|row| row.queue) {
            queue.end();
        }
        self.processes.clear();
    }

    /// How many topics have subscribers, and how many processes subscribe.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.rows.len(), self.processes.len())
    }
}
