//! `tiebeam epmd`: an EPMD in the place of erts' own, and its orders to a running one.
//!
//! Called by the name `epmd`, or with erts' options of one dash (`tiebeam epmd -port 4370 -daemon`), it
//! reads, prints and exits as erts' program does.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::ArgAction;

use crate::cli::names;
use crate::epmd::config::parse_addresses;
use crate::epmd::{Config, Error};
use crate::net::epmd_client as client;
use crate::net::epmd_server::{EpmdServer, Settings};

/// The options of `tiebeam epmd`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Listen on these addresses, and the loopback ones [default: ERL_EPMD_ADDRESS, or all].
    #[arg(long, value_name = "IP")]
    address: Vec<String>,
    /// Listen on this port, or find the running EPMD there [default: ERL_EPMD_PORT, or 4369].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Close connections that are idle for so long before their request is complete.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    packet_timeout: u32,
    /// Obey --kill while nodes are registered, and --stop at all [also: ERL_EPMD_RELAXED_COMMAND_CHECK].
    #[arg(long)]
    relaxed_command_check: bool,
    /// Simulate a busy server: wait before serving a connection.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay_accept: u32,
    /// Simulate a busy server: wait before each reply.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay_write: u32,
    /// Start detached; returns once the EPMD listens.
    #[arg(long)]
    daemon: bool,
    /// Log to stderr; more when repeated.
    #[arg(long, action = ArgAction::Count)]
    debug: u8,
    /// Tell the running EPMD to end.
    #[arg(long, group = "order")]
    kill: bool,
    /// Take a node's name from the running EPMD.
    #[arg(long, value_name = "NAME", group = "order")]
    stop: Option<String>,

    // What erts' program has, and `tiebeam names` says better.
    #[arg(long, hide = true, group = "order")]
    names: bool,
    #[arg(long, hide = true, group = "order")]
    started: bool,
    #[arg(long, hide = true, group = "order")]
    dump: bool,
    /// Exit as erts' program does.
    #[arg(long, hide = true)]
    as_erts: bool,
    /// This is the process that `--daemon` has started.
    #[arg(long, hide = true, conflicts_with = "daemon")]
    detached: bool,
}

/// Runs an EPMD, or orders a running one.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    if args.kill {
        return kill(&args, &config).await;
    }
    if let Some(name) = &args.stop {
        return stop(&args, &config, name).await;
    }
    if args.names || args.started || args.dump {
        return list(&args, &config).await;
    }
    if args.daemon {
        return start_daemon(&args, &config).await;
    }
    serve(&args, config).await
}

/// Rewrites the command line of erts' `epmd` into ours; any other is left as it is.
pub(crate) fn translate(mut args: Vec<OsString>) -> Vec<OsString> {
    let called = args.first().map(Path::new).and_then(Path::file_stem);
    let by_its_name = called == Some(OsStr::new("epmd"));
    if by_its_name {
        args.insert(1, "epmd".into());
    }
    // Our own flags may stand before the command.
    let is_flag = |arg: &OsString| arg.to_str().is_some_and(|arg| arg.starts_with('-'));
    let Some(command) = (1..args.len()).find(|at| args.get(*at).is_some_and(|arg| !is_flag(arg))) else { return args };
    if args.get(command).is_none_or(|arg| arg != "epmd") {
        return args;
    }
    let options = args.split_off(command + 1);
    let mut as_erts = by_its_name;
    let mut is_value = false;
    for option in options {
        let known = ERTS_OPTIONS.iter().find(|(theirs, ..)| !is_value && option == *theirs);
        is_value = known.is_some_and(|(.., takes_value)| *takes_value);
        as_erts |= known.is_some();
        args.push(known.map_or(option, |(_, ours, _)| ours.into()));
    }
    if as_erts {
        args.push("--as-erts".into());
    }
    args
}

impl Args {
    /// How much `--debug` asks to log.
    pub(crate) fn debug_level(&self) -> u8 {
        self.debug
    }

    fn config(&self) -> Result<Config, Error> {
        let mut config = names::config()?;
        config.port = self.port.unwrap_or(config.port);
        if !self.address.is_empty() {
            config.addresses = parse_addresses(&self.address.join(","))?;
        }
        Ok(config)
    }

    fn settings(&self, listen: Config) -> Settings {
        let usual = Settings::default();
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        Settings {
            listen,
            packet_timeout: seconds(self.packet_timeout),
            relaxed_command_check: self.relaxed_command_check || std::env::var_os(RELAXED).is_some(),
            delay_accept: seconds(self.delay_accept),
            delay_write: seconds(self.delay_write),
            max_connections: open_files()
                .map_or(usual.max_connections, |files| files.saturating_sub(OWN_FILES).max(32)),
            // As erts', which makes it easier to see what becomes of old names.
            remembered_names: if self.debug > 0 { 5 } else { usual.remembered_names },
        }
    }

    fn failed(&self, error: &Error) -> ExitCode {
        names::report(error, "epmd: Cannot connect to local epmd");
        if self.as_erts { ExitCode::FAILURE } else { names::exit_code(error) }
    }
}

async fn serve(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let server = match EpmdServer::bind(args.settings(config)).await {
        Ok(server) => server,
        Err(error @ Error::AddressInUse(_)) => {
            // Nodes find what they need, so this is no failure.
            tracing::info!(%error);
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error).context("epmd: cannot listen"),
    };
    tracing::info!(listening = ?server.local_addrs(), "epmd running");
    let ended = server.run(told_to_end(args.detached)?).await;
    tracing::info!(?ended, "epmd ends");
    Ok(ExitCode::SUCCESS)
}

/// Ready at the first signal that asks us to end.
#[cfg(unix)]
fn told_to_end(detached: bool) -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A daemon outlives the terminal that it was started from.
    let hangup = if detached { Some(signal(SignalKind::hangup())?) } else { None };
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        drop(hangup);
    })
}

#[cfg(not(unix))]
fn told_to_end(_detached: bool) -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// Starts this program again, detached, and waits until it listens.
async fn start_daemon(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let mut child = detached(args, config).context("epmd: cannot start the daemon")?;
    for _ in 0..STARTING.as_millis() / STARTING_STEP.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if client::names_text(config.local()).await.is_ok() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(STARTING_STEP).await;
    }
    anyhow::bail!("epmd: the daemon does not answer at {}", config.local())
}

fn detached(args: &Args, config: &Config) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["epmd", "--detached", "--port"]).arg(config.port.to_string());
    command.args(config.addresses.iter().map(|ip| format!("--address={ip}")));
    command.arg(format!("--packet-timeout={}", args.packet_timeout));
    command.arg(format!("--delay-accept={}", args.delay_accept));
    command.arg(format!("--delay-write={}", args.delay_write));
    if args.relaxed_command_check {
        command.arg("--relaxed-command-check");
    }
    command.args((0..args.debug).map(|_| "--debug"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // A group of its own: the terminal's interrupts are not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

async fn kill(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    match on_this_machine(config, client::kill).await {
        Ok(()) => println!("Killed"),
        Err(Error::LiveNodes) => {
            println!("Killing not allowed - living nodes in database.");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Ok(args.failed(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(args: &Args, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    match on_this_machine(config, |epmd| client::stop(epmd, name)).await {
        Ok(()) => println!("STOPPED"),
        Err(Error::NameNotRegistered(_)) => {
            println!("NOEXIST");
            return Ok(if args.as_erts { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Err(Error::Refused) => {
            println!("epmd: local epmd responded with <>");
            if !args.as_erts {
                eprintln!("tiebeam: an epmd obeys --stop only when it runs with --relaxed-command-check");
            }
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Ok(args.failed(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let listed = if args.dump {
        on_this_machine(config, client::dump_text).await
    } else {
        on_this_machine(config, client::names_text).await
    };
    match listed {
        Ok(_) if args.started => Ok(ExitCode::SUCCESS),
        Ok((port, text)) => {
            let mut stdout = std::io::stdout().lock();
            names::print(&mut stdout, port, &text)?;
            stdout.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(_) if args.started => Ok(ExitCode::FAILURE),
        Err(Error::Refused) => {
            println!("epmd: no response from local epmd");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Ok(args.failed(&error)),
    }
}

/// Asks the EPMD of this machine, which may have either loopback address.
pub(crate) async fn on_this_machine<T, F>(config: &Config, ask: impl Fn(SocketAddr) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let first = ask(config.at(loopback[0])).await;
    match first {
        Err(Error::NoEpmd(_) | Error::Io(_)) => ask(config.at(loopback[1])).await.map_err(|second| match second {
            Error::Io(_) => Error::NoEpmd(config.local()),
            other => other,
        }),
        answered => answered,
    }
}

/// The soft limit of open files: what is beyond it could not be accepted.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// erts' options, ours, and whether a value follows.
const ERTS_OPTIONS: &[(&str, &str, bool)] = &[
    ("-address", "--address", true),
    ("-d", "--debug", false),
    ("-daemon", "--daemon", false),
    ("-debug", "--debug", false),
    ("-delay_accept", "--delay-accept", true),
    ("-delay_write", "--delay-write", true),
    ("-dump", "--dump", false),
    ("-kill", "--kill", false),
    ("-names", "--names", false),
    ("-packet_timeout", "--packet-timeout", true),
    ("-port", "--port", true),
    ("-relaxed_command_check", "--relaxed-command-check", false),
    ("-started", "--started", false),
    ("-stop", "--stop", true),
];

const RELAXED: &str = "ERL_EPMD_RELAXED_COMMAND_CHECK";
/// What a process has open besides its connections.
const OWN_FILES: usize = 16;
const STARTING: Duration = Duration::from_secs(10);
const STARTING_STEP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
