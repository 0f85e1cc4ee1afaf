//! The command line.

mod completions;
mod config;
mod crdt;
mod doctor;
mod epmd;
mod exit;
mod global;
mod health;
mod horde;
mod hordes;
mod leave;
mod members;
mod names;
mod node;
mod nodes;
mod output;
mod pg;
mod ping;
mod replicas;
mod rpc;
mod send;
mod session;
mod term;
mod transport;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::handshake::Cookie;

/// A native node for Erlang and Elixir clusters.
#[derive(Debug, Parser)]
#[command(name = "tiebeam", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The cookie of the cluster [env: TIEBEAM_COOKIE]
    #[arg(long, global = true)]
    cookie: Option<String>,
    /// A file with the cookie, readable by its owner only [env: TIEBEAM_COOKIE_FILE] [default: ~/.erlang.cookie]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "cookie")]
    cookie_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) transport: transport::Transport,
    /// One JSON object a line, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More log lines; twice for all.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Colours in log lines.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node.
    Node(Box<node::NodeArgs>),
    /// Run an EPMD, or tell a running one to end.
    Epmd(epmd::Args),
    /// List the nodes that are registered with an EPMD.
    Names(names::Args),
    /// Is a node there? pong or pang.
    Ping(ping::PingArgs),
    /// Call a function: 'lists:sum([1,2,3])' or 'Enum.sum([1, 2, 3])'.
    Rpc(rpc::RpcArgs),
    /// Send a message to a registered process.
    Send(send::SendArgs),
    /// Call a GenServer.
    Call(send::CallArgs),
    /// Terms between text and bytes, and their hashes.
    Term(term::TermArgs),
    /// The peers that a node sees.
    Nodes(nodes::NodesArgs),
    /// The cluster's names, or where one is.
    Global(global::GlobalArgs),
    /// Groups of processes and their members.
    Pg(pg::PgArgs),
    /// Watch nodes come and go, as a node sees them.
    Watch(watch::WatchArgs),
    /// Read, write and watch a DeltaCrdt.
    Crdt(crdt::CrdtArgs),
    /// What a member of a Horde.Registry knows.
    Horde(horde::HordeArgs),
    /// Why can or can't I join?
    Doctor(doctor::DoctorArgs),
    /// Print the completions for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write those of all commands.
    Man(completions::ManArgs),
}

impl Global {
    /// The cookie that was asked for: by a flag, else by a variable, else that of the home directory.
    pub(crate) fn cookie(&self) -> anyhow::Result<Cookie> {
        if let Some(path) = &self.cookie_file {
            return Ok(Cookie::from_file(path)?);
        }
        if let Some(text) = self.cookie.clone().or_else(|| std::env::var("TIEBEAM_COOKIE").ok()) {
            return Ok(Cookie::new(&text)?);
        }
        match std::env::var_os("TIEBEAM_COOKIE_FILE") {
            Some(path) => Ok(Cookie::from_file(path)?),
            None => Ok(Cookie::from_home()?),
        }
    }

    /// Sends log lines to stderr; `RUST_LOG` decides which, else `-v`.
    fn start_log(&self, default: &str) {
        use std::io::IsTerminal;
        let level = match self.verbose {
            0 => default,
            1 => "tiebeam=debug",
            _ => "tiebeam=trace",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(level));
        let ansi = match self.color {
            Color::Auto => std::io::stderr().is_terminal(),
            Color::Always => true,
            Color::Never => false,
        };
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    }
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let args = epmd::translate(std::env::args_os().collect());
    let json = args.iter().any(|arg| arg == "--json");
    let args = match config::expand(Cli::command(), args) {
        Ok(args) => args,
        Err(error) => return exit::report(&error.into(), json),
    };
    let Cli { global, command } = Cli::parse_from(args);
    global.start_log(match &command {
        Command::Node(_) => "tiebeam=info",
        Command::Epmd(args) if args.debug_level() > 0 => "tiebeam=debug",
        _ => "tiebeam=warn",
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tiebeam: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match command {
            Command::Node(args) => node::run(&global, *args).await,
            Command::Epmd(args) => epmd::run(args).await,
            Command::Names(args) => names::run(args, global.json).await,
            Command::Ping(args) => ping::run(&global, args).await,
            Command::Rpc(args) => rpc::run(&global, args).await,
            Command::Send(args) => send::run_send(&global, args).await,
            Command::Call(args) => send::run_call(&global, args).await,
            Command::Term(args) => term::run(&global, args),
            Command::Nodes(args) => nodes::run(&global, args).await,
            Command::Global(args) => global::run(&global, args).await,
            Command::Pg(args) => pg::run(&global, args).await,
            Command::Watch(args) => watch::run(&global, args).await,
            Command::Crdt(args) => crdt::run(&global, args).await,
            Command::Horde(args) => horde::run(&global, args).await,
            Command::Doctor(args) => doctor::run(&global, args).await,
            Command::Completions(args) => completions::completions(Cli::command(), &args),
            Command::Man(args) => completions::man(Cli::command(), args),
        }
    });
    result.unwrap_or_else(|error| exit::report(&error, global.json))
}
