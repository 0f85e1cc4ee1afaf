//! The containers of a Rancher service as nodes: libcluster's `Rancher`.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http;
use crate::term::NodeName;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked for: the service that the asking container belongs to.
const PATH: &str = "/latest/self/service";

/// A cluster whose nodes are the containers of this one's service, by their first addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rancher {
    /// What stands before the `@` of every node.
    pub node_basename: String,
    /// The host of the metadata service, `rancher-metadata`, with a port where it is not 80.
    pub metadata: String,
    /// How often to ask; every five seconds.
    pub polling_interval: Duration,
}

impl Rancher {
    /// The containers of this one's service, as nodes called `node_basename`.
    #[must_use]
    pub fn new(node_basename: impl Into<String>) -> Self {
        let metadata = "rancher-metadata".into();
        Self { node_basename: node_basename.into(), metadata, polling_interval: Duration::from_secs(5) }
    }

    pub(super) async fn names(&self) -> io::Result<BTreeSet<NodeName>> {
        let asked = async {
            let stream = match self.metadata.rsplit_once(':') {
                Some((_host, port)) if port.parse::<u16>().is_ok() => TcpStream::connect(&self.metadata).await?,
                _ => TcpStream::connect((self.metadata.as_str(), 80)).await?,
            };
            http::get(stream, &self.metadata, PATH, "").await
        };
        let answered = timeout(PATIENCE, asked).await;
        let (status, body) =
            answered.map_err(|_elapsed| io::Error::other("Rancher's metadata service does not answer in time"))??;
        if status != 200 {
            return Err(io::Error::other(format!("Rancher's metadata service answers {status}")));
        }
        let body = serde_json::from_slice(&body).map_err(|error| {
            io::Error::other(format!("the answer of Rancher's metadata service is no JSON: {error}"))
        })?;
        Ok(self.nodes(&body))
    }

    /// The nodes of a service. Containers that have no address yet are passed over.
    fn nodes(&self, body: &Value) -> BTreeSet<NodeName> {
        let containers = body.get("containers").and_then(Value::as_array).into_iter().flatten();
        let ips = containers.filter_map(|container| container.pointer("/ips/0")?.as_str());
        ips.filter_map(|ip| NodeName::new(&format!("{}@{ip}", self.node_basename)).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_container_is_a_node_by_its_first_address() {
        let body = json!({"name": "web", "containers": [
            {"name": "web-1", "ips": ["10.42.0.2", "172.17.0.3"]},
            {"name": "web-2", "ips": ["10.42.0.1"]},
            {"name": "web-3", "ips": []},
            {"name": "web-4"},
            "web-5",
        ]});
        let names: Vec<String> = Rancher::new("app").nodes(&body).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["app@10.42.0.1", "app@10.42.0.2"]);
        for none in [json!({}), json!([]), json!({"containers": 1})] {
            assert!(Rancher::new("app").nodes(&none).is_empty(), "{none}");
        }
    }
}
