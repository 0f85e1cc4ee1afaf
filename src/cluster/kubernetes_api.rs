//! The Kubernetes API's requests and answers: lists of endpoints or pods, and the nodes in them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::Kubernetes;
use crate::term::NodeName;

/// How a node's name is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// `base@10.0.0.1`.
    Ip,
    /// `base@10-0-0-1.namespace.pod.cluster.local`.
    Dns,
    /// `base@pod-0.service.namespace.svc.cluster.local`.
    Hostname,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The addresses of the endpoints.
    Endpoints,
    /// The pods themselves.
    Pods,
}

/// The path and query of the list.
pub(super) fn path(settings: &Kubernetes, namespace: &str) -> String {
    let list = match settings.lookup {
        Lookup::Endpoints => "endpoints",
        Lookup::Pods => "pods",
    };
    let cached = if settings.cached { "resourceVersion=0&" } else { "" };
    let selector = percent(&settings.selector);
    format!("/api/v1/namespaces/{}/{list}?{cached}labelSelector={selector}", percent(namespace))
}

/// All but RFC 3986's unreserved characters as `%XX`.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => write!(out, "%{other:02X}").expect("a string takes all that is written"),
        }
        out
    })
}

/// The nodes in a list. Items that lack what the name needs are passed over.
pub(super) fn nodes(settings: &Kubernetes, body: &Value) -> BTreeSet<NodeName> {
    let items = list(body, "items");
    let found: Vec<Place<'_>> = match settings.lookup {
        Lookup::Endpoints => {
            let subsets = items.flat_map(|item| list(item, "subsets"));
            subsets.flat_map(|subset| list(subset, "addresses")).filter_map(Place::of_address).collect()
        }
        Lookup::Pods => items.filter_map(Place::of_pod).collect(),
    };
    let host = |place: &Place<'_>| host(settings, place);
    let name = |host: String| NodeName::new(&format!("{}@{host}", settings.basename)).ok();
    found.iter().filter_map(host).filter_map(name).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

struct Place<'a> {
    ip: &'a str,
    namespace: &'a str,
    hostname: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of_address(address: &'a Value) -> Option<Self> {
        let namespace = address.pointer("/targetRef/namespace")?.as_str()?;
        let hostname = address.get("hostname").and_then(Value::as_str);
        Some(Self { ip: address.get("ip")?.as_str()?, namespace, hostname })
    }

    fn of_pod(pod: &'a Value) -> Option<Self> {
        let namespace = pod.pointer("/metadata/namespace")?.as_str()?;
        let hostname = pod.pointer("/spec/hostname").and_then(Value::as_str);
        Some(Self { ip: pod.pointer("/status/podIP")?.as_str()?, namespace, hostname })
    }
}

fn host(settings: &Kubernetes, place: &Place<'_>) -> Option<String> {
    let (namespace, cluster) = (place.namespace, &settings.cluster_name);
    match settings.mode {
        Mode::Ip => Some(place.ip.into()),
        Mode::Dns => Some(format!("{}.{namespace}.pod.{cluster}.local", place.ip.replace('.', "-"))),
        Mode::Hostname => {
            let service = settings.service_name.as_deref()?;
            Some(format!("{}.{service}.{namespace}.svc.{cluster}.local", place.hostname?))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Kubernetes {
        Kubernetes::new("app", "app=web,tier in (a)")
    }

    fn names(settings: &Kubernetes, body: &Value) -> Vec<String> {
        nodes(settings, body).into_iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn the_query_is_encoded_as_libclusters() {
        let mut settings = settings();
        let query = "labelSelector=app%3Dweb%2Ctier%20in%20%28a%29";
        assert_eq!(path(&settings, "lab"), format!("/api/v1/namespaces/lab/endpoints?{query}"));
        (settings.lookup, settings.cached) = (Lookup::Pods, true);
        assert_eq!(path(&settings, "lab"), format!("/api/v1/namespaces/lab/pods?resourceVersion=0&{query}"));
    }

    #[test]
    fn endpoints_and_pods_become_nodes_by_mode() {
        let address = json!({"ip": "10.0.0.1", "hostname": "web-0", "targetRef": {"namespace": "lab"}});
        let bare = json!({"ip": "10.0.0.2", "targetRef": {"namespace": "lab"}});
        let endpoints = json!({"items": [{"subsets": [{"addresses": [address, bare, {"ip": "x"}]}, {}]}, {}, 1]});
        let pods = json!({"items": [
            {"status": {"podIP": "10.0.0.1"}, "metadata": {"namespace": "lab"}, "spec": {"hostname": "web-0"}},
            {"status": {"podIP": "10.0.0.2"}, "metadata": {"namespace": "lab"}, "spec": {}},
            {"status": {}, "metadata": {"namespace": "lab"}, "spec": {}},
        ]});
        let mut settings = settings();
        settings.service_name = Some("svc".into());
        for (lookup, body) in [(Lookup::Endpoints, &endpoints), (Lookup::Pods, &pods)] {
            (settings.lookup, settings.mode) = (lookup, Mode::Ip);
            assert_eq!(names(&settings, body), ["app@10.0.0.1", "app@10.0.0.2"]);
            settings.mode = Mode::Dns;
            let expected = ["app@10-0-0-1.lab.pod.cluster.local", "app@10-0-0-2.lab.pod.cluster.local"];
            assert_eq!(names(&settings, body), expected);
            settings.mode = Mode::Hostname;
            assert_eq!(names(&settings, body), ["app@web-0.svc.lab.svc.cluster.local"]);
        }
        assert!(names(&settings, &json!([])).is_empty());
    }
}
