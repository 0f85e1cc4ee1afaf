//! The names of groups, and what is sent to their members.

use crate::etf::Encoded;
use crate::process::reason;
use crate::term::{Atom, Binary, Term};

/// The scope of `pg` that all pubsubs share.
pub(super) const SCOPE: &str = "Elixir.Phoenix.PubSub";

/// The dispatcher that sends a message as it is to each subscriber.
pub(super) const PLAIN: &str = "Elixir.Phoenix.PubSub";

/// The dispatcher of Phoenix's endpoints and channels.
pub(super) const CHANNELS: &str = "Elixir.Phoenix.Channel.Server";

/// `Module.concat(Name, "Adapter")`. `None` where it is too long.
pub(super) fn adapter_name(name: &str) -> Option<Atom> {
    let name = name.strip_prefix("Elixir.").unwrap_or(name);
    Atom::try_new(&format!("Elixir.{name}.Adapter")).ok()
}

/// The groups of a pool. The first has the adapter's name, "for backwards compatibility with v2.0" (`pg2.ex`), but in
/// Phoenix.PubSub 2.1.0 a number as the others have.
pub(super) fn groups(adapter: Atom, pool_size: usize, first_is_numbered: bool) -> Option<Vec<Atom>> {
    let group = |number| match number {
        1 if !first_is_numbered => Some(adapter),
        number => Atom::try_new(&format!("{}_{number}", adapter.as_str())).ok(),
    };
    (1..=pool_size).map(group).collect()
}

/// What a worker is sent, to broadcast on its own node.
pub(super) struct Forward {
    pub(super) topic: Binary,
    pub(super) message: Encoded,
    pub(super) dispatcher: Atom,
}

impl Forward {
    pub(super) fn encode(&self) -> Encoded {
        let term = |term| reason::of(&term);
        Encoded::tuple(&[
            term(Term::atom(TAG)),
            term(Term::Binary(self.topic.clone())),
            self.message.clone(),
            term(self.dispatcher.into()),
        ])
    }

    /// `None` where it is something else: a worker passes over what it does not know.
    pub(super) fn read(body: &Encoded) -> Option<Self> {
        let [tag, topic, message, dispatcher] = <[Encoded; 4]>::try_from(body.parts()?).ok()?;
        if !tag.is_atom(TAG) {
            return None;
        }
        let Term::Binary(topic) = topic.term().ok()? else { return None };
        Some(Self { topic, message, dispatcher: dispatcher.as_atom()? })
    }
}

const TAG: &str = "forward_to_local";
