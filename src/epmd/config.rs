//! Where EPMDs listen: `ERL_EPMD_PORT` and `ERL_EPMD_ADDRESS`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::epmd::Error;

/// The port that every EPMD of a cluster shares, and the addresses that this machine's listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The port, 4369 by default.
    pub port: u16,
    /// The addresses to listen on; none means all of them. The loopback addresses are always added.
    pub addresses: Vec<IpAddr>,
}

impl Config {
    /// The port that EPMDs have when nothing else is said.
    pub const DEFAULT_PORT: u16 = 4369;

    /// Reads `ERL_EPMD_PORT` and `ERL_EPMD_ADDRESS` through `lookup`, usually
    /// `|name| std::env::var(name).ok()`.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut config = Self::default();
        if let Some(value) = lookup(PORT) {
            let port = value.trim().parse().ok().filter(|port| *port != 0);
            config.port = port.ok_or(Error::BadSetting { variable: PORT, value, expected: "a port number" })?;
        }
        if let Some(value) = lookup(ADDRESS) {
            config.addresses = parse_addresses(&value)?;
        }
        Ok(config)
    }

    /// Where the nodes of this machine find their EPMD.
    pub fn local(&self) -> SocketAddr {
        self.at(Ipv4Addr::LOCALHOST.into())
    }

    /// Where the EPMD of another machine is found.
    pub fn at(&self, host: IpAddr) -> SocketAddr {
        SocketAddr::new(host, self.port)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { port: Self::DEFAULT_PORT, addresses: Vec::new() }
    }
}

/// Reads a list of addresses separated by commas and spaces, as `ERL_EPMD_ADDRESS` and `-address` hold it.
pub(crate) fn parse_addresses(list: &str) -> Result<Vec<IpAddr>, Error> {
    let one = |token: &str| {
        let value = token.to_owned();
        token.parse().map_err(|_not_an_address| Error::BadSetting {
            variable: ADDRESS,
            value,
            expected: "an IP address",
        })
    };
    list.split([',', ' ']).filter(|token| !token.is_empty()).map(one).collect()
}

const PORT: &str = "ERL_EPMD_PORT";
const ADDRESS: &str = "ERL_EPMD_ADDRESS";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(port: Option<&str>, address: Option<&str>) -> Result<Config, Error> {
        Config::from_vars(|name| if name == PORT { port } else { address }.map(str::to_owned))
    }

    #[test]
    fn nothing_set_means_the_usual_port_on_all_addresses() {
        let config = read(None, None).unwrap();
        assert_eq!(config, Config { port: 4369, addresses: vec![] });
        assert_eq!(config.local(), "127.0.0.1:4369".parse().unwrap());
    }

    #[test]
    fn addresses_are_separated_by_commas_and_spaces() {
        let config = read(Some("4370"), Some(" 10.0.0.1,::1 , 10.0.0.2 ")).unwrap();
        let expected: Vec<IpAddr> = ["10.0.0.1", "::1", "10.0.0.2"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(config, Config { port: 4370, addresses: expected });
        assert!(read(None, Some(" , ")).unwrap().addresses.is_empty());
    }

    #[test]
    fn what_is_neither_port_nor_address_is_reported_with_its_variable() {
        for port in ["", "0", "65536", "epmd"] {
            assert!(matches!(read(Some(port), None), Err(Error::BadSetting { variable: PORT, .. })), "{port:?}");
        }
        let error = read(None, Some("127.0.0.1,localhost")).unwrap_err();
        assert_eq!(error.to_string(), r#"ERL_EPMD_ADDRESS is set to "localhost", which is not an IP address"#);
    }
}
