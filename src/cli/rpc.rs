//! `tiebeam rpc NODE CALL`: call a function in Erlang's or Elixir's syntax.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::session::Session;
use super::{Global, exit, output};
use crate::io;
use crate::process::Process;
use crate::rpc::{Class, RpcError};
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct RpcArgs {
    /// The node, name@host.
    node: String,
    /// 'lists:sum([1,2,3])' or 'Enum.sum([1, 2, 3])'; the result is printed in the same syntax.
    call: String,
    /// Give up after so many milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
}

/// Shows what the remote function prints on stdout, as it comes.
struct ToStdout;

impl io::Sink for ToStdout {
    fn put(&mut self, _process: &Process, text: &str) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

pub(super) async fn run(global: &Global, args: RpcArgs) -> anyhow::Result<ExitCode> {
    let call = text::parse_call(&args.call)?;
    let session = Session::open(global, &args.node).await?;
    let device = session.node.spawn(|process| io::serve(process, ToStdout));
    let mut rpc = session.node.rpc(session.peer.atom()).group_leader(device);
    if let Some(milliseconds) = args.timeout {
        rpc = rpc.timeout(Duration::from_millis(milliseconds));
    }
    let result = rpc.call_term(call.module, call.function, call.args).await;
    session.close().await;
    match result {
        Ok(value) => {
            let shown = text::print(&value, call.syntax);
            if global.json {
                output::line(&output::object([("result", shown.into())]));
            } else {
                output::line(&shown);
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ RpcError::Remote { .. }) => {
            raised(global, &error, call.syntax);
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(error) => Err(error.into()),
    }
}

fn raised(global: &Global, error: &RpcError, syntax: Syntax) {
    let RpcError::Remote { class, reason, stack } = error else { return };
    let reason = text::print(reason, syntax);
    let stack = stack.as_ref().map(|stack| text::print(stack, syntax));
    if global.json {
        let mut fields = vec![("error", class.to_string().into()), ("reason", reason.into())];
        if let Some(stack) = &stack {
            fields.push(("stacktrace", stack.as_str().into()));
        }
        return output::line(&output::object(fields));
    }
    let class = match class {
        Class::Error => "error",
        Class::Exit => "exit",
        Class::Throw => "throw",
    };
    eprintln!("** ({class}) {reason}");
    if let Some(stack) = stack {
        eprintln!("    {stack}");
    }
}
