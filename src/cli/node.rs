//! `tiebeam node`: run a node until a signal ends it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::health::Health;
use super::hordes::HordeFlags;
use super::replicas::Replicas;
use super::{Global, exit, leave, members, output};
use crate::demo;
use crate::node::{EpmdMode, EpmdUse, Node};
use crate::term::NodeName;
use crate::{NodeBuilder, epmd};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("naming").required(true).args(["name", "sname"])))]
pub(super) struct NodeArgs {
    /// The node's name, name@host.
    #[arg(long, value_name = "NAME@HOST", env = "TIEBEAM_NODE")]
    name: Option<String>,
    /// The node's name before the @; the host is this machine's short name.
    #[arg(long, value_name = "NAME")]
    sname: Option<String>,
    /// A TOML file with a key for each flag of this command, such as name = "rust@10.0.0.7"; what the command line or the
    /// environment says overrides it.
    #[arg(long, value_name = "FILE", env = "TIEBEAM_CONFIG")]
    config: Option<PathBuf>,
    /// Keep a connection to this node (may be given several times).
    #[arg(long, value_name = "NODE")]
    connect: Vec<String>,
    /// The address to listen on [default: that of the name's host]
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,
    /// The port to listen on [default: any]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Join as a hidden node.
    #[arg(long)]
    hidden: bool,
    /// Do not connect to the nodes that peers are connected to.
    #[arg(long)]
    no_connect_all: bool,
    /// auto: the machine's EPMD, else an embedded one; off: none, with a fixed --port.
    #[arg(long, value_enum, default_value_t = Epmd::Auto)]
    epmd: Epmd,
    /// Export the demo services: functions of Tiebeam.Demo, processes echo and counter.
    #[arg(long)]
    demo: bool,
    /// Seconds after which a silent peer is given up, as the kernel parameter.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    net_ticktime: u64,
    /// Find other nodes, as with libcluster: static:N1,N2 | local_epmd | hosts[:file=F] | gossip[:secret=S,port=N…] |
    /// dns:QUERY,BASENAME | kubernetes:node_basename=B,selector=S | kubernetes_dns:service=S,application_name=A |
    /// kubernetes_dns_srv:service=S,namespace=N,application_name=A | rancher:node_basename=B
    /// (may be given several times; in the environment separated by ;).
    #[arg(long, value_name = "STRATEGY", env = "TIEBEAM_CLUSTER", value_delimiter = ';', hide_env_values = true)]
    cluster: Vec<crate::cluster::Strategy>,
    /// Answer GET /live and GET /ready over HTTP at this address.
    #[arg(long, value_name = "IP:PORT", env = "TIEBEAM_HEALTH")]
    health: Option<std::net::SocketAddr>,
    /// Milliseconds to go on serving, no longer ready, before the node leaves on a signal.
    #[arg(long, value_name = "MS", env = "TIEBEAM_DRAIN", default_value_t = 0)]
    drain: u64,
    #[command(flatten)]
    replicas: Replicas,
    #[command(flatten)]
    hordes: HordeFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Epmd {
    Auto,
    Require,
    Embedded,
    Off,
}

pub(super) async fn run(global: &Global, args: NodeArgs) -> anyhow::Result<ExitCode> {
    let name = full_name(&args)?;
    let connect = args.connect.iter().map(|peer| NodeName::new(peer)).collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = &args.config {
        tracing::info!(file = %file.display(), "configured");
    }
    // Listening for signals begins before anybody can know that we run.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let health = Health::start(args.health).await?;
    let node = builder(global, &args, &name)?.start().await.with_context(|| format!("cannot start {name}"))?;
    if args.demo {
        demo::start(&node).await?;
    }
    args.replicas.start(&node)?;
    let hordes = args.hordes.start(&node, &args.replicas, &connect).await?;
    for peer in connect {
        node.keep_connected(peer);
    }
    health.ready(&node);
    ready(global, &node)?;
    tokio::select! {
        () = members::log(&node) => {}
        _ = interrupt.recv() => tracing::info!("interrupted"),
        _ = terminate.recv() => tracing::info!("terminated"),
        () = node.stopped() => tracing::info!("stopped by a peer"),
    }
    health.draining();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(args.drain)) => {}
        _ = interrupt.recv() => tracing::info!("interrupted again"),
        _ = terminate.recv() => tracing::info!("terminated again"),
    }
    hordes.leave().await;
    leave::cluster(&node).await;
    if tokio::time::timeout(Duration::from_secs(10), node.shutdown()).await.is_err() {
        tracing::warn!("not everything ended in time");
    }
    Ok(ExitCode::SUCCESS)
}

fn full_name(args: &NodeArgs) -> anyhow::Result<String> {
    match (&args.name, &args.sname) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(short)) if short.contains('@') => Ok(short.clone()),
        (None, Some(short)) => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("this machine has no host name")?;
            let host = host.trim();
            Ok(format!("{short}@{}", host.split_once('.').map_or(host, |(first, _)| first)))
        }
        (None, None) => anyhow::bail!("--name or --sname is needed"),
    }
}

fn builder(global: &Global, args: &NodeArgs, name: &str) -> anyhow::Result<NodeBuilder> {
    let mode = match args.epmd {
        Epmd::Auto => EpmdMode::Auto,
        Epmd::Require => EpmdMode::Require,
        Epmd::Embedded => EpmdMode::Embedded,
        Epmd::Off => EpmdMode::Off,
    };
    let port = if args.port == 0 { global.transport.dist_port.unwrap_or(0) } else { args.port };
    let ticktime = Duration::from_secs(args.net_ticktime.max(1));
    let mut builder = Node::builder(name).cookie(global.cookie()?).epmd(mode).port(port).net_ticktime(ticktime);
    builder = builder.connect_all(!args.no_connect_all).allow_init_stop();
    builder = args.cluster.iter().cloned().fold(builder, NodeBuilder::cluster);
    if args.hidden {
        builder = builder.hidden();
    }
    if let Some(address) = args.listen {
        builder = builder.listen(address);
    }
    if mode == EpmdMode::Off {
        anyhow::ensure!(port != 0, exit::Usage("--epmd off needs a fixed --port"));
        builder = builder.peer_port(port);
    }
    global.transport.apply(builder)
}

/// The one line that says that the node can be reached.
fn ready(global: &Global, node: &Node) -> anyhow::Result<()> {
    let address = node.listening().context("the node does not listen")?;
    let epmd = epmd::Config::from_vars(|name| std::env::var(name).ok())?.local();
    let how = match node.epmd() {
        EpmdUse::Existing => "existing",
        EpmdUse::Embedded => "embedded",
        EpmdUse::Off => "off",
    };
    if global.json {
        output::line(&output::object([
            ("event", "ready".into()),
            ("node", node.name().as_str().into()),
            ("port", address.port().into()),
            ("epmd", how.into()),
        ]));
    } else {
        output::line(&format!("tiebeam: {} ready, listening on {address}, epmd {epmd} ({how})", node.name()));
    }
    Ok(())
}
