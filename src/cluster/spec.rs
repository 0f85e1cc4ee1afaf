//! The text form of a strategy, as `--cluster` takes it: `kind:value,key=value,…`.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::{Gossip, Strategy};
use crate::term::NodeName;

/// How often EPMDs are asked where nothing is said.
const EPMD_INTERVAL: Duration = Duration::from_secs(5);

/// A text that is no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// There is none of that name.
    #[error("there is no strategy {0:?}: static, local_epmd, hosts or gossip")]
    Unknown(String),
    /// A setting that the strategy has not.
    #[error("{strategy} has no setting {key}")]
    NoSetting {
        /// Of what.
        strategy: String,
        /// The setting.
        key: String,
    },
    /// A setting whose value cannot be.
    #[error("{key}={value}: {why}")]
    BadValue {
        /// The setting.
        key: String,
        /// What it was to be.
        value: String,
        /// Why it cannot.
        why: String,
    },
    /// Something that the strategy needs is not said.
    #[error("{0}")]
    Missing(&'static str),
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut settings = Settings::read(kind, rest);
        let strategy = match kind.replace('-', "_").as_str() {
            "static" | "epmd" => Self::Static(nodes(&mut settings)?),
            "local_epmd" => Self::LocalEpmd { every: settings.interval("timeout", EPMD_INTERVAL)? },
            "hosts" | "erlang_hosts" => Self::Hosts {
                file: settings.take("file").map(Into::into),
                every: settings.interval("timeout", EPMD_INTERVAL)?,
            },
            "gossip" => Self::Gossip(gossip(&mut settings)?),
            _ => return Err(StrategyError::Unknown(kind.into())),
        };
        settings.finish()?;
        Ok(strategy)
    }
}

fn nodes(settings: &mut Settings) -> Result<Vec<NodeName>, StrategyError> {
    let names = std::mem::take(&mut settings.values);
    if names.is_empty() {
        return Err(StrategyError::Missing("static needs nodes: static:a@host,b@host"));
    }
    let name = |value: String| NodeName::new(&value).map_err(|error| bad("static", &value, &error));
    names.into_iter().map(name).collect()
}

fn gossip(settings: &mut Settings) -> Result<Gossip, StrategyError> {
    let mut gossip = Gossip::default();
    gossip.port = settings.parsed("port")?.unwrap_or(gossip.port);
    gossip.if_addr = settings.parsed("if_addr")?;
    gossip.multicast_addr = settings.parsed("multicast_addr")?.unwrap_or(gossip.multicast_addr);
    gossip.multicast_if = settings.take("multicast_if");
    gossip.multicast_ttl = settings.parsed("multicast_ttl")?.unwrap_or(gossip.multicast_ttl);
    gossip.broadcast_only = settings.parsed("broadcast_only")?.unwrap_or(false);
    let file = settings.take("secret_file");
    let secret = match (settings.take("secret"), file) {
        (Some(secret), _) => Some(secret),
        (None, Some(file)) => Some(read_secret(&file)?),
        (None, None) => None,
    };
    Ok(match secret {
        Some(secret) => gossip.secret(&secret),
        None => gossip,
    })
}

fn read_secret(file: &str) -> Result<String, StrategyError> {
    let text = std::fs::read_to_string(Path::new(file)).map_err(|error| bad("secret_file", file, &error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn bad(key: &str, value: &str, why: &dyn std::fmt::Display) -> StrategyError {
    StrategyError::BadValue { key: key.into(), value: value.into(), why: why.to_string() }
}

/// What follows the kind: values, and settings by name.
#[derive(Debug)]
struct Settings {
    kind: String,
    values: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Settings {
    fn read(kind: &str, text: &str) -> Self {
        let mut settings = Self { kind: kind.into(), values: Vec::new(), named: BTreeMap::new() };
        for item in items(text) {
            match item.split_once('=') {
                Some((key, value)) => drop(settings.named.insert(key.trim().into(), value.into())),
                None => settings.values.push(item),
            }
        }
        settings
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.named.remove(key)
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &str) -> Result<Option<T>, StrategyError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|error| bad(key, &value, &error))
    }

    /// A time in milliseconds; `infinity` is no time.
    fn interval(&mut self, key: &str, default: Duration) -> Result<Option<Duration>, StrategyError> {
        match self.take(key).as_deref() {
            None => Ok(Some(default)),
            Some("infinity") => Ok(None),
            Some(value) => match value.parse() {
                Ok(0) => Err(bad(key, value, &"milliseconds, at least one, or infinity")),
                Ok(ms) => Ok(Some(Duration::from_millis(ms))),
                Err(error) => Err(bad(key, value, &error)),
            },
        }
    }

    /// Nothing may be left over.
    fn finish(self) -> Result<(), StrategyError> {
        match self.named.into_keys().chain(self.values).next() {
            Some(key) => Err(StrategyError::NoSetting { strategy: self.kind, key }),
            None => Ok(()),
        }
    }
}

/// The parts between commas; `\,` is a comma in a part.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ',' => items.push(String::new()),
            '\\' => items.last_mut().expect("there is one from the start").extend(chars.next()),
            c => items.last_mut().expect("there is one from the start").push(c),
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

#[cfg(test)]
mod tests;
