//! The `tiebeam` program: what a user types.

mod epmd;
mod names;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

/// A native node for Erlang and Elixir clusters.
#[derive(Debug, Parser)]
#[command(name = "tiebeam", version)]
struct Cli {
    /// Print results as JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,
    /// Log more; twice for all.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an EPMD, or tell a running one to end.
    Epmd(epmd::Args),
    /// List the nodes that are registered with an EPMD.
    Names(names::Args),
}

/// Runs the program.
#[tokio::main(flavor = "multi_thread")]
pub async fn main() -> ExitCode {
    let cli = Cli::parse_from(epmd::translate(std::env::args_os().collect()));
    let done = match cli.command {
        Command::Epmd(args) => {
            log(cli.verbose.max(args.debug_level()));
            epmd::run(args).await
        }
        Command::Names(args) => {
            log(cli.verbose);
            names::run(args, cli.json).await
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("tiebeam: {error:#}");
        ExitCode::FAILURE
    })
}

fn log(level: u8) {
    let usual = match level {
        0 => "warn",
        1 => "tiebeam=debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| usual.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
