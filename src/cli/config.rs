//! `--config FILE`: the flags of `tiebeam node` from a TOML file.
//!
//! Every flag has a key of its name. What stands in the file is put behind the arguments as flags, except where the command
//! line or the environment says it; so both are checked alike, and what is wrong in the file is told with line and column.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}:{column}: {what}", .file.display())]
pub(crate) struct Wrong {
    file: PathBuf,
    line: usize,
    column: usize,
    what: String,
}

/// The file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}: {error}", .file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

/// Keys of which one, said elsewhere, overrides all.
const FAMILIES: &[&[&str]] = &[&["name", "sname"], &["cookie", "cookie-file"], &[REPLICA, NEIGHBOUR]];

/// The keys of replicas, of which each may be a table with neighbours of its own.
const REPLICA: &str = "crdt";
const NEIGHBOUR: &str = "crdt-neighbour";

/// Variables that are not clap's, with the key that each overrides.
const VARIABLES: &[(&str, &str)] = &[("TIEBEAM_COOKIE", "cookie"), ("TIEBEAM_COOKIE_FILE", "cookie-file")];

/// The arguments, with those of the file that they or the environment name.
pub(super) fn expand(cli: Command, mut args: Vec<OsString>) -> Result<Vec<OsString>, ConfigError> {
    let Some((config, given)) = asked_for(cli, &args) else { return Ok(args) };
    let text = std::fs::read_to_string(&config.file)
        .map_err(|error| ConfigError::Unreadable { file: config.file.clone(), error })?;
    args.extend(config.flags(&text, &given)?);
    Ok(args)
}

/// What a file may say.
struct Config {
    cli: Command,
    file: PathBuf,
}

/// The file that the command line asks for, and the keys that need not be looked for in it. What is wrong with the command
/// line is told by whoever reads all of it.
fn asked_for(cli: Command, args: &[OsString]) -> Option<(Config, Vec<String>)> {
    let mut cli = lenient(cli);
    let matches = cli.try_get_matches_from_mut(args).ok()?;
    let ("node", node) = matches.subcommand()? else { return None };
    let file = node.get_one::<PathBuf>("config")?.clone();
    let config = Config { cli, file };
    let mut given: Vec<String> = config.keys().filter(|(id, _)| is_given(node, id)).map(|(_, key)| key).collect();
    let said = |name: &str| std::env::var_os(name).is_some();
    given.extend(VARIABLES.iter().filter(|(name, _)| said(name)).map(|(_, key)| (*key).to_owned()));
    Some((config, given))
}

/// The name may come from the file.
fn lenient(cli: Command) -> Command {
    let mut cli = cli.mut_subcommand("node", |node| node.mut_group("naming", |group| group.required(false)));
    cli.build();
    cli
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

impl Config {
    fn node(&self) -> &Command {
        self.cli.find_subcommand("node").unwrap_or(&self.cli)
    }

    fn args(&self) -> impl Iterator<Item = &Arg> {
        let not_keys = ["config", "help", "version"];
        self.node().get_arguments().filter(move |arg| arg.get_long().is_some_and(|long| !not_keys.contains(&long)))
    }

    /// Each flag's id, and its key.
    fn keys(&self) -> impl Iterator<Item = (String, String)> {
        self.args().filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned())))
    }

    /// What the file says beside what is given.
    fn flags(&self, text: &str, given: &[String]) -> Result<Vec<OsString>, Wrong> {
        let wrong =
            |span: Option<Range<usize>>, what: String| self.wrong(text, span.map_or(0, |span| span.start), what);
        let table = DeTable::parse(text).map_err(|error| wrong(error.span(), error.message().to_owned()))?;
        let mut pairs: Vec<_> = table.get_ref().iter().collect();
        // A neighbour belongs to the replica before it.
        pairs.sort_by_key(|(key, _)| key.span().start);
        let mut flags = Vec::new();
        for (key, value) in pairs {
            let name = key.get_ref().as_ref();
            let Some(arg) = self.args().find(|arg| arg.get_long() == Some(name)) else {
                return Err(wrong(Some(key.span()), self.unknown(name)));
            };
            let said = values(arg, value).map_err(|(span, what)| wrong(Some(span), format!("{name} {what}")))?;
            for (span, flag) in &said {
                self.check(flag).map_err(|what| wrong(Some(span.clone()), what))?;
            }
            let family = FAMILIES.iter().find(|family| family.contains(&name));
            let overrides = |key: &String| key == name || family.is_some_and(|family| family.contains(&key.as_str()));
            if !given.iter().any(overrides) {
                flags.extend(said.into_iter().map(|(_, flag)| flag.into()));
            }
        }
        Ok(flags)
    }

    /// Whether a flag's value is one that it takes.
    fn check(&self, flag: &str) -> Result<(), String> {
        let Err(error) = self.cli.clone().try_get_matches_from(["tiebeam", "node", flag]) else { return Ok(()) };
        // What one flag needs of others is looked at when all are there.
        if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
            return Ok(());
        }
        let text = error.render().to_string();
        let said = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let possible = match error.get(ContextKind::ValidValue) {
            Some(values) => format!(" (it is one of {values})"),
            None => String::new(),
        };
        Err(said + &possible)
    }

    fn unknown(&self, key: &str) -> String {
        let mut keys: Vec<String> = self.keys().map(|(_, key)| key).collect();
        keys.sort_unstable();
        format!("no flag of `tiebeam node` is named {key}; there are {}", keys.join(", "))
    }

    fn wrong(&self, text: &str, offset: usize, what: String) -> Wrong {
        let (line, column) = position(text, offset);
        Wrong { file: self.file.clone(), line, column, what }
    }
}

/// A text with its place in the file.
type Placed = (Range<usize>, String);

/// The flags that a key's value means, each with where it stands.
fn values(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<Placed>, Placed> {
    let (long, span) = (arg.get_long().unwrap_or_default(), value.span());
    let flag = |span, text: &str| vec![(span, format!("--{long}={text}"))];
    match (arg.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![(span, format!("--{long}"))]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err((span, "is true or false".into())),
        (ArgAction::Count, DeValue::Integer(times)) => match times.as_str().parse::<usize>() {
            Ok(times) if times <= 2 => Ok(vec![(span, format!("--{long}")); times]),
            _ => Err((span, "is 0, 1 or 2".into())),
        },
        (ArgAction::Count, _) => Err((span, "is 0, 1 or 2".into())),
        (_, DeValue::Array(items)) if matches!(arg.get_action(), ArgAction::Append) => {
            let mut flags = Vec::new();
            for item in items {
                match item.get_ref() {
                    DeValue::Table(replica) if long == REPLICA => flags.extend(with_neighbours(item.span(), replica)?),
                    _ => flags.extend(flag(item.span(), &scalar(item)?)),
                }
            }
            Ok(flags)
        }
        (_, DeValue::Table(replica)) if long == REPLICA => with_neighbours(span, replica),
        _ => Ok(flag(span, &scalar(value)?)),
    }
}

/// A replica and the neighbours of it alone: `[[crdt]]` with `name` and `neighbour`, one or a list.
fn with_neighbours(span: Range<usize>, replica: &DeTable<'_>) -> Result<Vec<Placed>, Placed> {
    let (mut name, mut neighbours) = (None, Vec::new());
    for (key, value) in replica {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("name", _) => name = Some((value.span(), format!("--{REPLICA}={}", scalar(value)?))),
            ("neighbour", DeValue::Array(items)) => neighbours.extend(items),
            ("neighbour", _) => neighbours.push(value),
            (other, _) => return Err((key.span(), format!("has no key {other}; there are name and neighbour"))),
        }
    }
    let mut flags = vec![name.ok_or_else(|| (span, "needs a name".to_owned()))?];
    for neighbour in neighbours {
        flags.push((neighbour.span(), format!("--{NEIGHBOUR}={}", scalar(neighbour)?)));
    }
    Ok(flags)
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Result<String, (Range<usize>, String)> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            Ok(read.map_or_else(|_too_large| number.as_str().to_owned(), |number| number.to_string()))
        }
        _ => Err((value.span(), "is a text or a number, or a list of them where the flag may be repeated".into())),
    }
}

/// Line and column, from 1, of an offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
