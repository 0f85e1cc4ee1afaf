//! `tiebeam send` and `tiebeam call`: a message, or a GenServer call, to a registered process.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::session::Session;
use super::{Global, exit, output};
use crate::process::{CallError, Dest};
use crate::rpc::is_auth;
use crate::term::atom::known;
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The node, name@host.
    node: String,
    /// The registered name; MyApp.Server is Elixir's alias.
    name: String,
    /// The message, as an Erlang or Elixir literal.
    term: String,
}

#[derive(Debug, Args)]
pub(super) struct CallArgs {
    #[command(flatten)]
    to: SendArgs,
    /// Give up after so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    timeout: u64,
}

pub(super) async fn run_send(global: &Global, args: SendArgs) -> anyhow::Result<ExitCode> {
    let (message, _) = text::parse(&args.term, Syntax::Auto)?;
    let to = text::name(&args.name)?;
    let session = Session::open(global, &args.node).await?;
    let process = session.node.process();
    process.send(Dest::Remote(to, session.peer.atom()), &message).await?;
    // The answer to a monitor follows the message: then it has arrived.
    arrived(&session, process).await;
    session.close().await;
    if global.json {
        output::line(&output::object([("result", "sent".into())]));
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the peer has taken what was sent before: a call to `net_kernel` comes back behind it.
async fn arrived(session: &Session, mut process: crate::process::Process) {
    let net_kernel = (known::net_kernel(), session.peer.atom());
    let _whatever_it_answers = process.call(net_kernel, &is_auth(&session.node), Some(Duration::from_secs(5))).await;
}

pub(super) async fn run_call(global: &Global, args: CallArgs) -> anyhow::Result<ExitCode> {
    let (request, syntax) = text::parse(&args.to.term, Syntax::Auto)?;
    let to = text::name(&args.to.name)?;
    let session = Session::open(global, &args.to.node).await?;
    let mut process = session.node.process();
    let limit = Some(Duration::from_millis(args.timeout));
    let reply = process.call(Dest::Remote(to, session.peer.atom()), &request, limit).await;
    session.close().await;
    match reply {
        Ok(reply) => {
            let shown = text::print(&reply, syntax);
            if global.json {
                output::line(&output::object([("reply", shown.into())]));
            } else {
                output::line(&shown);
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(CallError::Exit(reason)) => {
            let reason = text::print(&reason, syntax);
            if global.json {
                output::line(&output::object([("exit", reason.into())]));
            } else {
                eprintln!("** (exit) {reason}");
            }
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(CallError::Timeout) => {
            if global.json {
                output::line(&output::object([("exit", "timeout".into())]));
            } else {
                eprintln!("** (exit) no reply within {} ms", args.timeout);
            }
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(error) => Err(error.into()),
    }
}
