//! The nodes that a Kubernetes API lists: libcluster's `Kubernetes`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http;
use super::kubernetes_api::{Lookup, Mode, nodes, path};
use crate::term::NodeName;

/// How long a list may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A cluster whose nodes are pods, with libcluster's names and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kubernetes {
    /// What stands before the `@` of every node.
    pub basename: String,
    /// The labels that select endpoints or pods, `app=myapp`.
    pub selector: String,
    /// The namespace; the service account's otherwise.
    pub namespace: Option<String>,
    /// How names are made; [`Mode::Ip`].
    pub mode: Mode,
    /// What is listed; [`Lookup::Endpoints`].
    pub lookup: Lookup,
    /// The service in names of [`Mode::Hostname`].
    pub service_name: Option<String>,
    /// The cluster's name, `cluster`: its domain is `cluster.local`, or what `CLUSTER_DOMAIN` says.
    pub cluster_name: String,
    /// The API's host, `kubernetes.default.svc`: the domain follows, unless it ends with it, with a full stop, or with
    /// a port.
    pub master: String,
    /// Where `token`, `ca.crt` and `namespace` are.
    pub service_account_path: PathBuf,
    /// Takes what the API has at hand.
    pub cached: bool,
    /// How often to ask; every five seconds.
    pub polling_interval: Duration,
}

impl Kubernetes {
    /// The pods of these labels, as nodes called `basename`.
    #[must_use]
    pub fn new(basename: impl Into<String>, selector: impl Into<String>) -> Self {
        Self {
            basename: basename.into(),
            selector: selector.into(),
            namespace: None,
            mode: Mode::Ip,
            lookup: Lookup::Endpoints,
            service_name: None,
            cluster_name: "cluster".into(),
            master: "kubernetes.default.svc".into(),
            service_account_path: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
            cached: false,
            polling_interval: Duration::from_secs(5),
        }
    }

    /// Where the API is, as `host:port` has it or port 443; the domain as `CLUSTER_DOMAIN` tells it.
    fn address(&self, domain: Option<String>) -> (String, u16) {
        let domain = domain.unwrap_or_else(|| format!("{}.local", self.cluster_name));
        if let Some((host, port)) =
            self.master.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))
        {
            return (host.trim_matches(['[', ']']).into(), port);
        }
        if self.master.ends_with(&domain) || self.master.ends_with('.') {
            return (self.master.clone(), 443);
        }
        (format!("{}.{domain}", self.master), 443)
    }

    /// The nodes that the API lists now.
    pub(super) async fn names(&self) -> io::Result<BTreeSet<NodeName>> {
        let listed = timeout(PATIENCE, self.list()).await;
        listed.map_err(|_elapsed| io::Error::other("the Kubernetes API does not answer in time"))?
    }

    async fn list(&self) -> io::Result<BTreeSet<NodeName>> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => self.account("namespace")?,
        };
        let token = self.account("token")?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(io::Error::other("the service account's token is none"));
        }
        let (host, port) = self.address(std::env::var("CLUSTER_DOMAIN").ok());
        let authorization = format!("authorization: Bearer {token}\r\n");
        let stream = connect(&host, port, &self.service_account_path.join("ca.crt")).await?;
        let (status, body) = http::get(stream, &host, &path(self, &namespace), &authorization).await?;
        if status != 200 {
            let message = serde_json::from_slice::<serde_json::Value>(&body).ok();
            let message = message.as_ref().and_then(|body| body.get("message")?.as_str()).unwrap_or_default();
            return Err(io::Error::other(format!("the Kubernetes API answers {status}: {message}")));
        }
        let body = serde_json::from_slice(&body)
            .map_err(|error| io::Error::other(format!("the Kubernetes API's answer is no JSON: {error}")))?;
        Ok(nodes(self, &body))
    }

    /// A file of the service account, read each time because tokens are renewed.
    fn account(&self, file: &str) -> io::Result<String> {
        let path = self.service_account_path.join(file);
        let text = std::fs::read_to_string(&path);
        text.map(|text| text.trim().to_owned())
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

async fn connect(host: &str, port: u16, ca: &Path) -> io::Result<TlsStream<TcpStream>> {
    let config = trusting(ca).map_err(|why| io::Error::other(format!("{}: {why}", ca.display())))?;
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect((host, port)).await?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Believes whom the service account's authority signed.
fn trusting(ca: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())? {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_libcluster_finds_it() {
        let mut settings = Kubernetes::new("app", "app=web");
        assert_eq!(settings.address(None), ("kubernetes.default.svc.cluster.local".into(), 443));
        assert_eq!(settings.address(Some("lab".into())), ("kubernetes.default.svc.lab".into(), 443));
        for (master, host, port) in [
            ("api.cluster.local", "api.cluster.local", 443),
            ("api.example.", "api.example.", 443),
            ("127.0.0.1:6443", "127.0.0.1", 6443),
            ("[::1]:6443", "::1", 6443),
        ] {
            settings.master = master.into();
            assert_eq!(settings.address(None), (host.into(), port));
        }
    }
}
