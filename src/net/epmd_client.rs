//! Asking an EPMD: one connection a question.
//!
//! ```no_run
//! # async fn example() -> Result<(), tiebeam::epmd::Error> {
//! use tiebeam::epmd::{Config, Registration};
//! use tiebeam::net::epmd_client;
//!
//! let epmd = Config::default().local();
//! let mut me = epmd_client::register(epmd, &Registration::new("rust", 50_000)).await?;
//! assert_eq!(epmd_client::port_please(epmd, "rust").await?.port, 50_000);
//! me.closed().await; // the EPMD ended: time to register again
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::epmd::reply::{self, Alive2};
use crate::epmd::request::{Malformed, Request};
use crate::epmd::{Error, Phase, Registration};

/// Registers a node. The name is its own for as long as the returned value lives.
pub async fn register(epmd: SocketAddr, node: &Registration) -> Result<Registered, Error> {
    node.check()?;
    let mut stream = connect(epmd).await?;
    let exchange = async {
        stream.write_all(&Request::Alive2(node.clone()).encode()).await?;
        let mut answer = Vec::with_capacity(Alive2::MAX_LEN);
        loop {
            if let Some(alive) = Alive2::decode(&answer).map_err(malformed)? {
                return Ok(alive);
            }
            let missing = Alive2::missing(answer.len());
            if (&mut stream).take(missing).read_buf(&mut answer).await? == 0 {
                return Err(if answer.is_empty() { Error::Refused } else { CUT_SHORT });
            }
        }
    };
    match answered(epmd, exchange).await? {
        Alive2::Registered { creation } => Ok(Registered { stream, creation }),
        Alive2::Refused => Err(Error::NameInUse(node.name.clone())),
    }
}

/// A name held at an EPMD. Dropping it gives the name up.
#[derive(Debug)]
pub struct Registered {
    stream: TcpStream,
    creation: u32,
}

impl Registered {
    /// What tells this incarnation of the node from those before. A node keeps the first one it got:
    /// when it registers again because an EPMD was restarted, it ignores the new one, as BEAMs do.
    pub fn creation(&self) -> u32 {
        self.creation
    }

    /// Waits until the EPMD has ended, or has taken the name away. Cancel-safe.
    pub async fn closed(&mut self) {
        // An EPMD has nothing more to say; what one says all the same is passed over.
        let mut ignored = [0; 64];
        while !matches!(self.stream.read(&mut ignored).await, Ok(0) | Err(_)) {}
    }
}

/// Looks a node up by the name before its `@`.
pub async fn port_please(epmd: SocketAddr, name: &str) -> Result<Registration, Error> {
    let unknown = || Error::NameNotRegistered(name.to_owned());
    Registration::new(name, 0).check()?;
    let mut stream = connect(epmd).await?;
    let exchange = async {
        stream.write_all(&Request::PortPlease2(name.to_owned()).encode()).await?;
        let mut answer = Vec::with_capacity(64);
        loop {
            if let Some(node) = reply::decode_port2(&answer).map_err(malformed)? {
                return Ok(node);
            }
            if stream.read_buf(&mut answer).await? == 0 {
                // Closed without a word: the EPMD looks no such name up.
                return if answer.is_empty() { Ok(None) } else { Err(CUT_SHORT) };
            }
        }
    };
    answered(epmd, exchange).await?.ok_or_else(unknown)
}

/// The names and ports of all nodes that are registered, the newest first.
pub async fn names(epmd: SocketAddr) -> Result<Vec<(String, u16)>, Error> {
    Ok(reply::parse_names(&names_text(epmd).await?.1))
}

/// The port that the EPMD says it has, and its list of names as text: what `epmd -names` prints.
pub async fn names_text(epmd: SocketAddr) -> Result<(u32, Vec<u8>), Error> {
    listing(epmd, Request::Names).await
}

/// The same of all that the EPMD knows, dead names included: what `epmd -dump` prints.
pub async fn dump_text(epmd: SocketAddr) -> Result<(u32, Vec<u8>), Error> {
    listing(epmd, Request::Dump).await
}

/// Ends the EPMD. It refuses while nodes are registered, unless it runs with `relaxed_command_check`.
pub async fn kill(epmd: SocketAddr) -> Result<(), Error> {
    let answer = ask(epmd, Request::Kill).await?;
    match &*answer {
        reply::KILL_OK => Ok(()),
        reply::KILL_NO => Err(Error::LiveNodes),
        [] => Err(Error::Refused),
        _ => Err(Error::MalformedReply("not an answer to KILL_REQ")),
    }
}

/// Takes a node's name away. `Error::Refused` from an EPMD without `relaxed_command_check`.
pub async fn stop(epmd: SocketAddr, name: &str) -> Result<(), Error> {
    Registration::new(name, 0).check()?;
    let answer = ask(epmd, Request::Stop(name.to_owned())).await?;
    match &*answer {
        reply::STOPPED => Ok(()),
        _ if answer.starts_with(reply::NOEXIST) => Err(Error::NameNotRegistered(name.to_owned())),
        [] => Err(Error::Refused),
        _ => Err(Error::MalformedReply("not an answer to STOP_REQ")),
    }
}

async fn listing(epmd: SocketAddr, request: Request) -> Result<(u32, Vec<u8>), Error> {
    let answer = ask(epmd, request).await?;
    if answer.is_empty() {
        return Err(Error::Refused);
    }
    let (port, text) = reply::decode_listing(&answer).map_err(malformed)?;
    Ok((port, text.to_vec()))
}

/// Asks, and takes all that is said until the EPMD closes.
async fn ask(epmd: SocketAddr, request: Request) -> Result<Vec<u8>, Error> {
    let mut stream = connect(epmd).await?;
    let exchange = async {
        stream.write_all(&request.encode()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(MAX_ANSWER + 1).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = answered(epmd, exchange).await?;
    if answer.len() as u64 > MAX_ANSWER {
        return Err(Error::MalformedReply("a list without end"));
    }
    Ok(answer)
}

async fn connect(epmd: SocketAddr) -> Result<TcpStream, Error> {
    let connected = timeout(PHASE, TcpStream::connect(epmd)).await;
    let timed_out = |_elapsed| Error::TimedOut { addr: epmd, phase: Phase::Connect };
    let stream = connected.map_err(timed_out)?.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::NoEpmd(epmd),
        io::ErrorKind::TimedOut => Error::TimedOut { addr: epmd, phase: Phase::Connect },
        kind => Error::Io(kind),
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn answered<T>(epmd: SocketAddr, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    let timed_out = |_elapsed| Error::TimedOut { addr: epmd, phase: Phase::Answer };
    timeout(PHASE, exchange).await.map_err(timed_out)?.map_err(|error| match error {
        // It closed while bytes of ours were unread, or was about to end: it says nothing either way.
        Error::Io(ConnectionReset | BrokenPipe) => Error::Refused,
        other => other,
    })
}

fn malformed(Malformed(what): Malformed) -> Error {
    Error::MalformedReply(what)
}

const CUT_SHORT: Error = Error::MalformedReply("the answer ends in the middle");

/// How long OTP's client waits for each step.
const PHASE: Duration = Duration::from_secs(10);
/// Far above what a thousand living and a thousand dead names of the longest kind take.
const MAX_ANSWER: u64 = 16 << 20;

#[cfg(test)]
mod tests;
