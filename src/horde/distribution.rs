//! Which member runs a child: Horde's strategies, and a trait for others.

use super::member::{Member, MemberName, Status};
use super::ring::Ring;
use crate::phash2::phash2;
use crate::term::{Map, Term};

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
}

impl NoMember {
    /// The reason as Horde writes it.
    #[must_use]
    pub fn term(self) -> Term {
        Term::atom(match self {
            Self::NoAliveNodes => "no_alive_nodes",
            Self::QuorumNotMet => "quorum_not_met",
        })
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

fn alive<'a>(members: impl IntoIterator<Item = &'a Member>) -> impl Iterator<Item = MemberName> {
    members.into_iter().filter(|member| member.status == Status::Alive).map(|member| member.name)
}

#[cfg(test)]
mod tests;
