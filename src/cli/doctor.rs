//! `tiebeam doctor NODE`: why can or can't I join? One line a check, a hint for each failure.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Global, exit, output, session};
use crate::epmd;
use crate::handshake::HandshakeError;
#[cfg(feature = "tls")]
use crate::net::Tls;
use crate::net::{dial, epmd_client};
use crate::node::{DialError, Node};
use crate::rpc::is_auth;
use crate::term::{Atom, NodeName, atom::known};

/// How long a step may take: BEAM's `net_setuptime`.
const STEP: Duration = Duration::from_secs(7);

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The node, name@host.
    node: String,
}

/// Prints checks as they are made.
struct Report<'a> {
    global: &'a Global,
    failed: bool,
}

impl Report<'_> {
    fn ok(&self, check: &str, found: &str) {
        self.say(check, "ok", found, None);
    }

    fn fail(&mut self, check: &str, found: &str, hint: &str) {
        self.failed = true;
        self.say(check, "FAIL", found, Some(hint));
    }

    fn say(&self, check: &str, verdict: &str, found: &str, hint: Option<&str>) {
        if self.global.json {
            let mut fields = vec![("check", check.into()), ("ok", (verdict == "ok").into()), ("found", found.into())];
            if let Some(hint) = hint {
                fields.push(("hint", hint.into()));
            }
            return output::line(&output::object(fields));
        }
        output::line(&format!("{verdict:>4}  {check:<10} {found}"));
        if let Some(hint) = hint {
            output::line(&format!("      {:<10} hint: {hint}", ""));
        }
    }
}

pub(super) async fn run(global: &Global, args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut report = Report { global, failed: false };
    let reached = examine(&mut report, &args.node).await?;
    Ok(match (reached, report.failed) {
        (true, false) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(exit::FAILED),
        (false, _) => ExitCode::from(exit::UNREACHABLE),
    })
}

/// From the name to `:global`; false where a step without which nothing goes on failed.
async fn examine(report: &mut Report<'_>, name: &str) -> anyhow::Result<bool> {
    let peer = match NodeName::new(name) {
        Ok(peer) => peer,
        Err(error) => {
            report.fail("name", &error.to_string(), "give the full name, as node() prints it on that node");
            return Ok(false);
        }
    };
    report.ok("name", peer.as_str());
    if !look_up(report, peer).await {
        return Ok(false);
    }
    let node = session::start(report.global, peer).await?;
    let connected = shake_hands(report, &node, peer).await;
    if connected {
        talk(report, &node, peer).await;
    }
    node.shutdown().await;
    Ok(connected)
}

async fn look_up(report: &mut Report<'_>, peer: NodeName) -> bool {
    let address = match dial::resolve(peer.host(), report.global.transport.ipv6).await {
        Ok(address) => address,
        Err(error) => {
            report.fail("dns", &error.to_string(), "is the host part of the name right? try an address in its place");
            return false;
        }
    };
    report.ok("dns", &format!("{} is {address}", peer.host()));
    if let Some(port) = report.global.transport.dist_port {
        report.ok("epmd", &format!("not asked: every node's port is {port}"));
        return check_port(report, peer, std::net::SocketAddr::new(address, port)).await;
    }
    let config = match epmd::Config::from_vars(|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => {
            report.fail("epmd", &error.to_string(), "mend the variable");
            return false;
        }
    };
    let at = config.at(address);
    match epmd_client::port_please(at, peer.name()).await {
        Ok(found) => {
            let versions = format!("versions {} to {}", found.lowest, found.highest);
            report.ok("epmd", &format!("{at} knows {} at port {}, {versions}", peer.name(), found.port));
            check_port(report, peer, std::net::SocketAddr::new(address, found.port)).await
        }
        Err(epmd::Error::NameNotRegistered(name)) => {
            let known: Vec<String> =
                epmd_client::names(at).await.unwrap_or_default().into_iter().map(|(name, _)| name).collect();
            let found = format!("{at} does not know {name}; it knows: {}", known.join(", "));
            report.fail("epmd", &found, "is the node up, and with that very name (-name or -sname)?");
            false
        }
        Err(error) => {
            let hint = "no distributed Erlang node runs there, ERL_EPMD_PORT differs, or a firewall is in between";
            report.fail("epmd", &error.to_string(), hint);
            false
        }
    }
}

async fn check_port(report: &mut Report<'_>, peer: NodeName, address: std::net::SocketAddr) -> bool {
    match dial::open(address, STEP).await {
        Ok(stream) => {
            report.ok("port", &format!("{address} accepts connections"));
            secure(report, peer, stream).await
        }
        Err(error) => {
            report.fail("port", &error.to_string(), "the node hangs, has just gone, or a firewall is in between");
            false
        }
    }
}

/// The step of TLS, where it was asked for.
#[cfg(feature = "tls")]
async fn secure(report: &mut Report<'_>, peer: NodeName, stream: tokio::net::TcpStream) -> bool {
    let tls = match report.global.transport.tls() {
        Ok(Some(config)) => Tls::new(config),
        Ok(None) => return true,
        Err(error) => {
            report.fail("tls", &error.to_string(), "give --tls-cert, --tls-key and --tls-ca");
            return false;
        }
    };
    let tls = match tls {
        Ok(tls) => tls,
        Err(error) => {
            report.fail("tls", &error.to_string(), "are the files PEM, readable, and of one another?");
            return false;
        }
    };
    match tls.connect(stream, peer.host(), STEP).await {
        Ok(stream) => {
            report.ok("tls", &format!("{}; its certificate convinces", stream.protocol()));
            true
        }
        Err(error) => {
            let hint = "its certificate must be signed by --tls-ca, be for that host and not be expired; \
                        ours must convince it (its log says); and it must speak TLS (-proto_dist inet_tls)";
            report.fail("tls", &error.to_string(), hint);
            false
        }
    }
}

#[cfg(not(feature = "tls"))]
async fn secure(_: &mut Report<'_>, _: NodeName, _: tokio::net::TcpStream) -> bool {
    true
}

async fn shake_hands(report: &mut Report<'_>, node: &Node, peer: NodeName) -> bool {
    let started = Instant::now();
    match node.connect(peer.atom()).await {
        Ok(()) => {
            report.ok("handshake", &format!("done in {:.1} ms", started.elapsed().as_secs_f64() * 1000.0));
            report.ok("cookie", "both sides have the same");
            if let Some(connection) = node.connections().first() {
                report.ok("flags", &format!("both sides speak: {}", connection.flags()));
            }
            true
        }
        Err(DialError::Handshake(HandshakeError::CookieRejected | HandshakeError::BadCookie)) => {
            report.ok("handshake", "up to the challenge");
            report.fail("cookie", "the peer has another cookie", "compare with erlang:get_cookie() there (--cookie)");
            false
        }
        Err(DialError::Handshake(HandshakeError::Incompatible(missing))) => {
            report.fail("flags", &missing.to_string(), "the peer is older than OTP 25, or not a full node");
            false
        }
        Err(error) => {
            report.fail("handshake", &error.to_string(), "the peer's log may say more");
            false
        }
    }
}

async fn talk(report: &mut Report<'_>, node: &Node, peer: NodeName) {
    let mut process = node.process();
    let limit = Some(Duration::from_secs(5));
    let started = Instant::now();
    match process.call((known::net_kernel(), peer.atom()), &is_auth(node), limit).await {
        Ok(yes) if yes.is_atom("yes") => {
            report.ok("ping", &format!("pong in {:.1} ms", started.elapsed().as_secs_f64() * 1000.0));
        }
        other => report.fail("ping", &format!("{other:?}"), "net_kernel there does not answer as it should"),
    }
    let rpc = node.rpc(peer.atom()).timeout(Duration::from_secs(5));
    match rpc.call_term(Atom::new("net_kernel"), Atom::new("get_net_ticktime"), vec![]).await {
        Ok(ticktime) => report.ok("ticks", &format!("its net_ticktime is {ticktime} s")),
        Err(error) => report.fail("ticks", &error.to_string(), "it serves no rpc, or not this function"),
    }
    match rpc.call_term(Atom::new("global"), Atom::new("registered_names"), vec![]).await {
        Ok(names) => report.ok("global", &format!("answers; {} names", names.as_list().map_or(0, |list| list.len()))),
        Err(error) => report.fail("global", &error.to_string(), ":global there is stuck, or the node has none"),
    }
}
