//! The task that writes: everything that is queued in one write, large messages in pieces between the rest.
//!
//! A large message goes out as fragments, and between two of them goes whatever else is queued. Only its own
//! sender's later signals wait for its end, since the signals of one sender keep their order.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use hashbrown::HashMap;
use tokio::io::AsyncWriteExt;

use super::connection::Connection;
use super::error::Closed;
use super::stream::WriteHalf;
use crate::dflags::DFlags;
use crate::dist::{Encoder, Frames, TICK, Unsent};
use crate::process::outbox::{Queued, Taken};
use crate::process::router::Router;
use crate::signal::Signal;
use crate::term::{Pid, atom::known};

/// A batch goes out when the queue runs dry, or at this size.
const BATCH: usize = 60 * 1024;

/// A peer that takes nothing more is not waited for.
const GOODBYE: Duration = Duration::from_millis(100);

/// Writes until the connection closes; closes it where writing fails.
pub(super) async fn write_loop(connection: Arc<Connection>, router: Arc<Router>, socket: WriteHalf) {
    let mut closing = connection.closing();
    let mut writer = Writer {
        encoder: Encoder::caching(connection.flags()),
        connection: &connection,
        router: &router,
        socket,
        batch: Vec::new(),
        batch_cost: 0,
        waiting: HashMap::new(),
        large: VecDeque::new(),
        sequences: 0,
    };
    tokio::select! {
        written = writer.run() => if let Err(error) = written {
            connection.close(Closed::Io(error.kind()));
        },
        _ = closing.wait_for(Option::is_some) => {}
    }
    // TLS says goodbye, to whoever still listens.
    let _said = tokio::time::timeout(GOODBYE, writer.socket.shutdown()).await;
}

struct Writer<'a> {
    connection: &'a Connection,
    router: &'a Router,
    socket: WriteHalf,
    encoder: Encoder,
    /// Frames encoded and not yet written.
    batch: Vec<u8>,
    batch_cost: usize,
    /// Signals of senders whose large message is not all written.
    waiting: HashMap<Pid, VecDeque<Queued>>,
    /// Those messages, served in turn.
    large: VecDeque<Large>,
    sequences: u64,
}

struct Large {
    sender: Pid,
    frames: std::iter::Peekable<Frames>,
    cost: usize,
}

impl Writer<'_> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let taken = if self.large.is_empty() {
                Some(self.connection.outbox().take().await)
            } else {
                self.connection.outbox().try_take()
            };
            match taken {
                Some(Taken::Closed) => return Ok(()),
                Some(Taken::Batch { signals, tick }) => self.write_batch(signals, tick).await?,
                None => {}
            }
            if let Some(large) = self.large.pop_front() {
                self.write_fragment(large).await?;
            }
            // The end of a large message may have let others of its sender into the batch: nobody waits with a
            // batch in hand.
            if self.large.is_empty() {
                self.flush().await?;
            }
        }
    }

    async fn write_batch(&mut self, signals: VecDeque<Queued>, tick: bool) -> io::Result<()> {
        if tick && signals.is_empty() && self.large.is_empty() {
            self.batch.extend_from_slice(&TICK);
        }
        for queued in signals {
            self.schedule(queued);
            if self.batch.len() >= BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Encodes a signal into the batch, or lets it wait behind its sender's large message.
    fn schedule(&mut self, queued: Queued) {
        if let Some(waiting) = self.waiting.get_mut(&queued.sender) {
            return waiting.push_back(queued);
        }
        let Queued { sender, signal, cost } = queued;
        self.connection.traffic.signals_out.fetch_add(1, Ordering::Relaxed);
        match self.encoder.encode(&signal, &mut self.batch) {
            Ok(None) => self.batch_cost += cost,
            Ok(Some(message)) => {
                self.sequences += 1;
                let frames = message.frames(self.sequences).peekable();
                self.waiting.insert(sender, VecDeque::new());
                self.large.push_back(Large { sender, frames, cost });
            }
            Err(unsent) => {
                self.batch_cost += cost;
                self.not_sent(signal, &unsent);
            }
        }
    }

    /// What the peer does not take.
    fn not_sent(&self, signal: Signal, why: &Unsent) {
        let peer = self.connection.peer().name;
        tracing::debug!(%peer, %why, "signal not sent");
        if let (Signal::SpawnRequest(request), Unsent::Lacks(DFlags::SPAWN)) = (signal, why) {
            let result = Err(known::notsup());
            let (id, to) = (request.id, request.from);
            self.router.deliver(Signal::SpawnReply { id, to, linked: false, monitored: false, result });
        }
    }

    /// Writes the next piece of a large message, behind the batch.
    async fn write_fragment(&mut self, mut large: Large) -> io::Result<()> {
        let mut slices = Slices::default();
        if !self.batch.is_empty() {
            slices.push(std::mem::take(&mut self.batch).into());
        }
        large.frames.next().into_iter().flatten().for_each(|slice| slices.push(slice));
        self.connection.traffic.bytes_out.fetch_add(slices.left as u64, Ordering::Relaxed);
        self.socket.write_all_buf(&mut slices).await?;
        self.socket.flush().await?;
        self.connection.outbox().written(std::mem::take(&mut self.batch_cost));
        if large.frames.peek().is_some() {
            self.large.push_back(large);
            return Ok(());
        }
        self.connection.outbox().written(large.cost);
        for queued in self.waiting.remove(&large.sender).unwrap_or_default() {
            self.schedule(queued);
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.connection.traffic.bytes_out.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
            self.socket.write_all(&self.batch).await?;
            // TLS may hold back what it has encrypted.
            self.socket.flush().await?;
            self.batch.clear();
            self.batch.shrink_to(2 * BATCH);
        }
        let written = std::mem::take(&mut self.batch_cost);
        if written > 0 {
            self.connection.outbox().written(written);
        }
        Ok(())
    }
}

/// Slices to be written as one.
#[derive(Default)]
struct Slices {
    slices: VecDeque<Bytes>,
    left: usize,
}

impl Slices {
    fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.left += slice.len();
            self.slices.push_back(slice);
        }
    }
}

impl Buf for Slices {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.slices.front().map_or(&[], |slice| slice)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let filled = out.iter_mut().zip(&self.slices).map(|(io, slice)| *io = IoSlice::new(slice));
        filled.count()
    }

    fn advance(&mut self, mut written: usize) {
        self.left -= written;
        while let Some(slice) = self.slices.front_mut() {
            if slice.len() > written {
                return slice.advance(written);
            }
            written -= slice.len();
            self.slices.pop_front();
        }
    }
}
