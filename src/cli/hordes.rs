//! The Hordes of `tiebeam node`: `--horde-registry NAME`, `--horde-supervisor NAME`, and how their members are found.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::replicas::Replicas;
use crate::horde::{HordeRegistry, HordeSupervisor, Hybrid, UniformQuorum, UniformRandom};
use crate::node::Node;
use crate::term::{Atom, NodeName};
use crate::text;

#[derive(Debug, Clone, Args)]
pub(super) struct HordeFlags {
    /// Be a member of this Horde.Registry (may be given several times).
    #[arg(long, value_name = "NAME")]
    horde_registry: Vec<String>,
    /// Be a member of this Horde.DynamicSupervisor (may be given several times).
    #[arg(long, value_name = "NAME")]
    horde_supervisor: Vec<String>,
    /// Never be chosen to run children, and count in no quorum.
    #[arg(long, requires = "horde_supervisor")]
    horde_observer: bool,
    /// Which member runs a child; all members must agree.
    #[arg(long, value_enum, default_value_t = Strategy::Uniform)]
    horde_strategy: Strategy,
    /// With hybrid: nodes whose names begin so are Rust's.
    #[arg(long, value_name = "PREFIX", default_value = "rust")]
    horde_rust_nodes: String,
    /// With hybrid: a module whose children only Rust nodes run (may be given several times).
    #[arg(long, value_name = "MODULE")]
    horde_rust_module: Vec<String>,
    /// active: children move to the member that they belong to as soon as there is one; passive: when theirs ends.
    #[arg(long, value_enum, default_value_t = Redistribution::Passive)]
    horde_redistribution: Redistribution,
    /// How often a request is handed on among members at most; members before Horde 0.10 know only infinite.
    #[arg(long, value_name = "N|infinite", value_parser = ttl, default_value = "infinite")]
    horde_ttl: Ttl,
    /// The members of all of them: auto for all visible nodes, or nodes; this one alone until somebody's set_members
    /// otherwise.
    #[arg(long, value_name = "auto|NODE,NODE", value_parser = members)]
    horde_members: Option<Members>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    Uniform,
    UniformQuorum,
    UniformRandom,
    /// Each child on a member that can run it, Rust's or a BEAM with Tiebeam.HybridDistribution
    Hybrid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Redistribution {
    Active,
    Passive,
}

/// Hops; none where there is no limit.
#[derive(Debug, Clone, Copy)]
struct Ttl(Option<u64>);

fn ttl(text: &str) -> Result<Ttl, String> {
    match text {
        "infinite" => Ok(Ttl(None)),
        number => number.parse().map(|hops| Ttl(Some(hops))).map_err(|_bad| "a number, or infinite".to_owned()),
    }
}

/// Who the members are.
#[derive(Debug, Clone)]
enum Members {
    Auto,
    These(Vec<Atom>),
}

fn members(text: &str) -> Result<Members, String> {
    if text == "auto" {
        return Ok(Members::Auto);
    }
    let nodes = text.split(',').map(|node| NodeName::new(node.trim()).map(NodeName::atom));
    nodes.collect::<Result<_, _>>().map(Members::These).map_err(|error| error.to_string())
}

/// The members that run.
pub(super) struct Hordes {
    registries: Vec<HordeRegistry>,
    supervisors: Vec<HordeSupervisor>,
}

impl HordeFlags {
    /// Starts them. `connect` is to be connected first, as far as it can be now: members that see each other before they
    /// compare do not remove each other.
    pub(super) async fn start(&self, node: &Node, replicas: &Replicas, connect: &[NodeName]) -> anyhow::Result<Hordes> {
        let mut hordes = Hordes { registries: Vec::new(), supervisors: Vec::new() };
        if self.horde_registry.is_empty() && self.horde_supervisor.is_empty() {
            return Ok(hordes);
        }
        for peer in connect {
            let connected = tokio::time::timeout(Duration::from_secs(5), node.connect(peer.atom())).await;
            if !matches!(connected, Ok(Ok(()))) {
                tracing::info!(%peer, "not connected yet");
            }
        }
        for name in &self.horde_registry {
            let name = text::name(name)?;
            let mut builder = node.horde_registry(name);
            builder = match &self.horde_members {
                None => builder,
                Some(Members::Auto) => builder.members_auto(),
                Some(Members::These(nodes)) => builder.members(nodes.iter().copied()),
            };
            if let Some(interval) = replicas.sync_interval {
                builder = builder.sync_interval(Duration::from_millis(interval));
            }
            if let Some(keys) = replicas.max_sync_size {
                builder = builder.max_sync_size(keys);
            }
            let started = builder.start().await;
            let started = started.with_context(|| format!("cannot start the registry {}", name.as_str()))?;
            hordes.registries.push(started);
        }
        for name in &self.horde_supervisor {
            let name = text::name(name)?;
            let started = self.start_supervisor(node, replicas, name).await;
            hordes.supervisors.push(started.with_context(|| format!("cannot start the supervisor {}", name.as_str()))?);
        }
        Ok(hordes)
    }

    async fn start_supervisor(&self, node: &Node, replicas: &Replicas, name: Atom) -> anyhow::Result<HordeSupervisor> {
        let mut builder = node.horde_supervisor(name);
        builder = match &self.horde_members {
            None => builder,
            Some(Members::Auto) => builder.members_auto(),
            Some(Members::These(nodes)) => builder.members(nodes.iter().copied()),
        };
        builder = match self.horde_strategy {
            Strategy::Uniform => builder,
            Strategy::UniformQuorum => builder.distribution(UniformQuorum),
            Strategy::UniformRandom => builder.distribution(UniformRandom),
            Strategy::Hybrid => {
                let modules = self.horde_rust_module.iter().map(|module| text::name(module));
                let modules = modules.collect::<Result<Vec<_>, _>>()?;
                builder.distribution(Hybrid::new(self.horde_rust_nodes.as_str(), modules))
            }
        };
        if self.horde_observer {
            builder = builder.observer();
        }
        if self.horde_redistribution == Redistribution::Active {
            builder = builder.redistribute();
        }
        if let Ttl(Some(hops)) = self.horde_ttl {
            builder = builder.proxy_ttl(hops);
        }
        if let Some(interval) = replicas.sync_interval {
            builder = builder.sync_interval(Duration::from_millis(interval));
        }
        if let Some(keys) = replicas.max_sync_size {
            builder = builder.max_sync_size(keys);
        }
        Ok(builder.start().await?)
    }
}

impl Hordes {
    /// Gives back what is held, so that the others need not find out.
    pub(super) async fn leave(&self) {
        for supervisor in &self.supervisors {
            supervisor.leave().await;
        }
        for registry in &self.registries {
            registry.leave().await;
        }
    }
}
