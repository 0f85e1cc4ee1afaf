//! The Hordes of `tiebeam node`: `--horde-registry NAME` and how its members are found.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::replicas::Replicas;
use crate::horde::HordeRegistry;
use crate::node::Node;
use crate::term::{Atom, NodeName};
use crate::text;

#[derive(Debug, Clone, Args)]
pub(super) struct HordeFlags {
    /// Be a member of this Horde.Registry (may be given several times).
    #[arg(long, value_name = "NAME")]
    horde_registry: Vec<String>,
    /// The members of all of them: auto for all visible nodes, or nodes; this one alone until somebody's set_members
    /// otherwise.
    #[arg(long, value_name = "auto|NODE,NODE", value_parser = members)]
    horde_members: Option<Members>,
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
}

impl HordeFlags {
    /// Starts them. `connect` is to be connected first, as far as it can be now: members that see each other before they
    /// compare do not remove each other.
    pub(super) async fn start(&self, node: &Node, replicas: &Replicas, connect: &[NodeName]) -> anyhow::Result<Hordes> {
        let mut hordes = Hordes { registries: Vec::new() };
        if self.horde_registry.is_empty() {
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
        Ok(hordes)
    }
}

impl Hordes {
    /// Gives back what is held, so that the others need not find out.
    pub(super) async fn leave(&self) {
        for registry in &self.registries {
            registry.leave().await;
        }
    }
}
