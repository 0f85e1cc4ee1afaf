//! Nodes of a headless service, by address and by host, and of a Rancher service: tiebeam beside libcluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, unique};

use crate::lists::{Dns, Record, base, libcluster_and, met, topology};

on_every_release!(
    the_pods_of_a_headless_service,
    the_hosts_of_a_stateful_set,
    the_ipv6_addresses_of_a_name,
    the_containers_of_a_rancher_service,
);

/// A BEAM of this name on which libcluster can be started.
fn libcluster(release: Release, scenario: &str, name: &str, port: u16, args: &[&str]) -> Option<Beam> {
    libcluster_and(release, &format!("{}::{scenario}", module_path!()), name, port, args)
}

/// Makes a BEAM ask this DNS server and no other, for names as they are.
fn ask_only(beam: &mut Beam, dns: &Dns) {
    let code = format!(
        "ok = inet_db:res_option(resolv_conf, \"\"), ok = inet_db:res_option(search, []), \
         ok = inet_db:res_option(nameservers, [{{{{127,0,0,1}},{}}}]).",
        dns.port
    );
    assert_eq!(beam.eval(&code), "ok");
}

/// A BEAM is found while the name has its records, left when it has not, and found again.
fn found_left_and_found(beam: &mut Beam, rust: &Tiebeam, dns: &Dns, records: Vec<Record>) {
    let alone = format!("[{}]", rust.atom());
    beam.wait_for("nodes().", &alone);
    met(beam);
    dns.set(Vec::new());
    beam.wait_for("nodes().", "[]");
    dns.set(records);
    beam.wait_for("nodes().", &alone);
}

/// Tiebeam by its strategy and libcluster by its own find and are found, and ask the same.
fn both(release: Release, scenario: &str, kind: &str, module: &str, settings: &[(&str, &str)], record: &Record) {
    let (port, name, dns) = (free_port(), unique("beam"), Dns::start(vec![record.clone()]));
    let ours: String = settings.iter().map(|(key, value)| format!("{key}={value},")).collect();
    let strategy =
        format!("{kind}:{ours}application_name={},server=127.0.0.1:{},polling_interval=100", base(&name), dns.port);
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let mut beam = Beam::start(release, &name, port);
    found_left_and_found(&mut beam, &rust, &dns, vec![record.clone()]);
    drop((beam, rust));
    let ours = dns.asked();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    let Some(mut beam) = libcluster(release, scenario, &unique("libcluster"), port, &[]) else { return };
    ask_only(&mut beam, &dns);
    let theirs: String = settings.iter().map(|(key, value)| format!("{key}: {value:?}, ")).collect();
    let config = format!("{theirs}application_name: {:?}, polling_interval: 100", base(rust.name()));
    topology(&mut beam, module, &config);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    assert_eq!(dns.asked(), ours, "libcluster (left) and tiebeam (right) ask for something else");
}

fn the_pods_of_a_headless_service(release: Release) {
    let settings = [("service", "web-headless.lab")];
    let record = Record::Address(Ipv4Addr::LOCALHOST.into());
    both(release, "the_pods_of_a_headless_service", "kubernetes_dns", "Kubernetes.DNS", &settings, &record);
}

fn the_hosts_of_a_stateful_set(release: Release) {
    let settings = [("service", "web-headless"), ("namespace", "lab")];
    // A host's name like any other to DNS; here it has to lead somewhere.
    let record = Record::Service(vec!["127", "0", "0", "1"]);
    both(release, "the_hosts_of_a_stateful_set", "kubernetes_dns_srv", "Kubernetes.DNSSRV", &settings, &record);
}

fn the_ipv6_addresses_of_a_name(release: Release) {
    let on_ipv6 = |prefix: &str| unique(prefix).replace("127.0.0.1", "::1");
    let args = ["-start_epmd", "false", "-proto_dist", "inet6_tcp"];
    let record = Record::Address(Ipv6Addr::LOCALHOST.into());
    let (port, name, dns) = (free_port(), on_ipv6("beam"), Dns::start(vec![record.clone()]));
    let strategy = format!("dns:app.lab,{},server=127.0.0.1:{},polling_interval=100", base(&name), dns.port);
    let rust = Tiebeam::start(&on_ipv6("rust"), port, &["--ipv6", "--cluster", &strategy]);
    let mut beam = Beam::start_with(release, &name, port, &args);
    found_left_and_found(&mut beam, &rust, &dns, vec![record]);
    drop((beam, rust));
    let ours = dns.asked();
    assert_eq!(ours.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 28], "{ours:?}");
    let rust = Tiebeam::start(&on_ipv6("rust"), port, &["--ipv6"]);
    let scenario = "the_ipv6_addresses_of_a_name";
    let Some(mut beam) = libcluster(release, scenario, &on_ipv6("libcluster"), port, &args) else { return };
    ask_only(&mut beam, &dns);
    let config = format!("polling_interval: 100, query: \"app.lab\", node_basename: {:?}", base(rust.name()));
    topology(&mut beam, "DNSPoll", &config);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    assert_eq!(dns.asked(), ours, "libcluster (left) and tiebeam (right) ask for something else");
}

/// Rancher's metadata service on loopback: one service, and a log of what was asked.
struct Metadata {
    port: u16,
    ips: Arc<Mutex<Vec<&'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let metadata = Self { port, ips: Arc::default(), asked: Arc::default() };
        let (ips, asked) = (Arc::clone(&metadata.ips), Arc::clone(&metadata.asked));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    request.push(byte[0]);
                }
                asked.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(&request).into());
                let ips = ips.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let container = |ip: &&str| format!(r#"{{"name":"web-1","ips":["{ip}","172.17.0.3"]}}"#);
                let containers = ips.iter().map(container).collect::<Vec<_>>().join(",");
                let body = format!(r#"{{"name":"web","containers":[{containers}]}}"#);
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _gone = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        metadata
    }

    fn list(&self, ips: &[&'static str]) {
        *self.ips.lock().unwrap_or_else(PoisonError::into_inner) = ips.to_vec();
    }

    /// What was asked since the last look, each request once: its first line, without the host that a proxy is told, and
    /// what is accepted.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        // A node that is stopped meanwhile connects and asks nothing.
        let mut asked: Vec<String> = asked
            .iter()
            .filter(|request| request.ends_with("\r\n\r\n"))
            .map(|request| {
                let lines = request.lines().map(|line| line.replace("http://rancher-metadata", "").to_lowercase());
                lines
                    .filter(|line| line.starts_with("get") || line.starts_with("accept:"))
                    .collect::<Vec<_>>()
                    .join("\n")
            })
            .collect();
        asked.sort();
        asked.dedup();
        asked
    }
}

fn the_containers_of_a_rancher_service(release: Release) {
    let (port, metadata, name) = (free_port(), Metadata::start(), unique("beam"));
    metadata.list(&["127.0.0.1"]);
    let strategy =
        format!("rancher:node_basename={},metadata=127.0.0.1:{},polling_interval=100", base(&name), metadata.port);
    let rust = Tiebeam::start(&unique("rust"), port, &["--cluster", &strategy]);
    let mut beam = Beam::start(release, &name, port);
    let alone = format!("[{}]", rust.atom());
    beam.wait_for("nodes().", &alone);
    met(&mut beam);
    metadata.list(&[]);
    beam.wait_for("nodes().", "[]");
    metadata.list(&["127.0.0.1"]);
    beam.wait_for("nodes().", &alone);
    drop((beam, rust));
    let ours = metadata.asked();
    assert_eq!(ours, ["get /latest/self/service http/1.1\naccept: application/json"]);
    let rust = Tiebeam::start(&unique("rust"), port, &[]);
    let Some(mut beam) = libcluster(release, "the_containers_of_a_rancher_service", &unique("libcluster"), port, &[])
    else {
        return;
    };
    // Its host's name is fixed, so the requests take a way round.
    let proxy = format!(
        "{{:ok, _}} = Application.ensure_all_started(:inets); \
         :ok = :httpc.set_options(proxy: {{{{~c\"127.0.0.1\", {}}}, []}}); :ok",
        metadata.port
    );
    assert_eq!(beam.elixir(&proxy), ":ok");
    let config = format!("node_basename: {:?}, polling_interval: 100", base(rust.name()));
    topology(&mut beam, "Rancher", &config);
    beam.wait_for("nodes().", &format!("[{}]", rust.atom()));
    assert_eq!(metadata.asked(), ours, "libcluster (left) and tiebeam (right) ask for something else");
}
