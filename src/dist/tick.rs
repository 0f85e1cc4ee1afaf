//! When to tick, and when a silent peer is dead: the counters of OTP's `dist_util`.
//!
//! A connection is looked at `intensity` times per `net_ticktime`. Each time, if nothing was written
//! since the last look and nothing waits to be written, a tick goes out; and if nothing was read since the look
//! that many looks ago, the peer is dead. So loss is noticed after the `net_ticktime`, give or take
//! one part of it. Any byte counts as life, ticks and pieces of frames included.
//!
//! The peer has a `net_ticktime` of its own. Where it is shorter than ours, our own ticks come too
//! seldom for it; so a tick is also answered by a tick, as C nodes do, unless we wrote just now (else
//! two nodes that answer would never stop).

use std::time::{Duration, Instant};

use super::frame::TICK;

/// What passed over a connection since it was set up, ticks included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    /// Nothing waits to be written.
    pub(crate) queue_empty: bool,
}

/// What a connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickAction {
    None,
    /// Write [`TICK`].
    SendTick,
    /// Nothing came for the whole `net_ticktime`: the connection is lost (`net_tick_timeout`).
    Dead,
}

/// The ticks of one connection.
#[derive(Debug)]
pub(crate) struct Tick {
    interval: Duration,
    intensity: u32,
    peer_hidden: bool,
    due: Instant,
    /// At the last look.
    read: u64,
    /// At the last look, the tick that it sent included.
    written: u64,
    /// How many looks in a row saw nothing new read.
    silent: u32,
    /// What was written when that was last asked, and since when it has been so.
    idle: (u64, Instant),
}

/// A tick is not answered sooner than this after we wrote.
const ANSWER_AFTER: Duration = Duration::from_millis(200);

impl Tick {
    /// For a connection set up `now`, whose counters start at 0.
    pub(crate) fn new(now: Instant, net_ticktime: Duration, intensity: u32, peer_hidden: bool) -> Self {
        let intensity = intensity.max(1);
        let interval = (net_ticktime / intensity).max(Duration::from_millis(1));
        Self { interval, intensity, peer_hidden, due: now + interval, read: 0, written: 0, silent: 0, idle: (0, now) }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Looks at the connection, if it is time to.
    pub(crate) fn handle_timeout(&mut self, now: Instant, counters: Counters) -> TickAction {
        if now < self.due {
            return TickAction::None;
        }
        // A program that was stopped for a while must not take its own absence for the peer's: late
        // looks are not made up for.
        let late = now - self.due >= self.interval;
        self.due = if late { now } else { self.due } + self.interval;
        let heard = counters.bytes_read != self.read;
        let wrote = counters.bytes_written != self.written;
        self.read = counters.bytes_read;
        self.written = counters.bytes_written;
        self.silent = if heard { 0 } else { self.silent + 1 };
        if self.silent >= self.intensity {
            return TickAction::Dead;
        }
        // A hidden node of old only ticked when ticked at, so it is ticked at when it is silent, even
        // while we write.
        if (!wrote || self.peer_hidden && !heard) && counters.queue_empty {
            return self.send(now, counters);
        }
        TickAction::None
    }

    /// Answers a tick of the peer, unless something was or is to be written anyway.
    pub(crate) fn handle_tick(&mut self, now: Instant, counters: Counters) -> TickAction {
        let (written, since) = self.idle;
        if written != counters.bytes_written || !counters.queue_empty {
            self.idle = (counters.bytes_written, now);
            return TickAction::None;
        }
        if now < since + ANSWER_AFTER {
            return TickAction::None;
        }
        let looked = self.written;
        let action = self.send(now, counters);
        // An answer counts as written when the connection is looked at next.
        self.written = looked;
        action
    }

    fn send(&mut self, now: Instant, counters: Counters) -> TickAction {
        // The tick is not to count as something else that was written.
        self.written = counters.bytes_written + TICK.len() as u64;
        self.idle = (self.written, now);
        TickAction::SendTick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection with a `net_ticktime` of 4 seconds, looked at each second.
    struct Connection {
        tick: Tick,
        now: Instant,
        counters: Counters,
    }

    impl Connection {
        fn new(peer_hidden: bool) -> Self {
            let now = Instant::now();
            let counters = Counters { bytes_read: 0, bytes_written: 0, queue_empty: true };
            Self { tick: Tick::new(now, 4 * SECOND, 4, peer_hidden), now, counters }
        }

        fn done(&mut self, action: TickAction) -> TickAction {
            if action == TickAction::SendTick {
                self.counters.bytes_written += 4;
            }
            action
        }

        fn look(&mut self) -> TickAction {
            self.now = self.tick.poll_timeout();
            let action = self.tick.handle_timeout(self.now, self.counters);
            self.done(action)
        }

        fn ticked_at(&mut self) -> TickAction {
            self.counters.bytes_read += 4;
            let action = self.tick.handle_tick(self.now, self.counters);
            self.done(action)
        }
    }

    #[test]
    fn an_idle_connection_ticks_at_every_look() {
        let mut connection = Connection::new(false);
        for _ in 0..20 {
            connection.counters.bytes_read += 1;
            assert_eq!(connection.look(), TickAction::SendTick);
        }
    }

    #[test]
    fn nothing_is_sent_between_two_looks() {
        let mut connection = Connection::new(false);
        let early = connection.now + SECOND / 2;
        assert_eq!(connection.tick.handle_timeout(early, connection.counters), TickAction::None);
    }

    #[test]
    fn a_busy_writer_does_not_tick() {
        let mut connection = Connection::new(false);
        connection.counters.bytes_read += 1;
        connection.counters.bytes_written += 1;
        assert_eq!(connection.look(), TickAction::None);
        connection.counters.queue_empty = false;
        assert_eq!(connection.look(), TickAction::None, "what waits will be written");
        connection.counters.queue_empty = true;
        assert_eq!(connection.look(), TickAction::SendTick);
    }

    #[test]
    fn a_hidden_peer_that_is_silent_is_ticked_at_even_while_we_write() {
        for (peer_hidden, expected) in [(true, TickAction::SendTick), (false, TickAction::None)] {
            let mut connection = Connection::new(peer_hidden);
            connection.counters.bytes_written += 100;
            assert_eq!(connection.look(), expected);
        }
    }

    #[test]
    fn a_peer_that_sends_nothing_for_the_whole_time_is_dead() {
        let mut connection = Connection::new(false);
        connection.counters.bytes_read += 1;
        let actions: Vec<_> = (0..5).map(|_| connection.look()).collect();
        assert_eq!(actions[..4], [TickAction::SendTick; 4]);
        assert_eq!(actions[4], TickAction::Dead);
    }

    #[test]
    fn one_byte_in_time_is_life() {
        let mut connection = Connection::new(false);
        for look in 0..40 {
            connection.counters.bytes_read += u64::from(look % 4 == 0);
            assert_ne!(connection.look(), TickAction::Dead, "look {look}");
        }
    }

    #[test]
    fn a_program_that_was_stopped_does_not_take_the_peer_for_dead() {
        let mut connection = Connection::new(false);
        connection.counters.bytes_read += 1;
        connection.look();
        connection.now += 100 * SECOND;
        assert_eq!(connection.tick.handle_timeout(connection.now, connection.counters), TickAction::SendTick);
        assert_eq!(connection.tick.poll_timeout(), connection.now + SECOND, "and then looks on from here");
    }

    #[test]
    fn every_tick_of_a_faster_peer_is_answered() {
        let mut connection = Connection::new(false);
        for _ in 0..3 {
            connection.now += SECOND / 4;
            assert_eq!(connection.ticked_at(), TickAction::SendTick);
        }
        assert_eq!(connection.look(), TickAction::None, "the answers were ticks enough");
        assert_eq!(connection.look(), TickAction::SendTick);
    }

    #[test]
    fn two_nodes_that_answer_ticks_do_not_go_on_for_ever() {
        let (mut one, mut other) = (Connection::new(false), Connection::new(false));
        assert_eq!(one.look(), TickAction::SendTick);
        other.now = one.now;
        assert_eq!(other.ticked_at(), TickAction::SendTick);
        assert_eq!(one.ticked_at(), TickAction::None);
    }

    #[test]
    fn a_tick_is_not_answered_while_other_bytes_flow() {
        let mut connection = Connection::new(false);
        connection.now += SECOND / 2;
        connection.counters.bytes_written += 10;
        assert_eq!(connection.ticked_at(), TickAction::None);
        connection.now += SECOND / 4;
        assert_eq!(connection.ticked_at(), TickAction::SendTick, "and is once they stop");
    }
}
