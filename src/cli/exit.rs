//! Exit codes: 0 done, 1 the remote side answered with a failure, 2 usage, 3 could not connect.

use std::process::ExitCode;

use crate::epmd;
use crate::etf::DecodeError;
use crate::handshake::{CookieError, HandshakeError};
use crate::node::{CookieFileError, DialError};
use crate::process::CallError;
use crate::rpc::RpcError;
use crate::text::ParseError;
use crate::{StartError, term::NodeNameError};

/// The remote side answered with a failure.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Could not connect.
pub(crate) const UNREACHABLE: u8 = 3;

/// The command line asks for what makes no sense, in these words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) &'static str);

/// Tells what went wrong, and with which code to exit.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    if json {
        println!("{}", super::output::object([("error", format!("{error:#}").into())]));
    } else {
        eprintln!("tiebeam: {error:#}");
    }
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let is_usage = error.is::<ParseError>()
        || error.is::<NodeNameError>()
        || error.is::<DecodeError>()
        || error.is::<CookieError>()
        || error.is::<CookieFileError>()
        || error.is::<super::config::ConfigError>()
        || error.is::<Usage>();
    if is_usage {
        return USAGE;
    }
    if let Some(start) = error.downcast_ref::<StartError>() {
        return match start {
            StartError::Name(_) | StartError::Cookie(_) => USAGE,
            #[cfg(feature = "tls")]
            StartError::Tls(_) => USAGE,
            _ => UNREACHABLE,
        };
    }
    let unreachable = error.is::<DialError>()
        || error.is::<epmd::Error>()
        || matches!(error.downcast_ref(), Some(RpcError::NoConnection(_)))
        || matches!(error.downcast_ref(), Some(CallError::NoConnection(_)));
    if unreachable { UNREACHABLE } else { FAILED }
}

/// What a connection error means to a person, in words that tell its kind.
pub(crate) fn explain(error: DialError, peer: &str) -> anyhow::Error {
    let hint = match &error {
        DialError::Epmd(epmd::Error::NoEpmd(address)) => {
            format!("no EPMD at {address}: no Erlang node runs on that machine, or ERL_EPMD_PORT differs")
        }
        DialError::Epmd(epmd::Error::NameNotRegistered(name)) => {
            format!("name not registered: EPMD knows no node {name}")
        }
        DialError::Refused(address) => format!("connection refused by {address}"),
        DialError::Handshake(HandshakeError::CookieRejected | HandshakeError::BadCookie) => {
            "cookie rejected: the cookies of the two nodes differ".to_owned()
        }
        DialError::Handshake(HandshakeError::Alive | HandshakeError::OurName { .. }) => {
            "name already in use: the node has a connection to one of our name".to_owned()
        }
        // The others say it all themselves.
        _ => return anyhow::Error::new(error).context(format!("cannot connect to {peer}")),
    };
    anyhow::Error::new(error).context(hint).context(format!("cannot connect to {peer}"))
}
