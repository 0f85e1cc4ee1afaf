//! Horde: who is a member, and which member runs a child.
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

mod distribution;
mod member;
mod ring;

pub use self::distribution::{Distribution, NoMember, Uniform, UniformQuorum, UniformRandom, identifier};
pub use self::member::{Member, MemberName, Status};
pub use self::ring::Ring;
