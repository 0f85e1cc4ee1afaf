//! `tiebeam crdt NODE CRDT …`: any DeltaCrdt of the cluster, Elixir's or ours.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::session::Session;
use super::{Global, exit, output};
use crate::delta_crdt::Remote;
use crate::process::Dest;
use crate::term::{Map, Term};
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct CrdtArgs {
    /// The node of a replica, name@host.
    node: String,
    /// The name of the replica's process.
    crdt: String,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// All keys, `KEY => VALUE` a line.
    Dump,
    /// The value of a key.
    Get {
        /// The key, as an Erlang or Elixir literal.
        key: String,
    },
    /// Write a key.
    Put {
        /// The key, as an Erlang or Elixir literal.
        key: String,
        /// The value, as an Erlang or Elixir literal.
        value: String,
    },
    /// Remove a key.
    Delete {
        /// The key, as an Erlang or Elixir literal.
        key: String,
    },
    /// Show `+ KEY => VALUE` and `- KEY` as keys change, what is there first.
    Watch {
        /// Look every so many milliseconds.
        #[arg(long, value_name = "MS", default_value_t = 500)]
        interval: u64,
    },
}

/// How long a replica may take to answer; those of Elixir with many keys take their time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(global: &Global, args: CrdtArgs) -> anyhow::Result<ExitCode> {
    let name = text::name(&args.crdt)?;
    let parse = |text: &str| text::parse(text, Syntax::Auto).map(|(term, _)| term);
    // What was typed is read before anything is asked.
    let typed = match &args.act {
        Act::Dump | Act::Watch { .. } => Vec::new(),
        Act::Get { key } | Act::Delete { key } => vec![parse(key)?],
        Act::Put { key, value } => vec![parse(key)?, parse(value)?],
    };
    let session = Session::open(global, &args.node).await?;
    let to = Dest::Remote(name, session.peer.atom());
    let mut replica = Remote::new(session.node.process(), to, Some(ANSWER_WITHIN));
    let done = act(global, args.act, typed, &mut replica).await;
    session.close().await;
    done
}

async fn act(global: &Global, act: Act, typed: Vec<Term>, replica: &mut Remote) -> anyhow::Result<ExitCode> {
    match act {
        Act::Dump => {
            for (key, value) in sorted(&replica.to_map().await?) {
                show(global, "", &key, &value);
            }
        }
        Act::Get { .. } => {
            let found = replica.take(typed).await?;
            let Some(value) = found.values().next() else { return Ok(ExitCode::from(exit::FAILED)) };
            let value = text::print(value, Syntax::Elixir);
            output::line(&if global.json { output::object([("value", value.into())]) } else { value });
        }
        Act::Put { .. } => done(&replica.mutate("add", typed).await?)?,
        Act::Delete { .. } => done(&replica.mutate("remove", typed).await?)?,
        Act::Watch { interval } => watch(global, replica, Duration::from_millis(interval)).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A replica of Elixir answers nothing but `ok`; one of Rust says where its disk did not take the write.
fn done(answer: &Term) -> anyhow::Result<()> {
    anyhow::ensure!(answer.is_atom("ok"), "not written: {}", text::print(answer, Syntax::Elixir));
    Ok(())
}

/// Watches by reading again and again: a replica tells its changes only to whom it was started with.
async fn watch(global: &Global, replica: &mut Remote, interval: Duration) -> anyhow::Result<()> {
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut seen = BTreeMap::new();
    loop {
        let now = sorted(&replica.to_map().await?);
        for key in seen.keys().filter(|key| !now.contains_key(*key)) {
            gone(global, key);
        }
        for (key, value) in now.iter().filter(|(key, value)| seen.get(*key) != Some(*value)) {
            show(global, "+ ", key, value);
        }
        seen = now;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

fn sorted(map: &Map) -> BTreeMap<Term, Term> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn show(global: &Global, sign: &str, key: &Term, value: &Term) {
    let [key, value] = [key, value].map(|term| text::print(term, Syntax::Elixir));
    if !global.json {
        return output::line(&format!("{sign}{key} => {value}"));
    }
    let mut fields = vec![("key", key.into()), ("value", value.into())];
    if !sign.is_empty() {
        fields.insert(0, ("event", "add".into()));
    }
    output::line(&output::object(fields));
}

fn gone(global: &Global, key: &Term) {
    let key = text::print(key, Syntax::Elixir);
    output::line(&if global.json {
        output::object([("event", "remove".into()), ("key", key.into())])
    } else {
        format!("- {key}")
    });
}
