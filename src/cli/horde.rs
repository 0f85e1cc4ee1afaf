//! `tiebeam horde NODE REGISTRY …`: what a member of a Horde.Registry knows.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::session::Session;
use super::{Global, output};
use crate::process::Dest;
use crate::rpc::RpcError;
use crate::term;
use crate::term::{Atom, Term};
use crate::text::{self, Syntax};

#[derive(Debug, Args)]
pub(super) struct HordeArgs {
    /// The node of a member, name@host.
    node: String,
    /// The registry; MyApp.Registry is Elixir's alias.
    registry: String,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Its members, `{name, node}` a line.
    Members,
    /// All keys, `KEY => PID VALUE` a line.
    List,
    /// Who has a key.
    Lookup {
        /// The key, as an Erlang or Elixir literal.
        key: String,
    },
    /// Show `+ KEY => PID VALUE` and `- KEY` as keys come and go, what is there first.
    Watch {
        /// Look every so many milliseconds.
        #[arg(long, value_name = "MS", default_value_t = 500)]
        interval: u64,
    },
}

/// How long a member may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A registry, as the member on the session's peer knows it.
struct Registry {
    session: Session,
    name: Atom,
}

pub(super) async fn run(global: &Global, args: HordeArgs) -> anyhow::Result<ExitCode> {
    let name = text::name(&args.registry)?;
    let key = match &args.act {
        Act::Lookup { key } => Some(text::parse(key, Syntax::Auto)?.0),
        Act::Members | Act::List | Act::Watch { .. } => None,
    };
    let registry = Registry { session: Session::open(global, &args.node).await?, name };
    let done = match (args.act, key) {
        (Act::Members, _) => registry.show_members(global).await,
        (Act::Watch { interval }, _) => registry.watch(global, Duration::from_millis(interval)).await,
        (Act::List | Act::Lookup { .. }, None) => registry.show_all(global).await,
        (Act::List | Act::Lookup { .. }, Some(key)) => registry.show_one(global, key).await,
    };
    registry.session.close().await;
    done
}

impl Registry {
    async fn show_members(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let mut process = self.session.node.process();
        let to = Dest::Remote(self.name, self.session.peer.atom());
        let members = process.call(to, &Term::atom("members"), Some(ANSWER_WITHIN)).await?;
        for member in members.as_list().context("the members are no list")?.iter() {
            let shown = text::print(&member, Syntax::Elixir);
            output::line(&if global.json { output::object([("member", shown.into())]) } else { shown });
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show_all(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.all().await?.iter().for_each(|(key, entry)| show(global, "", key, entry));
        Ok(ExitCode::SUCCESS)
    }

    async fn show_one(&self, global: &Global, key: Term) -> anyhow::Result<ExitCode> {
        let found = self.ask("lookup", vec![self.name.into(), key.clone()]).await?;
        let Some(entry) = found.as_list().context("the answer is no list")?.iter().next() else {
            let shown = text::print(&key, Syntax::Elixir);
            anyhow::bail!("{shown} is not registered");
        };
        let [pid, value] = entry.as_tuple().context("an entry is no tuple")? else {
            anyhow::bail!("an entry is no pair");
        };
        show(global, "", &key, &(pid.clone(), value.clone()));
        Ok(ExitCode::SUCCESS)
    }

    /// Watches by asking again and again: listeners are given to a registry when it starts.
    async fn watch(&self, global: &Global, interval: Duration) -> anyhow::Result<ExitCode> {
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut seen = BTreeMap::new();
        loop {
            let now = self.all().await?;
            for key in seen.keys().filter(|key| !now.contains_key(*key)) {
                gone(global, key);
            }
            for (key, entry) in now.iter().filter(|(key, entry)| seen.get(*key) != Some(*entry)) {
                show(global, "+ ", key, entry);
            }
            seen = now;
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            }
        }
    }

    /// All keys, each with its pid and value.
    async fn all(&self) -> anyhow::Result<BTreeMap<Term, (Term, Term)>> {
        let columns = term!({:"$1", :"$2", :"$3"});
        let spec = Term::tuple([columns.clone(), Term::nil(), Term::list(vec![Term::tuple([columns])])]);
        let rows = self.ask("select", vec![self.name.into(), Term::list(vec![spec])]).await?;
        let mut all = BTreeMap::new();
        for row in rows.as_list().context("the answer is no list")?.iter() {
            let Some([key, pid, value]) = row.as_tuple() else { anyhow::bail!("an entry is no triple") };
            all.insert(key.clone(), (pid.clone(), value.clone()));
        }
        Ok(all)
    }

    async fn ask(&self, function: &str, args: Vec<Term>) -> Result<Term, RpcError> {
        let rpc = self.session.node.rpc(self.session.peer.atom()).timeout(ANSWER_WITHIN);
        rpc.call_term(Atom::new("Elixir.Horde.Registry"), Atom::new(function), args).await
    }
}

fn show(global: &Global, sign: &str, key: &Term, (pid, value): &(Term, Term)) {
    let [key, pid, value] = [key, pid, value].map(|term| text::print(term, Syntax::Elixir));
    if !global.json {
        return output::line(&format!("{sign}{key} => {pid} {value}"));
    }
    let mut fields = vec![("key", key.into()), ("pid", pid.into()), ("value", value.into())];
    if !sign.is_empty() {
        fields.insert(0, ("event", "register".into()));
    }
    output::line(&output::object(fields));
}

fn gone(global: &Global, key: &Term) {
    let key = text::print(key, Syntax::Elixir);
    output::line(&if global.json {
        output::object([("event", "unregister".into()), ("key", key.into())])
    } else {
        format!("- {key}")
    });
}
