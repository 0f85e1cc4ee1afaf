//! Which member runs a child: Horde's strategies, one for members of BEAMs and of Rust, and a trait for others.
//!
//! A Rust member runs children whose `start` function the program exports, a BEAM those whose modules it has: where a
//! supervisor has both kinds, [`Uniform`] gives some of the children to members that cannot run them. With [`Hybrid`] on
//! the Rust members and its twin `Tiebeam.HybridDistribution` (`interop-tests/beam/hybrid_distribution.ex`, to be copied
//! into the Elixir program) on the others, each child goes to a member that can run it, and one that no living member
//! can run is answered with `{error, {no_member_runs, Module}}`:
//!
//! ```elixir
//! # config/config.exs
//! config :tiebeam, rust_nodes: "rust", rust_modules: [MyApp.Counter]
//! # and in the supervision tree
//! {Horde.DynamicSupervisor, name: MyApp.Sup, strategy: :one_for_one, members: :auto,
//!  distribution_strategy: Tiebeam.HybridDistribution}
//! ```
//!
//! ```no_run
//! # async fn example(node: tiebeam::Node) -> Result<(), Box<dyn std::error::Error>> {
//! use tiebeam::horde::Hybrid;
//!
//! let strategy = Hybrid::new("rust", ["Elixir.MyApp.Counter"]);
//! node.horde_supervisor("Elixir.MyApp.Sup").members_auto().distribution(strategy).start().await?;
//! # Ok(())
//! # }
//! ```

use super::member::{Member, MemberName, Status};
use super::ring::Ring;
use crate::phash2::phash2;
use crate::term::{Atom, Map, Term};

/// A way to place children: Horde's behaviour `Horde.DistributionStrategy`.
///
/// All members of a supervisor must use the same one; where they differ, they hand a child on to each other for ever.
pub trait Distribution: std::fmt::Debug + Send + Sync {
    /// The member that runs the child of this specification.
    ///
    /// # Errors
    /// [`NoMember`].
    fn choose(&self, spec: &Map, members: &[Member]) -> Result<MemberName, NoMember>;

    /// Whether enough members are there to run children at all.
    fn has_quorum(&self, members: &[Member]) -> bool;
}

/// No member can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMember {
    /// No member is alive.
    #[error("no member is alive")]
    NoAliveNodes,
    /// Too few of the members are alive.
    #[error("the quorum is not met")]
    QuorumNotMet,
    /// Members are alive, but none of those that run children of this module.
    #[error("no member that is alive runs children of {}", .0.as_str())]
    NoneRuns(Atom),
}

impl NoMember {
    /// The reason as Horde writes it.
    #[must_use]
    pub fn term(self) -> Term {
        match self {
            Self::NoAliveNodes => Term::atom("no_alive_nodes"),
            Self::QuorumNotMet => Term::atom("quorum_not_met"),
            Self::NoneRuns(module) => Term::tuple([Term::atom("no_member_runs"), module.into()]),
        }
    }
}

/// What a child is placed by: the hash of its specification without its id, which each member that hands it on replaces.
#[must_use]
pub fn identifier(spec: &Map) -> u32 {
    let mut placed = spec.clone();
    placed.remove(&Term::atom("id"));
    phash2(&placed.into())
}

/// By a hash ring of the members that are alive: `Horde.UniformDistribution`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uniform;

impl Distribution for Uniform {
    fn choose(&self, spec: &Map, members: &[Member]) -> Result<MemberName, NoMember> {
        Ring::new(alive(members)).owner(&identifier(spec).into()).ok_or(NoMember::NoAliveNodes)
    }

    fn has_quorum(&self, _members: &[Member]) -> bool {
        true
    }
}

/// As [`Uniform`], while more than half of the members are alive: `Horde.UniformQuorumDistribution`.
///
/// Members that are shutting down do not count. Of an even number the first by name does not count either, so that of
/// two halves one goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniformQuorum;

impl Distribution for UniformQuorum {
    fn choose(&self, spec: &Map, members: &[Member]) -> Result<MemberName, NoMember> {
        if !self.has_quorum(members) {
            return Err(NoMember::QuorumNotMet);
        }
        Uniform.choose(spec, members)
    }

    fn has_quorum(&self, members: &[Member]) -> bool {
        let mut active: Vec<_> = members.iter().filter(|member| member.status != Status::ShuttingDown).collect();
        active.sort_unstable_by(|a, b| a.name.in_order(&b.name));
        let counted = if active.len() % 2 == 0 { active.get(1..).unwrap_or_default() } else { &active };
        alive(counted.iter().copied()).count() * 2 > counted.len()
    }
}

/// Any member that is alive: `Horde.UniformRandomDistribution`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniformRandom;

impl Distribution for UniformRandom {
    fn choose(&self, _spec: &Map, members: &[Member]) -> Result<MemberName, NoMember> {
        let alive: Vec<_> = alive(members).collect();
        let count = u64::try_from(alive.len()).unwrap_or(u64::MAX);
        // Where the system has no random numbers to give, any member is as good as another.
        let drawn = getrandom::u64().unwrap_or_default().checked_rem(count).ok_or(NoMember::NoAliveNodes)?;
        usize::try_from(drawn).ok().and_then(|drawn| alive.get(drawn).copied()).ok_or(NoMember::NoAliveNodes)
    }

    fn has_quorum(&self, _members: &[Member]) -> bool {
        true
    }
}

/// As [`Uniform`], among those members that can run the child: children of Rust's modules run on Rust nodes, all others on
/// BEAMs. Which is which all members must be told alike.
#[derive(Debug, Clone)]
pub struct Hybrid {
    nodes: String,
    rust: Vec<Atom>,
    both: Vec<Atom>,
}

impl Hybrid {
    /// Nodes whose names begin with `nodes` are Rust's; children whose `start` is in one of these modules run there only.
    pub fn new<M: Into<Atom>>(nodes: impl Into<String>, modules: impl IntoIterator<Item = M>) -> Self {
        Self { nodes: nodes.into(), rust: modules.into_iter().map(Into::into).collect(), both: Vec::new() }
    }

    /// Children of these modules run anywhere.
    #[must_use]
    pub fn both<M: Into<Atom>>(mut self, modules: impl IntoIterator<Item = M>) -> Self {
        self.both = modules.into_iter().map(Into::into).collect();
        self
    }

    fn runs(&self, member: &Member, module: Atom) -> bool {
        let is_rust = member.name.node.as_str().starts_with(&self.nodes);
        self.both.contains(&module) || self.rust.contains(&module) == is_rust
    }
}

impl Distribution for Hybrid {
    fn choose(&self, spec: &Map, members: &[Member]) -> Result<MemberName, NoMember> {
        let start = spec.get_atom("start").and_then(Term::as_tuple).and_then(|start| start.first());
        let module = start.and_then(Term::as_atom).unwrap_or_else(|| Atom::new("nil"));
        let mut alive = members.iter().filter(|member| member.status == Status::Alive).peekable();
        if alive.peek().is_none() {
            return Err(NoMember::NoAliveNodes);
        }
        let able: Vec<_> = alive.filter(|member| self.runs(member, module)).copied().collect();
        Uniform.choose(spec, &able).map_err(|_none| NoMember::NoneRuns(module))
    }

    fn has_quorum(&self, _members: &[Member]) -> bool {
        true
    }
}

fn alive<'a>(members: impl IntoIterator<Item = &'a Member>) -> impl Iterator<Item = MemberName> {
    members.into_iter().filter(|member| member.status == Status::Alive).map(|member| member.name)
}

#[cfg(test)]
mod tests;
