//! The I/O protocol: printing to group leaders, and being one.
//!
//! `{io_request, From, ReplyAs, Request}` goes to a device, `{io_reply, ReplyAs, Reply}` comes back (OTP's "The Erlang
//! I/O Protocol"). There is no time-out in it: a device that is mute hangs `IO.puts`.

mod client;
mod device;
mod format;

pub(crate) use self::client::put_chars;
pub(crate) use self::device::{Sink, serve};

use crate::node::Node;
use crate::process::{Process, RegisterError, reason};
use crate::term::{Atom, Pid, Term};

/// A device that gives what is printed to `caller`, as `{rex_stdout, Binary}`; it ends with the node, or with `caller`.
pub(crate) fn stdout_for(node: &Node, caller: Pid) -> Pid {
    struct ToCaller(Pid);
    impl Sink for ToCaller {
        fn put(&mut self, process: &Process, text: &str) {
            let message = reason::of(&Term::tuple([Term::atom("rex_stdout"), Term::from(text)]));
            let _caller_is_gone = process.send_now(self.0, message);
        }
    }
    let process = node.process();
    let pid = process.pid();
    // Without trapping exits the device ends with its caller's link.
    let _just_made = process.link(caller);
    node.run(process, move |process| serve(process, ToCaller(caller)));
    pid
}

/// Starts `user`, the device of last resort: what nobody else prints becomes log lines.
pub(crate) fn start(node: &Node) -> Result<(), RegisterError> {
    struct ToLog(String);
    impl Sink for ToLog {
        fn put(&mut self, _process: &Process, text: &str) {
            const LONGEST: usize = 64 * 1024;
            self.0.push_str(text);
            while let Some(end) = self.0.find('\n') {
                tracing::info!(target: "tiebeam::user", "{}", &self.0[..end]);
                self.0.drain(..=end);
            }
            if self.0.len() > LONGEST {
                tracing::info!(target: "tiebeam::user", "{}", self.0);
                self.0.clear();
            }
        }
    }
    let process = node.process();
    process.register("user")?;
    node.run(process, |process| serve(process, ToLog(String::new())));
    start_logger_proxy(node)
}

/// `logger_proxy`: log events of processes that run elsewhere with a group leader here.
fn start_logger_proxy(node: &Node) -> Result<(), RegisterError> {
    let process = node.process();
    process.register("logger_proxy")?;
    node.run(process, |mut process: Process| async move {
        while let Ok(mail) = process.receive().await {
            let Ok(event) = mail.term() else { continue };
            let Some([kind, Term::Atom(level), what, ..]) = event.as_tuple() else { continue };
            if kind.is_atom("log") {
                log(*level, what);
            }
        }
    });
    Ok(())
}

fn log(level: Atom, what: &Term) {
    match level.as_str() {
        "emergency" | "alert" | "critical" | "error" => tracing::error!(target: "tiebeam::logger_proxy", "{what}"),
        "warning" => tracing::warn!(target: "tiebeam::logger_proxy", "{what}"),
        "notice" | "info" => tracing::info!(target: "tiebeam::logger_proxy", "{what}"),
        _ => tracing::debug!(target: "tiebeam::logger_proxy", "{what}"),
    }
}
