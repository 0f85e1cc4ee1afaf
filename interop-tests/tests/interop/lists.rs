//! Nodes that a DNS server or a Kubernetes API lists: tiebeam beside libcluster, with both servers in this file.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use interop_tests::{Beam, Release, Tiebeam, files, free_port, on_every_release, unique};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

on_every_release!(the_addresses_of_a_name, the_endpoints_of_a_kubernetes_api);

/// The part of a node's name before the `@`.
pub(crate) fn base(node: &str) -> &str {
    node.split('@').next().expect("there is a first part")
}

/// What a DNS server says of its every name.
#[derive(Clone)]
pub(crate) enum Record {
    Address(IpAddr),
    /// A service's host, by the labels of its name.
    Service(Vec<&'static str>),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Service(_) => 33,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(ip)) => ip.octets().into(),
            Self::Address(IpAddr::V6(ip)) => ip.octets().into(),
            Self::Service(labels) => {
                let mut data = vec![0, 10, 0, 50, 0, 0];
                for label in labels {
                    data.push(u8::try_from(label.len()).expect("a short label"));
                    data.extend(label.as_bytes());
                }
                data.push(0);
                data
            }
        }
    }
}

/// A DNS server on loopback whose every name has these records.
pub(crate) struct Dns {
    pub(crate) port: u16,
    records: Arc<Mutex<Vec<Record>>>,
    asked: Arc<Mutex<BTreeSet<(u8, String)>>>,
}

impl Dns {
    pub(crate) fn start(records: Vec<Record>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let dns = Self { port, records: Arc::new(Mutex::new(records)), asked: Arc::default() };
        let (shared, asked) = (Arc::clone(&dns.records), Arc::clone(&dns.asked));
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut packet) {
                let known = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let (kind, name, answer) = answer(&packet[..len], &known);
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, name));
                let _gone = socket.send_to(&answer, from);
            }
        });
        dns
    }

    pub(crate) fn set(&self, records: Vec<Record>) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// The kinds and names that it was asked for since the last look, each once.
    pub(crate) fn asked(&self) -> BTreeSet<(u8, String)> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a query asks for, and its answer: those of the records that are of its kind.
fn answer(query: &[u8], records: &[Record]) -> (u8, String, Vec<u8>) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let after = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..after]).into_owned());
        at = after;
    }
    let (kind, end) = (query[at + 2], at + 5);
    let records: Vec<&Record> = records.iter().filter(|record| record.kind() == kind).collect();
    let mut out = query[..end].to_vec();
    (out[2], out[3], out[7]) = (0x81, 0x80, u8::try_from(records.len()).expect("a few"));
    // No additional records, whatever the query had.
    (out[10], out[11]) = (0, 0);
    for record in records {
        let data = record.data();
        out.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 1, 0, u8::try_from(data.len()).expect("a short one")]);
        out.extend(data);
    }
    (kind, labels.join("."), out)
}

fn the_addresses_of_a_name(release: Release) {
    let port = free_port();
    let here = vec![Record::Address(Ipv4Addr::LOCALHOST.into())];
    let dns = Dns::start(here.clone());
    let name = unique("beam");
    let strategy = format!("dns:app.lab,{},server=127.0.0.1:{},polling_interval=100", base(&name), dns.port);
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let mut beam = Beam::start(release, &name, port);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    met(&mut beam);
    // What the name no longer has is left.
    dns.set(Vec::new());
    beam.wait_for("nodes().", "[]");
    dns.set(here);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    drop((beam, rust));
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    let Some(mut beam) = libcluster(release, "the_addresses_of_a_name", port) else { return };
    let resolver = format!(
        "fn q -> :inet_res.lookup(to_charlist(q), :in, :a, [nameservers: [{{{{127, 0, 0, 1}}, {}}}]]) end",
        dns.port
    );
    let config = format!(
        "polling_interval: 100, query: \"app.lab\", node_basename: {:?}, resolver: {resolver}",
        base(rust.name())
    );
    topology(&mut beam, "DNSPoll", &config);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
}

/// A Kubernetes API on loopback: TLS, one list, and a log of what it was asked.
struct Api {
    port: u16,
    body: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// Its authority's certificate is written into the service account's folder.
    fn start(account: &Path) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the cluster's authority");
        let ca_key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&ca_key).expect("a certificate");
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).expect("a host");
        // BEAMs look for the address among the names.
        params.subject_alt_names.push(SanType::DnsName("127.0.0.1".try_into().expect("ASCII")));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &ca, &ca_key).expect("a certificate");
        std::fs::write(account.join("ca.crt"), ca.pem()).expect("a file");
        std::fs::write(account.join("token"), "the-token\n").expect("a file");
        std::fs::write(account.join("namespace"), "lab").expect("a file");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("usual versions").with_no_client_auth();
        let config =
            Arc::new(config.with_single_cert(vec![certificate.der().clone()], key.into()).expect("they match"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let api = Self { port, body: Arc::default(), asked: Arc::default() };
        let (body, asked) = (Arc::clone(&api.body), Arc::clone(&api.asked));
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a usable configuration");
                let mut stream = StreamOwned::new(connection, tcp);
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    request.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                asked.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                let body = body.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _gone = stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush());
                stream.conn.send_close_notify();
                let _gone = stream.flush();
            }
        });
        api
    }

    /// What it lists from now on, as the API of a cluster with these endpoints does.
    fn list(&self, addresses: &[&str]) {
        let address = |ip: &&str| {
            format!(r#"{{"ip":"{ip}","nodeName":"n","targetRef":{{"kind":"Pod","namespace":"lab","name":"p"}}}}"#)
        };
        let addresses = addresses.iter().map(address).collect::<Vec<_>>().join(",");
        let body = format!(
            r#"{{"kind":"EndpointsList","apiVersion":"v1","items":[{{"subsets":[{{"addresses":[{addresses}]}}]}}]}}"#
        );
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    /// The first line and the authorization of all requests since the last look, each kind once.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.iter_mut().for_each(|request| {
            let wanted = |line: &&str| line.starts_with("GET") || line.to_lowercase().starts_with("authorization:");
            *request = request.lines().filter(wanted).collect::<Vec<_>>().join("\n");
        });
        // A node that is stopped meanwhile connects and asks nothing.
        asked.retain(|request| !request.is_empty());
        asked.sort();
        asked.dedup();
        asked
    }
}

fn the_endpoints_of_a_kubernetes_api(release: Release) {
    let port = free_port();
    let account = files().join(unique("account"));
    std::fs::create_dir_all(&account).expect("a folder");
    let (api, name) = (Api::start(&account), unique("beam"));
    api.list(&["127.0.0.1"]);
    let strategy = format!(
        "kubernetes:node_basename={},selector=app=web,master=127.0.0.1:{},service_account_path={},polling_interval=100",
        base(&name),
        api.port,
        account.display()
    );
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let mut beam = Beam::start(release, &name, port);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    met(&mut beam);
    api.list(&[]);
    beam.wait_for("nodes().", "[]");
    drop((beam, rust));
    let ours = api.asked();
    assert_eq!(ours.len(), 1, "{ours:?}");
    api.list(&["127.0.0.1"]);
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    if let Some(mut beam) = libcluster(release, "the_endpoints_of_a_kubernetes_api", port) {
        // The domain is what keeps libcluster from adding one.
        let config = format!(
            "polling_interval: 100, kubernetes_node_basename: {:?}, kubernetes_selector: \"app=web\", \
             kubernetes_master: \"127.0.0.1:{1}\", kubernetes_service_account_path: {2:?}",
            base(rust.name()),
            api.port,
            account.display().to_string()
        );
        let prepare = format!(
            "System.put_env(\"CLUSTER_DOMAIN\", \"127.0.0.1:{}\"); \
             for app <- [:inets, :ssl], do: {{:ok, _}} = Application.ensure_all_started(app); :ok",
            api.port
        );
        assert_eq!(beam.elixir(&prepare), ":ok");
        topology(&mut beam, "Kubernetes", &config);
        beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
        let theirs = api.asked();
        assert_eq!(theirs, ours, "libcluster (left) and tiebeam (right) ask for something else");
    }
    std::fs::remove_dir_all(&account).expect("it was there");
}

/// Waits until the name servers of a BEAM and of what is connected with it have met. A word of theirs that is still to be
/// sent would connect nodes again which have left each other.
pub(crate) fn met(beam: &mut Beam) {
    assert_eq!(beam.eval("global:sync()."), "ok");
    // Each side takes back its locks at last.
    beam.wait_for("ets:info(global_locks, size).", "0");
}

/// A BEAM on which libcluster can be started.
fn libcluster(release: Release, scenario: &str, port: u16) -> Option<Beam> {
    libcluster_and(release, &format!("{}::{scenario}", module_path!()), &unique("libcluster"), port, &[])
}

/// The same under this name, with further arguments for `erl`.
pub(crate) fn libcluster_and(release: Release, scenario: &str, name: &str, port: u16, args: &[&str]) -> Option<Beam> {
    release.has_horde(scenario).then(|| {
        let mut beam = Beam::with_horde_and(release, name, port, args);
        assert_eq!(beam.elixir("{:ok, _} = Application.ensure_all_started(:libcluster); :started"), ":started");
        beam
    })
}

pub(crate) fn topology(beam: &mut Beam, strategy: &str, config: &str) {
    let code = format!(
        "{{:ok, pid}} = Cluster.Supervisor.start_link([[lab: [strategy: Cluster.Strategy.{strategy}, \
         config: [{config}]]], []]); Process.unlink(pid); :ok"
    );
    assert_eq!(beam.elixir(&code), ":ok");
}
