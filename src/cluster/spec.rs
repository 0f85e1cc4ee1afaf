//! The text form of a strategy, as `--cluster` takes it: `kind:value,key=value,…`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::{Dns, Gossip, Kubernetes, Lookup, Mode, Rancher, Strategy};
use crate::term::NodeName;

/// How often EPMDs are asked where nothing is said.
const EPMD_INTERVAL: Duration = Duration::from_secs(5);

/// A text that is no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// There is none of that name.
    #[error(
        "there is no strategy {0:?}: static, local_epmd, hosts, gossip, dns, kubernetes, kubernetes_dns, \
         kubernetes_dns_srv or rancher"
    )]
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
            "dns" | "dns_poll" => Self::Dns(dns(&mut settings)?),
            "kubernetes_dns" => Self::Dns(kubernetes_dns(&mut settings)?),
            "kubernetes_dns_srv" | "kubernetes_dnssrv" => Self::Dns(kubernetes_srv(&mut settings)?),
            "rancher" => Self::Rancher(rancher(&mut settings)?),
            "kubernetes" => Self::Kubernetes(Box::new(kubernetes(&mut settings)?)),
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

fn dns(settings: &mut Settings) -> Result<Dns, StrategyError> {
    let mut values = std::mem::take(&mut settings.values).into_iter();
    let query = settings.take("query").or_else(|| values.next());
    let basename = settings.take("node_basename").or_else(|| values.next());
    settings.values = values.collect();
    let (Some(query), Some(basename)) = (query, basename) else {
        return Err(StrategyError::Missing("dns needs a name to ask for and the nodes' own: dns:app.example.com,app"));
    };
    asking(Dns::new(query, basename), settings)
}

fn kubernetes_dns(settings: &mut Settings) -> Result<Dns, StrategyError> {
    let (Some(service), Some(application)) = (settings.take("service"), settings.take("application_name")) else {
        return Err(StrategyError::Missing("kubernetes_dns needs service and application_name"));
    };
    asking(Dns::kubernetes(service, application), settings)
}

fn kubernetes_srv(settings: &mut Settings) -> Result<Dns, StrategyError> {
    let (Some(service), Some(namespace), Some(application)) =
        (settings.take("service"), settings.take("namespace"), settings.take("application_name"))
    else {
        return Err(StrategyError::Missing("kubernetes_dns_srv needs service, namespace and application_name"));
    };
    asking(Dns::kubernetes_srv(&service, &namespace, application), settings)
}

/// Whom to ask, and how often.
fn asking(mut dns: Dns, settings: &mut Settings) -> Result<Dns, StrategyError> {
    if let Some(server) = settings.take("server") {
        let address = server.parse().or_else(|_no_port| server.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        dns.server = Some(address.map_err(|error| bad("server", &server, &error))?);
    }
    dns.polling_interval = settings.every(dns.polling_interval)?;
    Ok(dns)
}

fn rancher(settings: &mut Settings) -> Result<Rancher, StrategyError> {
    let Some(basename) = settings.take("node_basename") else {
        return Err(StrategyError::Missing("rancher needs node_basename"));
    };
    let mut rancher = Rancher::new(basename);
    rancher.metadata = settings.take("metadata").unwrap_or(rancher.metadata);
    rancher.polling_interval = settings.every(rancher.polling_interval)?;
    Ok(rancher)
}

fn kubernetes(settings: &mut Settings) -> Result<Kubernetes, StrategyError> {
    let named = std::mem::take(&mut settings.named).into_iter();
    // libcluster's names, with and without what all of them begin with.
    let short = |key: String| key.strip_prefix("kubernetes_").map(str::to_owned).unwrap_or(key);
    settings.named = named.map(|(key, value)| (short(key), value)).collect();
    let (Some(basename), Some(selector)) = (settings.take("node_basename"), settings.take("selector")) else {
        return Err(StrategyError::Missing("kubernetes needs node_basename and selector"));
    };
    let mut api = Kubernetes::new(basename, selector);
    api.namespace = settings.take("namespace");
    api.service_name = settings.take("service_name");
    api.cluster_name = settings.take("cluster_name").unwrap_or(api.cluster_name);
    api.master = settings.take("master").unwrap_or(api.master);
    api.service_account_path = settings.take("service_account_path").map_or(api.service_account_path, Into::into);
    api.cached = settings.parsed("use_cached_resources")?.unwrap_or(false);
    api.polling_interval = settings.every(api.polling_interval)?;
    api.mode = match settings.take("mode").as_deref() {
        None | Some("ip") => Mode::Ip,
        Some("dns") => Mode::Dns,
        Some("hostname") => Mode::Hostname,
        Some(other) => return Err(bad("mode", other, &"ip, dns or hostname")),
    };
    api.lookup = match settings.take("ip_lookup_mode").as_deref() {
        None | Some("endpoints") => Lookup::Endpoints,
        Some("pods") => Lookup::Pods,
        Some(other) => return Err(bad("ip_lookup_mode", other, &"endpoints or pods")),
    };
    if api.mode == Mode::Hostname && api.service_name.is_none() {
        return Err(StrategyError::Missing("kubernetes with mode=hostname needs service_name"));
    }
    Ok(api)
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

    /// How often to ask.
    fn every(&mut self, default: Duration) -> Result<Duration, StrategyError> {
        let every = self.interval("polling_interval", default)?;
        every.ok_or_else(|| bad("polling_interval", "infinity", &"whoever leaves nodes has to go on asking"))
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
