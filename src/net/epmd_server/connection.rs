//! One connection to an EPMD: a request, its answer, and the wait of a registration.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Seat;
use crate::epmd::answer::{Answer, Asker, is_local};
use crate::epmd::request::{Request, RequestReader};

/// Serves one connection to its end, or until it has to make room.
pub(super) async fn serve(mut seat: Seat, stream: TcpStream, peer: SocketAddr) {
    let leave = Arc::clone(&seat.leave);
    let why = tokio::select! {
        why = converse(&mut seat, Arc::new(stream), peer) => why,
        () = leave.notified() => "told to leave",
    };
    tracing::debug!(%peer, why, "EPMD connection closed");
}

async fn converse(seat: &mut Seat, stream: Arc<TcpStream>, peer: SocketAddr) -> &'static str {
    let idle = idle_limit(seat.shared.settings.packet_timeout);
    let request = match read_request(&stream, idle).await {
        Ok(request) => request,
        Err(why) => return why,
    };
    tracing::debug!(%peer, ?request, "EPMD request");
    let asker = Asker {
        local: stream.local_addr().is_ok_and(|ours| is_local(peer.ip(), ours.ip())),
        fd: number(&stream),
        now: now(),
    };
    let (reply, and_then) = match seat.handle(request, asker, &stream) {
        Answer::Close(why) => return why,
        Answer::Reply(reply) | Answer::Stopped(_, reply) => (reply, AndThen::Close),
        Answer::Registered(_, reply) => (reply, AndThen::Hold),
        Answer::Refused(reply, why) => {
            tracing::info!(%peer, ?why, "registration refused");
            (reply, AndThen::Linger)
        }
        Answer::Exit(reply) => (reply, AndThen::Exit),
    };
    let written = say(&stream, &reply, seat.shared.settings.delay_write, idle).await;
    match (and_then, written) {
        (AndThen::Exit, _) => seat.shared.killed.notify_one(),
        (_, Err(why)) => return why,
        (AndThen::Close, Ok(())) => {}
        (AndThen::Hold, Ok(())) => until_heard(&stream).await,
        (AndThen::Linger, Ok(())) => drop(timeout(idle, until_heard(&stream)).await),
    }
    "done"
}

/// What becomes of the connection after the reply.
#[derive(Debug, Clone, Copy)]
enum AndThen {
    Close,
    /// It is the registration.
    Hold,
    /// It is the node's to close, but not for ever.
    Linger,
    /// All end.
    Exit,
}

async fn read_request(stream: &TcpStream, idle: Duration) -> Result<Request, &'static str> {
    let mut reader = RequestReader::default();
    let mut buffer = [0; 512];
    loop {
        let room = reader.room().min(buffer.len());
        let piece = &mut buffer[..room];
        let got = match timeout(idle, read(stream, piece)).await {
            Ok(Ok(0)) => return Err("closed before its request was complete"),
            Ok(Ok(got)) => got,
            Ok(Err(_)) => return Err("failed before its request was complete"),
            Err(_) => return Err("idle for too long"),
        };
        match reader.handle_bytes(piece.get(..got).unwrap_or_default()) {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(malformed) => return Err(malformed.0),
        }
    }
}

/// OTP's client takes no registration reply that comes in two parts: it goes out in one write.
async fn say(stream: &TcpStream, mut reply: &[u8], delay: Duration, idle: Duration) -> Result<(), &'static str> {
    if !delay.is_zero() {
        sleep(delay).await;
    }
    while !reply.is_empty() {
        let written = match timeout(idle, write(stream, reply)).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => return Err("failed before its answer was written"),
            Err(_) => return Err("did not take its answer"),
        };
        reply = reply.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Waits until the peer closes or, which ends a registration just as well, says something more.
async fn until_heard(stream: &TcpStream) {
    let _ = read(stream, &mut [0]).await;
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
    }
}

/// erts counts whole seconds and closes in the one after the last allowed: who sends a byte every second
/// is served even at `-packet_timeout 1`.
fn idle_limit(packet_timeout: Duration) -> Duration {
    packet_timeout.saturating_add(Duration::from_secs(1))
}

/// The number that dumps tell of a connection.
fn number(stream: &TcpStream) -> i32 {
    #[cfg(unix)]
    return stream.as_raw_fd();
    #[cfg(not(unix))]
    return stream.local_addr().map_or(0, |_| 0);
}

fn now() -> u32 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX)
}
