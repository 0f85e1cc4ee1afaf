//! Distribution over TLS, as `-proto_dist inet_tls`: certificates, whom they convince, and their renewal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::DialError;
use super::stream::Stream;

/// The files and rules of distribution over TLS, for both roles: what `-ssl_dist_optfile` says to a BEAM.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    cert: PathBuf,
    key: PathBuf,
    ca: Option<PathBuf>,
}

/// TLS cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

impl TlsConfig {
    /// Shows the PEM certificate (chain) in `cert`, whose key is in `key`, and believes only peers whose certificate
    /// an authority of `ca` signed, in both roles. As a client it also wants the certificate to be for the host of the
    /// node's name.
    #[must_use]
    pub fn mutual(cert: impl Into<PathBuf>, key: impl Into<PathBuf>, ca: impl Into<PathBuf>) -> Self {
        Self { cert: cert.into(), key: key.into(), ca: Some(ca.into()) }
    }

    /// The same without any look at the peer's certificate: `{verify, verify_none}`.
    #[must_use]
    pub fn unverified(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { cert: cert.into(), key: key.into(), ca: None }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key].into_iter().chain(&self.ca).map(PathBuf::as_path)
    }

    /// When each file was last written; what cannot be told counts as one moment.
    fn stamps(&self) -> Vec<Option<SystemTime>> {
        self.files().map(|file| std::fs::metadata(file).and_then(|meta| meta.modified()).ok()).collect()
    }

    fn load(&self) -> Result<Loaded, TlsError> {
        let stamps = self.stamps();
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| file(&self.key, &error))?;
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let (server, client) = (server.map_err(unusable)?, client.map_err(unusable)?);
        let (server, client) = match &self.ca {
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(ca)? {
                    roots.add(certificate).map_err(|error| file(ca, &error))?;
                }
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider).build();
                let verifier = verifier.map_err(|error| file(ca, &error))?;
                (server.with_client_cert_verifier(verifier), client.with_root_certificates(roots))
            }
            None => (
                server.with_no_client_auth(),
                client.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new(&provider))),
            ),
        };
        let server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(unusable)?;
        let client = client.with_client_auth_cert(chain, key).map_err(unusable)?;
        Ok(Loaded { stamps, server: Arc::new(server), client: Arc::new(client) })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| file(path, &error));
    match found {
        Ok(found) if found.is_empty() => Err(file(path, &"no PEM certificate in it")),
        found => found,
    }
}

fn file(path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.into(), why: why.to_string() }
}

/// A node's side of TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    stamps: Vec<Option<SystemTime>>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(config: TlsConfig) -> Result<Self, TlsError> {
        let loaded = Mutex::new(config.load()?);
        Ok(Self { config, loaded })
    }

    /// What the files say now. Where they were replaced by something unusable, the former holds.
    fn current(&self) -> Loaded {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if self.config.stamps() != loaded.stamps {
            match self.config.load() {
                Ok(new) => {
                    tracing::info!("certificates loaded again");
                    *loaded = new;
                }
                Err(error) => tracing::warn!(%error, "the new certificates cannot be used; the former are kept"),
            }
        }
        loaded.clone()
    }

    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str, limit: Duration) -> Result<Stream, DialError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_no_name| DialError::Tls(format!("{host} is no name that a certificate could have")))?;
        let connecting = TlsConnector::from(self.current().client).connect(name, tcp);
        let connected = timeout(limit, connecting).await;
        let connected = connected.map_err(|_elapsed| DialError::TimedOut("the peer did not go on with TLS"))?;
        Ok(Stream::Tls(Box::new(connected.map_err(|error| refused(&error))?.into())))
    }

    pub(crate) async fn accept(&self, tcp: TcpStream, limit: Duration) -> Result<Stream, DialError> {
        let accepted = timeout(limit, TlsAcceptor::from(self.current().server).accept(tcp).into_fallible()).await;
        match accepted.map_err(|_elapsed| DialError::TimedOut("the caller did not go on with TLS"))? {
            Ok(accepted) => Ok(Stream::Tls(Box::new(accepted.into()))),
            Err((error, tcp)) => {
                tokio::spawn(let_read(tcp));
                Err(refused(&error))
            }
        }
    }
}

/// A refused caller may have more under way: closing upon that would reset the connection, and take the alert that says why
/// along. So it is read for a moment first.
async fn let_read(mut tcp: TcpStream) {
    let rest = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(REFUSED_REST), &mut tokio::io::sink()).await
    };
    let _closed_or_not = timeout(Duration::from_secs(1), rest).await;
}

/// So much of a refused caller is read at most.
const REFUSED_REST: u64 = 64 * 1024;

fn refused(error: &std::io::Error) -> DialError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
            DialError::Tls("the other side closed during TLS's handshake; does it speak TLS?".into())
        }
        _ => DialError::from_io(error),
    }
}

/// Believes any certificate, if only its owner has the key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
