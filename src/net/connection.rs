//! One connection: a task that reads and one that writes, and never waits for the other.
//!
//! What was read goes straight to the mailboxes of processes, which never makes the reader wait; a writer that is stuck
//! stops neither the reader nor the ticks by which a dead peer is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::error::Closed;
use super::stream::{ReadHalf, Stream};
use super::writer;
use crate::dflags::DFlags;
use crate::dist::{self, Counters, Frame, FrameDecoder, Tick, TickAction, missing, next_frame};
use crate::process::outbox::Outbox;
use crate::process::router::Router;
use crate::term::{Creation, NodeName};

/// A node that is, or was, connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Its incarnation.
    pub creation: Creation,
    /// Whether it, or we, joined as a hidden node.
    pub hidden: bool,
    /// Which connection of this node's life it is.
    pub connection_id: u64,
}

/// What both sides agreed on, and our own measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) flags: DFlags,
    pub(crate) net_ticktime: Duration,
    pub(crate) tick_intensity: u32,
    pub(crate) max_frame: usize,
}

/// A connection to a peer.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: Peer,
    link: Link,
    outbox: Arc<Outbox>,
    pub(crate) traffic: Traffic,
    closing: watch::Sender<Option<Closed>>,
    /// All that came over it has been delivered.
    down: AtomicBool,
    gone: watch::Sender<bool>,
}

/// What has passed over a connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) signals_in: AtomicU64,
    pub(crate) signals_out: AtomicU64,
}

/// As much is read at once, if it is there.
const READ_AT_ONCE: usize = 128 * 1024;

/// Room is made for at most so much of an announced frame before its bytes have come.
const ROOM_AT_ONCE: usize = 1024 * 1024;

impl Connection {
    pub(crate) fn new(peer: Peer, link: Link, outbox: Arc<Outbox>) -> Self {
        Self {
            peer,
            link,
            outbox,
            traffic: Traffic::default(),
            closing: watch::channel(None).0,
            down: AtomicBool::new(false),
            gone: watch::channel(false).0,
        }
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The flags that hold.
    pub(crate) fn flags(&self) -> DFlags {
        self.link.flags
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.queued_bytes()
    }

    /// Ends the connection. The first reason is the one that counts.
    pub(crate) fn close(&self, why: Closed) {
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(why);
            first
        });
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    /// Nothing comes over it any more, and all that came has been delivered.
    pub(crate) fn set_down(&self) {
        self.down.store(true, Ordering::Release);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// Everybody who had to know that it ended has been told.
    pub(crate) fn set_gone(&self) {
        self.gone.send_replace(true);
    }

    /// Waits until everybody who had to know that it ended has been told.
    pub(crate) async fn gone(&self) {
        // The sender lives as long as the connection.
        let mut gone = self.gone.subscribe();
        let _gone = gone.wait_for(|gone| *gone).await;
    }

    /// Waits until all that was queued has been written, or the connection ends.
    pub(crate) async fn drained(&self) {
        let mut closing = self.closing.subscribe();
        let drained = async {
            while self.outbox.queued_bytes() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = drained => {}
            _ = closing.wait_for(Option::is_some) => {}
        }
    }

    /// Reads and writes until either side ends it.
    pub(crate) async fn run(self: &Arc<Self>, stream: Stream, router: &Arc<Router>) -> Closed {
        let (reader, writer) = stream.into_split();
        let writing = tokio::spawn(writer::write_loop(Arc::clone(self), Arc::clone(router), writer));
        let mut closing = self.closing.subscribe();
        let why = tokio::select! {
            // Nothing is read of one that was closed before it began.
            biased;
            // Cloned out of the guard at once: it must not be held over an await.
            why = async { closing.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) } => {
                why.unwrap_or(Closed::Requested)
            }
            why = self.read_loop(reader, router) => why,
        };
        self.close(why.clone());
        self.outbox.close();
        let _aborted_with_the_runtime = writing.await;
        self.closing.borrow().clone().unwrap_or(why)
    }

    async fn read_loop(&self, mut reader: ReadHalf, router: &Arc<Router>) -> Closed {
        let limits = dist::Limits { max_frame: self.link.max_frame, ..dist::Limits::default() };
        let mut decoder = FrameDecoder::new(self.peer.name, self.link.flags, &limits);
        let Link { net_ticktime, tick_intensity, .. } = self.link;
        let mut tick = Tick::new(std::time::Instant::now(), net_ticktime, tick_intensity, self.peer.hidden);
        let mut buffer = BytesMut::new();
        let timer = sleep_until(Instant::from_std(tick.poll_timeout()));
        tokio::pin!(timer);
        loop {
            if let Err(why) = self.handle_frames(&mut buffer, &mut decoder, &mut tick, router) {
                return why;
            }
            buffer.reserve(missing(&buffer).clamp(READ_AT_ONCE, ROOM_AT_ONCE));
            tokio::select! {
                read = reader.read_buf(&mut buffer) => match read {
                    Ok(0) => return Closed::ByPeer,
                    Ok(n) => drop(self.traffic.bytes_in.fetch_add(n as u64, Ordering::Relaxed)),
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Closed::ByPeer,
                    Err(error) => return Closed::Io(error.kind()),
                },
                () = &mut timer => {
                    match tick.handle_timeout(std::time::Instant::now(), self.counters()) {
                        TickAction::Dead => return Closed::NetTick,
                        TickAction::SendTick => self.outbox.request_tick(),
                        TickAction::None => {}
                    }
                    timer.as_mut().reset(Instant::from_std(tick.poll_timeout()));
                    if buffer.is_empty() {
                        // A quiet connection keeps no buffer.
                        buffer = BytesMut::new();
                    }
                }
            }
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            bytes_read: self.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_written: self.traffic.bytes_out.load(Ordering::Relaxed),
            queue_empty: self.outbox.queued_bytes() == 0,
        }
    }

    fn handle_frames(
        &self,
        buffer: &mut BytesMut,
        decoder: &mut FrameDecoder,
        tick: &mut Tick,
        router: &Router,
    ) -> Result<(), Closed> {
        let broken = |error: dist::Error| {
            tracing::warn!(peer = %self.peer.name, %error, "closing the connection");
            Closed::Protocol(error.to_string())
        };
        while let Some(frame) = next_frame(buffer, self.link.max_frame).map_err(broken)? {
            let Frame::Message(frame) = frame else {
                if tick.handle_tick(std::time::Instant::now(), self.counters()) == TickAction::SendTick {
                    self.outbox.request_tick();
                }
                continue;
            };
            let Some(signal) = decoder.decode(frame).map_err(broken)? else { continue };
            self.traffic.signals_in.fetch_add(1, Ordering::Relaxed);
            router.deliver(signal);
        }
        Ok(())
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(super) fn closing(&self) -> watch::Receiver<Option<Closed>> {
        self.closing.subscribe()
    }
}
