//! Which processes are told of nodes that come and go, and how: `net_kernel:monitor_nodes/1,2`.
//!
//! They are told by messages in their mailbox, so the order is that of all their mail: `nodeup` before whatever comes over
//! the new connection, `nodedown` after all that came over the old one.

use std::sync::{Mutex, PoisonError};

use super::{Node, NodeEvent};
use crate::process::router::Router;
use crate::process::{Process, reason};
use crate::signal::{Signal, Target};
use crate::term::{Map, Pid, Term, atom::known};

/// Of which nodes, and with what details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MonitorNodes {
    nodes: NodeType,
    shape: Shape,
    tells_type: bool,
    tells_connection: bool,
    tells_reason: bool,
}

/// The nodes that are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NodeType {
    /// Those that `nodes()` lists.
    #[default]
    Visible,
    /// The others.
    Hidden,
    /// Both.
    All,
}

/// How a message carries the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Shape {
    /// `{nodeup, Node}`.
    #[default]
    Plain,
    /// `{nodeup, Node, [{Key, Value}]}`.
    List,
    /// `{nodeup, Node, #{Key => Value}}`.
    Map,
}

impl MonitorNodes {
    /// Visible nodes, as `{nodeup, Node}` and `{nodedown, Node}`.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// Visible nodes, with a map of what is asked for beside them: options as a map.
    #[must_use]
    pub fn map() -> Self {
        Self { shape: Shape::Map, ..Self::default() }
    }

    /// Visible nodes, with a list of what is asked for beside them: options as a list.
    #[must_use]
    pub fn list() -> Self {
        Self { shape: Shape::List, ..Self::default() }
    }

    /// These nodes, and which each is: `node_type`.
    #[must_use]
    pub fn node_type(self, nodes: NodeType) -> Self {
        Self { nodes, tells_type: true, ..self }
    }

    /// Which connection it is: `connection_id`.
    #[must_use]
    pub fn connection_id(self) -> Self {
        Self { tells_connection: true, ..self }
    }

    /// Why a node went: `nodedown_reason`.
    #[must_use]
    pub fn nodedown_reason(self) -> Self {
        Self { tells_reason: true, ..self }
    }

    /// Reads options as `monitor_nodes/2` takes them; the reason of its `{error, Reason}` where it does not.
    ///
    /// # Errors
    /// `{unknown_options, _}`, `{bad_option_value, _}`, `{option_value_mismatch, _}` or `{invalid_options, _}`.
    pub fn from_term(options: &Term) -> Result<Self, Term> {
        let error = |what: &str, which: Term| Term::tuple([Term::atom(what), which]);
        match options {
            Term::List(list) if list.is_empty() => Ok(Self::plain()),
            Term::Map(map) => {
                let mut parsed = Self::map();
                let (mut unknown, mut bad) = (Vec::new(), Vec::new());
                for (key, value) in map.iter() {
                    let pair = (key.clone(), value.clone());
                    match (key.as_atom().map_or("", |key| key.as_str()), value.as_bool(), node_type(value)) {
                        ("connection_id", Some(tells), _) => parsed.tells_connection = tells,
                        ("nodedown_reason", Some(tells), _) => parsed.tells_reason = tells,
                        ("node_type", _, Some(nodes)) => parsed = parsed.node_type(nodes),
                        ("connection_id" | "nodedown_reason" | "node_type", ..) => bad.push(pair),
                        _ => unknown.push(pair),
                    }
                }
                let as_map = |pairs: Vec<(Term, Term)>| Term::Map(pairs.into_iter().collect::<Map>());
                if !unknown.is_empty() {
                    return Err(error("unknown_options", as_map(unknown)));
                }
                if bad.is_empty() { Ok(parsed) } else { Err(error("bad_option_value", as_map(bad))) }
            }
            other => match other.list_items() {
                Some(options) => Self::from_list(options),
                None => Err(error("invalid_options", other.clone())),
            },
        }
    }

    fn from_list(options: Vec<Term>) -> Result<Self, Term> {
        let error = |what: &str, which: Term| Term::tuple([Term::atom(what), which]);
        let mut parsed = Self::list();
        let (mut unknown, mut types) = (Vec::new(), Vec::new());
        for option in options.into_iter().rev() {
            match &option {
                option if option.is_atom("connection_id") => parsed.tells_connection = true,
                option if option.is_atom("nodedown_reason") => parsed.tells_reason = true,
                Term::Tuple(pair) if pair.len() == 2 && pair[0].is_atom("node_type") => {
                    if !types.contains(&option) {
                        types.push(option);
                    }
                }
                _ => unknown.push(option),
            }
        }
        match &types[..] {
            [] => {}
            [one] => match one.as_tuple().and_then(|pair| node_type(&pair[1])) {
                Some(nodes) => parsed = parsed.node_type(nodes),
                None => return Err(error("bad_option_value", one.clone())),
            },
            several => return Err(error("option_value_mismatch", several.to_vec().into())),
        }
        if unknown.is_empty() { Ok(parsed) } else { Err(error("unknown_options", unknown.into())) }
    }

    /// The message that tells of an event; `None` where it is not asked for.
    #[must_use]
    pub fn message(&self, event: &NodeEvent) -> Option<Term> {
        let (kind, peer, why) = match event {
            NodeEvent::Up(peer) => (known::nodeup(), peer, None),
            NodeEvent::Down(peer, closed) => (known::nodedown(), peer, Some(closed.nodedown_reason())),
        };
        let wanted = match self.nodes {
            NodeType::Visible => !peer.hidden,
            NodeType::Hidden => peer.hidden,
            NodeType::All => true,
        };
        if !wanted {
            return None;
        }
        let node_type = Term::atom(if peer.hidden { "hidden" } else { "visible" });
        let details = [
            ("connection_id", self.tells_connection.then(|| peer.connection_id.into())),
            ("nodedown_reason", why.filter(|_| self.tells_reason).map(Term::atom)),
            ("node_type", self.tells_type.then_some(node_type)),
        ];
        let details = details.into_iter().filter_map(|(key, value)| Some((Term::atom(key), value?)));
        Some(match self.shape {
            Shape::Plain => Term::tuple([kind.into(), peer.name.into()]),
            Shape::List => {
                let list: Vec<Term> = details.map(|(key, value)| Term::tuple([key, value])).collect();
                Term::tuple([kind.into(), peer.name.into(), list.into()])
            }
            Shape::Map => Term::tuple([kind.into(), peer.name.into(), Term::Map(details.collect())]),
        })
    }
}

fn node_type(value: &Term) -> Option<NodeType> {
    let types = [("visible", NodeType::Visible), ("hidden", NodeType::Hidden), ("all", NodeType::All)];
    types.into_iter().find(|(name, _)| value.is_atom(name)).map(|(_, nodes)| nodes)
}

/// The processes that are told.
#[derive(Debug, Default)]
pub(super) struct Subscribers(Mutex<Vec<(Pid, MonitorNodes)>>);

impl Subscribers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Pid, MonitorNodes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the messages of an event into mailboxes, and forgets processes that have ended.
    pub(super) fn tell(&self, event: &NodeEvent, router: &Router) {
        self.lock().retain(|(pid, options)| {
            if router.cell(*pid).is_none() {
                return false;
            }
            if let Some(message) = options.message(event) {
                let body = reason::of(&message);
                router.deliver(Signal::Message { from: None, to: Target::Pid(*pid), body });
            }
            true
        });
    }
}

impl Node {
    /// Tells a process of nodes that come and go, by messages in its mailbox: `net_kernel:monitor_nodes(true, Options)`.
    /// Each further call is a subscription of its own, with messages of its own.
    pub fn monitor_nodes_as(&self, process: &Process, options: MonitorNodes) {
        self.0.subscribers.lock().push((process.pid(), options));
    }

    /// Ends all of a process's subscriptions of these options: `net_kernel:monitor_nodes(false, Options)`.
    pub fn demonitor_nodes_as(&self, process: &Process, options: MonitorNodes) {
        self.0.subscribers.lock().retain(|subscription| *subscription != (process.pid(), options));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Closed, Peer};
    use crate::term::{Creation, NodeName};

    fn peer(hidden: bool) -> Peer {
        let name = NodeName::new("a@h").expect("a name");
        Peer { name, creation: Creation(4), hidden, connection_id: 7 }
    }

    fn text(term: Option<Term>) -> String {
        term.map_or_else(String::new, |term| term.to_string())
    }

    #[test]
    fn messages_are_those_of_a_beam() {
        let down = NodeEvent::Down(peer(false), Closed::Requested);
        let up = NodeEvent::Up(peer(true));
        assert_eq!(text(MonitorNodes::plain().message(&down)), "{nodedown,a@h}");
        assert_eq!(text(MonitorNodes::plain().message(&up)), "");
        let all = MonitorNodes::list().connection_id().nodedown_reason().node_type(NodeType::All);
        let told = "{nodedown,a@h,[{connection_id,7},{nodedown_reason,disconnect},{node_type,visible}]}";
        assert_eq!(text(all.message(&down)), told);
        assert_eq!(text(all.message(&up)), "{nodeup,a@h,[{connection_id,7},{node_type,hidden}]}");
        assert_eq!(text(MonitorNodes::map().message(&down)), "{nodedown,a@h,#{}}");
    }

    #[test]
    fn options_are_read_and_refused_as_on_a_beam() {
        let pair = |key: &str, value: &str| Term::tuple([Term::atom(key), Term::atom(value)]);
        let list = |options: Vec<Term>| MonitorNodes::from_term(&Term::list(options));
        assert_eq!(list(vec![]), Ok(MonitorNodes::plain()));
        assert_eq!(list(vec![Term::atom("nodedown_reason")]), Ok(MonitorNodes::list().nodedown_reason()));
        assert_eq!(list(vec![pair("node_type", "hidden")]), Ok(MonitorNodes::list().node_type(NodeType::Hidden)));
        let refused = |options| list(options).map_err(|why| why.to_string()).expect_err("refused");
        assert_eq!(refused(vec![pair("foo", "x"), Term::atom("bar")]), "{unknown_options,[bar,{foo,x}]}");
        assert_eq!(refused(vec![pair("node_type", "odd")]), "{bad_option_value,{node_type,odd}}");
        let both = vec![pair("node_type", "all"), pair("node_type", "visible")];
        assert_eq!(refused(both), "{option_value_mismatch,[{node_type,visible},{node_type,all}]}");
        let odd = MonitorNodes::from_term(&Term::atom("odd")).expect_err("no options");
        assert_eq!(odd.to_string(), "{invalid_options,odd}");
    }
}
