//! The replicas of `tiebeam node`: `--crdt NAME`, each with the `--crdt-neighbour`s that follow it.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::node::Node;
use crate::process::Dest;
use crate::term::NodeName;
use crate::text::{self, Syntax};

/// What the flags say. Read by hand, since a neighbour belongs to the replica before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Replicas {
    /// Names, each with its neighbours.
    replicas: Vec<(String, Vec<String>)>,
    pub(super) sync_interval: Option<u64>,
    pub(super) max_sync_size: Option<usize>,
    storage: Option<std::path::PathBuf>,
}

impl Args for Replicas {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("crdt")
                    .long("crdt")
                    .value_name("NAME")
                    .action(ArgAction::Append)
                    .help("Run a DeltaCrdt replica under this name (may be given several times)"),
            )
            .arg(
                Arg::new("crdt_neighbour")
                    .long("crdt-neighbour")
                    .value_name("NAME@NODE")
                    .action(ArgAction::Append)
                    .requires("crdt")
                    .help("A neighbour of the --crdt before it, such as store@b1@127.0.0.1"),
            )
            .arg(
                Arg::new("crdt_store")
                    .long("crdt-store")
                    .value_name("DIR")
                    .requires("crdt")
                    .value_parser(value_parser!(std::path::PathBuf))
                    .help("Keep the replicas on disk, each in a sub-folder: a write is acknowledged once it is there"),
            )
            .arg(
                Arg::new("sync_interval")
                    .long("sync-interval")
                    .value_name("MS")
                    .value_parser(value_parser!(u64).range(1..))
                    .help("How often replicas compare with their neighbours [default: 200]"),
            )
            .arg(
                Arg::new("max_sync_size")
                    .long("max-sync-size")
                    .value_name("N|infinite")
                    .value_parser(|text: &str| match text {
                        "infinite" => Ok(usize::MAX),
                        number => {
                            number.parse::<usize>().ok().filter(|n| *n > 0).ok_or("a number of keys, or infinite")
                        }
                    })
                    .help("At most so many keys in one message; what is more comes in further ones"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Replicas {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all = |id: &str| -> Vec<(usize, String)> {
            let values = matches.get_many::<String>(id).into_iter().flatten().cloned();
            matches.indices_of(id).into_iter().flatten().zip(values).collect()
        };
        let mut given: Vec<(usize, bool, String)> =
            all("crdt").into_iter().map(|(at, name)| (at, true, name)).collect();
        given.extend(all("crdt_neighbour").into_iter().map(|(at, name)| (at, false, name)));
        given.sort_unstable();
        let mut replicas: Vec<(String, Vec<String>)> = Vec::new();
        for (_, is_replica, name) in given {
            if is_replica {
                replicas.push((name, Vec::new()));
            } else if let Some((_, neighbours)) = replicas.last_mut() {
                neighbours.push(name);
            } else {
                let why = "--crdt-neighbour belongs to the --crdt before it\n";
                return Err(clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, why));
            }
        }
        let sync_interval = matches.get_one("sync_interval").copied();
        let storage = matches.get_one("crdt_store").cloned();
        Ok(Self { replicas, sync_interval, max_sync_size: matches.get_one("max_sync_size").copied(), storage })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Replicas {
    /// Starts them.
    pub(super) fn start(&self, node: &Node) -> anyhow::Result<()> {
        for (name, neighbours) in &self.replicas {
            let neighbours = neighbours.iter().map(|text| neighbour(text)).collect::<Result<Vec<_>, _>>()?;
            let name = text::name(name)?;
            let mut builder = node.delta_crdt(name.as_str()).neighbours(neighbours);
            if let Some(interval) = self.sync_interval {
                builder = builder.sync_interval(Duration::from_millis(interval));
            }
            if let Some(keys) = self.max_sync_size {
                builder = builder.max_sync_size(keys);
            }
            if let Some(folder) = &self.storage {
                builder = builder.storage(folder);
            }
            let started = builder.start();
            started.with_context(|| format!("cannot start the replica {}", name.as_str()))?;
        }
        Ok(())
    }
}

/// `store@b1@127.0.0.1`, or as a term `{store, 'b1@127.0.0.1'}`.
fn neighbour(text: &str) -> anyhow::Result<Dest> {
    let wrong = || format!("{text} is no neighbour: NAME@NODE, such as store@b1@127.0.0.1");
    if text.trim_start().starts_with('{') {
        let (term, _) = text::parse(text, Syntax::Auto)?;
        return Dest::from_term(&term).filter(|dest| matches!(dest, Dest::Remote(..))).with_context(wrong);
    }
    let (name, node) = text.split_once('@').with_context(wrong)?;
    let node = NodeName::new(node).with_context(wrong)?;
    Ok(Dest::from((text::name(name)?, node)))
}
