//! An EPMD's listening sockets.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::epmd::{Config, Error};

/// Listens on all addresses of the configuration, with one port.
pub(super) fn bind(config: &Config) -> Result<Vec<TcpListener>, Error> {
    if config.port != 0 {
        return bind_all(config);
    }
    // The port that is free at one address need not be so at the others.
    let mut tries = 0..10;
    loop {
        match bind_all(config) {
            Err(Error::AddressInUse(_)) if tries.next().is_some() => {}
            bound => return bound,
        }
    }
}

/// Whether the peer has closed, or has written what it must not: asked of the system itself, whatever
/// the runtime has seen so far.
pub(super) fn has_ended(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    !peeked.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted))
}

fn bind_all(config: &Config) -> Result<Vec<TcpListener>, Error> {
    let mut port = config.port;
    let mut listeners = Vec::new();
    let mut failure = Error::Io(io::ErrorKind::AddrNotAvailable);
    for (ip, required) in addresses(&config.addresses) {
        let addr = SocketAddr::new(ip, port);
        match listen(addr) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(Error::AddressInUse(addr)),
            Err(error) if required => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%addr, %error, "not listening there");
                failure = error.into();
            }
        }
    }
    if listeners.is_empty() { Err(failure) } else { Ok(listeners) }
}

/// What to listen on, and whether it is an error when that address cannot be had: a machine may well
/// lack IPv4 or IPv6.
fn addresses(asked: &[IpAddr]) -> Vec<(IpAddr, bool)> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    if asked.is_empty() {
        return any.map(|ip| (ip, false)).into();
    }
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let optional = loopback.map(|ip| (ip, false)).into_iter();
    let all = optional.chain(asked.iter().map(|ip| (*ip, true)));
    let mut seen = BTreeSet::new();
    // Where all addresses of a family are asked for, that includes the others.
    let covered =
        |ip: IpAddr| asked.iter().any(|any| any.is_unspecified() && any.is_ipv4() == ip.is_ipv4() && *any != ip);
    all.filter(|(ip, _)| !covered(*ip) && seen.insert(*ip)).collect()
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows this would let two of them have the same address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_always_listened_on() {
        let names = |asked: &[&str]| addresses(&ips(asked)).into_iter().map(|(ip, _)| ip).collect::<Vec<_>>();
        assert_eq!(names(&[]), ips(&["0.0.0.0", "::"]));
        assert_eq!(names(&["10.0.0.1"]), ips(&["127.0.0.1", "::1", "10.0.0.1"]));
        assert_eq!(names(&["::1", "127.0.0.1", "127.0.0.1"]), ips(&["127.0.0.1", "::1"]));
        assert_eq!(names(&["0.0.0.0", "10.0.0.1"]), ips(&["::1", "0.0.0.0"]));
        assert_eq!(names(&["::"]), ips(&["127.0.0.1", "::"]));
    }

    #[tokio::test]
    async fn the_same_address_is_not_listened_on_twice() {
        let config = Config { port: 0, addresses: ips(&["127.0.0.1"]) };
        let first = bind(&config).unwrap();
        let addr = first[0].local_addr().unwrap();
        for addresses in [ips(&["127.0.0.1"]), vec![]] {
            let again = bind(&Config { port: addr.port(), addresses });
            assert!(matches!(again, Err(Error::AddressInUse(_))), "{again:?}");
        }
        drop(first);
        assert!(bind(&Config { port: addr.port(), addresses: vec![] }).is_ok());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_an_error() {
        let config = Config { port: 0, addresses: ips(&["192.0.2.77"]) };
        assert_eq!(bind(&config).map(|_| ()), Err(Error::Io(io::ErrorKind::AddrNotAvailable)));
    }
}
