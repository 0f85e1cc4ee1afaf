//! The cookies of a running node: its own, and those of peers where they differ; `auth.erl`'s part.
//!
//! What is set counts from the next handshake on; connections that are up stay.

use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;

use super::{Config, Node};
use crate::handshake::Cookie;
use crate::term::Atom;

/// A node's cookies.
#[derive(Debug)]
pub(super) struct Cookies(RwLock<Known>);

#[derive(Debug)]
struct Known {
    ours: Cookie,
    of_peers: HashMap<Atom, Cookie>,
}

impl Cookies {
    /// Those that the node was set up with.
    pub(super) fn new(config: &Config) -> Self {
        Self(RwLock::new(Known { ours: config.cookie.clone(), of_peers: config.cookies.clone() }))
    }

    /// The cookie that we share with a peer.
    pub(super) fn of(&self, peer: Atom) -> Cookie {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.of_peers.get(&peer).unwrap_or(&known.ours).clone()
    }
}

impl Node {
    /// The cookie that this node shares with all peers that have none of their own: `erlang:get_cookie/0`.
    #[must_use]
    pub fn get_cookie(&self) -> Cookie {
        self.0.cookies.0.read().unwrap_or_else(PoisonError::into_inner).ours.clone()
    }

    /// The cookie that is used with a peer, in both directions: `erlang:get_cookie/1`.
    #[must_use]
    pub fn get_cookie_for(&self, peer: impl Into<Atom>) -> Cookie {
        let peer = peer.into();
        if peer == self.name().atom() { self.get_cookie() } else { self.0.cookies.of(peer) }
    }

    /// Changes this node's own cookie, from the next handshake on: `erlang:set_cookie/1`.
    pub fn set_cookie(&self, cookie: Cookie) {
        self.0.cookies.0.write().unwrap_or_else(PoisonError::into_inner).ours = cookie;
    }

    /// Changes the cookie that is used with one peer, in both directions: `erlang:set_cookie/2`. With this node's own
    /// name it is [`Node::set_cookie`].
    pub fn set_cookie_for(&self, peer: impl Into<Atom>, cookie: Cookie) {
        let peer = peer.into();
        if peer == self.name().atom() {
            return self.set_cookie(cookie);
        }
        self.0.cookies.0.write().unwrap_or_else(PoisonError::into_inner).of_peers.insert(peer, cookie);
    }
}
