//! `tiebeam ping NODE`: pong (0) or pang (1), as `net_adm:ping/1`.

use std::process::ExitCode;

use clap::Args;

use super::session::Session;
use super::{Global, exit, output};

#[derive(Debug, Args)]
pub(super) struct PingArgs {
    /// The node, name@host.
    #[arg(env = "TIEBEAM_NODE")]
    node: String,
}

pub(super) async fn run(global: &Global, args: PingArgs) -> anyhow::Result<ExitCode> {
    let session = match Session::open(global, &args.node).await {
        Ok(session) => session,
        Err(error) if error.is::<crate::node::DialError>() => {
            say(global, false, Some(&error));
            return Ok(ExitCode::from(exit::FAILED));
        }
        Err(error) => return Err(error),
    };
    let pong = session.node.ping(session.peer.atom()).await;
    say(global, pong, None);
    session.close().await;
    Ok(if pong { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn say(global: &Global, pong: bool, why: Option<&anyhow::Error>) {
    let result = if pong { "pong" } else { "pang" };
    if global.json {
        let mut fields = vec![("result", result.into())];
        if let Some(why) = why {
            fields.push(("reason", format!("{why:#}").into()));
        }
        return output::line(&output::object(fields));
    }
    output::line(result);
    if let Some(why) = why {
        eprintln!("tiebeam: {why:#}");
    }
}
