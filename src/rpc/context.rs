//! What a called function knows of its call.

use crate::node::Node;
use crate::process::Process;
use crate::term::Pid;

/// The process that runs an exported function, and who asked for it.
#[derive(Debug)]
pub struct CallContext {
    /// The node.
    pub node: Node,
    /// The process that runs the call: what it sends, it sends in this name.
    pub process: Process,
    /// Who asked.
    pub caller: Pid,
}

impl CallContext {
    /// Whether this process is one of `erpc`'s, which ends as soon as the function has returned.
    pub(crate) fn is_erpc(&self) -> bool {
        self.process.cell().initial_call.0 == crate::term::atom::known::erpc()
    }

    /// Where output goes: the caller's group leader, often on a third node.
    #[must_use]
    pub fn group_leader(&self) -> Pid {
        self.process.group_leader()
    }
}
