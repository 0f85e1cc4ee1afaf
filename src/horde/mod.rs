//! Horde: a registry and a supervisor that all members of a cluster share, of Elixir and of Rust.
//!
//! [`Node::horde_registry`](crate::Node::horde_registry) starts a member of a `Horde.Registry`:
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let registry = node.horde_registry("Elixir.MyApp.Registry").members_auto().start().await?;
//! let me = node.process();
//! registry.register("worker-1", me.pid(), ()).await?;
//! me.send(registry.via("worker-1")?, "hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Every member decides by itself where a child belongs, so all must decide alike: [`Uniform`], [`UniformQuorum`] and
//! [`UniformRandom`] choose as Horde's strategies of these names do, from the same child specification and the same members.
//!
//! ```
//! use tiebeam::horde::{Distribution, Member, MemberName, Status, Uniform};
//! use tiebeam::{Term, term};
//!
//! let member = |node| Member { name: MemberName::new("Elixir.MyApp.Supervisor", node), status: Status::Alive };
//! let members = [member("a@127.0.0.1"), member("b@127.0.0.1")];
//! let Term::Map(spec) = term!(%{id: 1, start: {:worker, :start_link, []}}) else { unreachable!() };
//! let [a, b] = members;
//! assert_eq!(Uniform.choose(&spec, &[a, b])?, Uniform.choose(&spec, &[b, a])?);
//! # Ok::<(), tiebeam::horde::NoMember>(())
//! ```

mod cluster;
mod distribution;
mod handoff;
mod match_spec;
mod member;
pub mod registry;
mod ring;
pub mod supervisor;

use std::time::Duration;

pub use self::distribution::{Distribution, Hybrid, NoMember, Uniform, UniformQuorum, UniformRandom, identifier};
pub use self::handoff::Handoff;
pub use self::member::{Member, MemberName, Status};
pub use self::registry::{HordeRegistry, RegistryError};
pub use self::ring::Ring;
pub use self::supervisor::HordeSupervisor;

use crate::term::{Atom, Term};

/// How often Horde's replicas compare, unless told otherwise.
const SYNC_INTERVAL: Duration = Duration::from_millis(300);

/// The name of a member's replica. `None` where it would be too long.
fn crdt_name(name: Atom) -> Option<Atom> {
    Atom::try_new(&format!("{}.Crdt", name.as_str())).ok()
}

/// The replicas of members, as neighbours are addressed.
fn crdt_addresses(members: &[MemberName]) -> Vec<Term> {
    let address = |member: &MemberName| Some(Term::tuple([crdt_name(member.name)?.into(), member.node.into()]));
    members.iter().filter_map(address).collect()
}

/// The argument of `set_members`. `None` where it is no list of members.
fn member_list(term: &Term, here: Atom) -> Option<Vec<MemberName>> {
    let list = term.as_list().filter(|list| list.is_proper())?;
    list.iter().map(|member| MemberName::parse(&member, here)).collect()
}
