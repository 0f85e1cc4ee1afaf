//! Distribution over TLS: both directions, and everything that must be refused.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interop_tests::{Beam, Finished, Release, Tiebeam, files, free_port, on_every_release, run, unique};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

on_every_release!(
    both_directions,
    a_node_that_dials_keeps_its_connection,
    over_ipv6_as_well,
    the_doctor_knows_tls,
    nothing_is_checked_where_it_is_told,
    a_wrong_authority_is_refused,
    an_expired_certificate_is_refused,
    a_certificate_for_another_host_is_refused,
    a_client_without_a_certificate_is_refused,
    plain_and_tls_refuse_each_other,
    renewed_certificates_are_used_without_a_restart,
);

/// Nothing that is refused may take so long, on a machine however busy; what hangs takes for ever.
const NO_HANG: Duration = Duration::from_secs(60);

struct Authority {
    folder: PathBuf,
    certificate: Certificate,
    key: KeyPair,
}

/// One node's files.
#[derive(Clone)]
struct Identity {
    cert: String,
    key: String,
    ca: String,
}

impl Authority {
    fn new() -> Self {
        let folder = files().join(unique("tls").replace(['@', '.'], "-"));
        std::fs::create_dir_all(&folder).expect("a folder for certificates");
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("a file");
        Self { folder, certificate, key }
    }

    fn issue(&self, name: &str) -> Identity {
        self.issue_with(name, "127.0.0.1", false)
    }

    fn issue_with(&self, name: &str, host: &str, expired: bool) -> Identity {
        let mut params = CertificateParams::new(vec![host.into()]).expect("a host");
        // BEAMs look for the address among the names.
        params.subject_alt_names.push(SanType::DnsName(host.try_into().expect("ASCII")));
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.certificate, &self.key).expect("a certificate");
        let (cert_file, key_file) = (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        std::fs::write(&cert_file, certificate.pem()).expect("a file");
        std::fs::write(&key_file, key.serialize_pem()).expect("a file");
        let text = |path: &Path| path.display().to_string();
        Identity { cert: text(&cert_file), key: text(&key_file), ca: text(&self.folder.join("ca.pem")) }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

impl Identity {
    fn flags(&self) -> [&str; 6] {
        ["--tls-cert", &self.cert, "--tls-key", &self.key, "--tls-ca", &self.ca]
    }

    fn optfile(&self, client_certificate: bool) -> String {
        let Self { cert, key, ca } = self;
        let own = format!("{{certfile,\"{cert}\"}},{{keyfile,\"{key}\"}},");
        let trust = format!("{{cacertfile,\"{ca}\"}},{{verify,verify_peer}}");
        let client = if client_certificate { own.as_str() } else { "" };
        let text = format!("[{{server,[{own}{trust},{{fail_if_no_peer_cert,true}}]}},{{client,[{client}{trust}]}}].\n");
        let path = format!("{cert}.{client_certificate}.conf");
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn rust(&self, port: u16) -> Tiebeam {
        Tiebeam::start(&unique("rust"), port, &[&["--demo"], &self.flags()[..]].concat())
    }

    fn beam(&self, release: Release, port: u16) -> Beam {
        self.beam_with(release, port, true)
    }

    fn beam_with(&self, release: Release, port: u16, client_certificate: bool) -> Beam {
        let file = self.optfile(client_certificate);
        let args = ["-start_epmd", "false", "-proto_dist", "inet_tls", "-ssl_dist_optfile", &file];
        Beam::start_with(release, &unique("beam"), port, &args)
    }

    fn ping(&self, port: u16, peer: &str) -> Finished {
        within(|| run(port, &[&["ping", peer], &self.flags()[..]].concat()))
    }
}

fn within<T>(what: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = what();
    assert!(started.elapsed() < NO_HANG, "took {:?}", started.elapsed());
    result
}

fn ping_from(beam: &mut Beam, rust: &Tiebeam) -> String {
    within(|| beam.eval(&format!("net_adm:ping({}).", rust.atom())))
}

fn refused(finished: &Finished, why: &str) {
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains(why), "{finished:?}");
}

fn logged(rust: &Tiebeam, why: &str) {
    appears(|| rust.log(), why);
}

fn told(beam: &Beam, why: &str) {
    appears(|| reasons(beam), why);
}

/// Whatever the case: OTP writes alerts as words, reasons as atoms.
fn reasons(beam: &Beam) -> String {
    beam.log().to_lowercase().replace('_', " ")
}

fn appears(log: impl Fn() -> String, why: &str) {
    let last = Instant::now() + Duration::from_secs(60);
    while !log().contains(why) {
        assert!(Instant::now() < last, "no {why:?} in\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn both_directions(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let (ours, theirs) = (authority.issue("rust"), authority.issue("beam"));
    let rust = ours.rust(port);
    let mut beam = theirs.beam(release, port);
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom())), "3");
    // Larger than a TLS record, in fragments, there and back.
    let echo = "B = binary:copy(<<7>>, 1000000), B =:= rpc:call(N, 'Elixir.Tiebeam.Demo', echo, [B]).";
    assert_eq!(beam.eval(&format!("N = {}, {echo}", rust.atom())), "true");
    let flags = ours.flags();
    let called = run(port, &[&["rpc", beam.name(), "lists:sum([1,2,3])"], &flags[..]].concat());
    assert_eq!((called.code, called.stdout.trim()), (0, "6"), "{called:?}");
    drop(rust);
    beam.wait_for("nodes().", "[]");
}

fn a_node_that_dials_keeps_its_connection(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let (ours, theirs) = (authority.issue("rust"), authority.issue("beam"));
    let _epmd = ours.rust(port);
    let mut beam = theirs.beam(release, port);
    // The BEAM has never heard of this one: who connects is the node.
    let dialler = [&["--demo", "--connect", beam.name()], &ours.flags()[..]].concat();
    let dialler = Tiebeam::start(&unique("dialler"), port, &dialler);
    let seen = format!("lists:member({}, nodes()).", dialler.atom());
    beam.wait_for(&seen, "true");
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", dialler.atom())), "3");
    // And again, when the connection is lost.
    assert_eq!(beam.eval(&format!("erlang:disconnect_node({}).", dialler.atom())), "true");
    beam.wait_for(&seen, "true");
    beam.assert_quiet();
}

/// `::1` in the spelling that has the dot which BEAMs want in a long name.
const LOOPBACK: &str = "::0.0.0.1";

fn over_ipv6_as_well(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let on_ipv6 = |prefix: &str| unique(prefix).replace("127.0.0.1", LOOPBACK);
    let (ours, theirs) = (authority.issue_with("rust", LOOPBACK, false), authority.issue_with("beam", LOOPBACK, false));
    let rust = Tiebeam::start(&on_ipv6("rust"), port, &[&["--demo", "--ipv6"], &ours.flags()[..]].concat());
    let file = theirs.optfile(true);
    let args = ["-start_epmd", "false", "-proto_dist", "inet6_tls", "-ssl_dist_optfile", &file];
    let mut beam = Beam::start_with(release, &on_ipv6("beam"), port, &args);
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom())), "3");
    let called = run(port, &[&["--ipv6", "rpc", beam.name(), "lists:sum([1,2,3])"], &ours.flags()[..]].concat());
    assert_eq!((called.code, called.stdout.trim()), (0, "6"), "{called:?}");
}

fn the_doctor_knows_tls(release: Release) {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let (ours, stranger) = (authority.issue("rust"), other.issue("stranger"));
    let _epmd = ours.rust(port);
    let beam = authority.issue("beam").beam(release, port);
    let examined = run(port, &[&["doctor", beam.name()], &ours.flags()[..]].concat());
    assert!(examined.code == 0 && examined.stdout.contains("ok  tls        TLS 1."), "{examined:?}");
    let examined = run(port, &[&["doctor", beam.name()], &stranger.flags()[..]].concat());
    assert!(examined.code == 3 && examined.stdout.contains("FAIL  tls"), "{examined:?}");
    assert!(examined.stdout.contains("UnknownIssuer") && examined.stdout.contains("hint: "), "{examined:?}");
    // What cannot be used at all is the caller's mistake; each reason is told once.
    let missing = Identity { cert: format!("{}.gone", ours.cert), ..ours.clone() };
    let pinged = run(port, &[&["ping", beam.name()], &missing.flags()[..]].concat());
    assert!(pinged.code == 2 && pinged.stderr.contains(".gone"), "{pinged:?}");
    let refused = stranger.ping(port, beam.name());
    assert_eq!(refused.stderr.matches("TLS: ").count(), 1, "{refused:?}");
}

fn nothing_is_checked_where_it_is_told(release: Release) {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let (ours, theirs) = (authority.issue("rust"), other.issue_with("beam", "elsewhere.example", true));
    let _epmd = ours.rust(port);
    let text = format!(
        "[{{server,[{{certfile,\"{0}\"}},{{keyfile,\"{1}\"}},{{verify,verify_none}}]}},{{client,[{{verify,verify_none}}]}}].",
        theirs.cert, theirs.key
    );
    let file = format!("{}.none.conf", theirs.cert);
    std::fs::write(&file, text).expect("a file");
    let args = ["-start_epmd", "false", "-proto_dist", "inet_tls", "-ssl_dist_optfile", &file];
    let mut beam = Beam::start_with(release, &unique("beam"), port, &args);
    let none = ["--demo", "--tls-cert", &ours.cert, "--tls-key", &ours.key, "--tls-verify", "none"];
    let rust = Tiebeam::start(&unique("lax"), port, &none);
    assert_eq!(ping_from(&mut beam, &rust), "pong");
    let pinged = run(port, &[&["ping", beam.name()], &none[1..]].concat());
    assert_eq!(pinged.code, 0, "{pinged:?}");
}

fn a_wrong_authority_is_refused(release: Release) {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let rust = other.issue("rust").rust(port);
    let mut beam = authority.issue("beam").beam(release, port);
    refused(&other.issue("shot").ping(port, beam.name()), "UnknownIssuer");
    assert_eq!(ping_from(&mut beam, &rust), "pang");
    logged(&rust, "received fatal alert: UnknownCA");
    told(&beam, "received client alert: fatal - unknown ca");
    told(&beam, "generated client alert: fatal - unknown ca");
}

fn an_expired_certificate_is_refused(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let rust = authority.issue("rust").rust(port);
    let mut beam = authority.issue_with("beam", "127.0.0.1", true).beam(release, port);
    refused(&authority.issue("shot").ping(port, beam.name()), "certificate expired");
    told(&beam, "received client alert: fatal - certificate expired");
    assert_eq!(ping_from(&mut beam, &rust), "pang");
    logged(&rust, "certificate expired");
}

fn a_certificate_for_another_host_is_refused(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let rust = authority.issue_with("rust", "elsewhere.example", false).rust(port);
    let mut beam = authority.issue_with("beam", "elsewhere.example", false).beam(release, port);
    refused(&authority.issue("shot").ping(port, beam.name()), "not valid for");
    told(&beam, "received client alert: fatal - bad certificate");
    assert_eq!(ping_from(&mut beam, &rust), "pang");
    logged(&rust, "TLS: received fatal alert");
    told(&beam, "hostname check failed");
}

fn a_client_without_a_certificate_is_refused(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let rust = authority.issue("rust").rust(port);
    let mut beam = authority.issue("beam").beam_with(release, port, false);
    assert_eq!(ping_from(&mut beam, &rust), "pang");
    logged(&rust, "peer sent no certificates");
    // A client of TLS 1.3 is done before it is refused. Whether OTP then reads the alert, or finds out first by what it
    // writes and says nothing, is chance between two BEAMs just as here: in one of several attempts it reads it.
    let last = Instant::now() + Duration::from_secs(60);
    while !reasons(&beam).contains("certificate required") {
        assert!(Instant::now() < last, "no reason in\n{}", beam.log());
        assert_eq!(ping_from(&mut beam, &rust), "pang");
    }
}

fn plain_and_tls_refuse_each_other(release: Release) {
    let (authority, port) = (Authority::new(), free_port());
    let rust = authority.issue("rust").rust(port);
    let (plain_rust, mut plain_beam) =
        (Tiebeam::demo(&unique("plain"), port), Beam::start(release, &unique("plain"), port));
    let mut beam = authority.issue("beam").beam(release, port);
    assert_eq!(ping_from(&mut plain_beam, &rust), "pang");
    logged(&rust, "TLS: received corrupt message");
    assert_eq!(ping_from(&mut beam, &plain_rust), "pang");
    logged(&plain_rust, "does the peer speak TLS?");
    let plain = within(|| run(port, &["ping", beam.name()]));
    assert_eq!(plain.code, 1, "{plain:?}");
    told(&beam, "generated server alert: fatal - unexpected message");
    refused(&authority.issue("shot").ping(port, plain_beam.name()), "TLS");
}

fn renewed_certificates_are_used_without_a_restart(release: Release) {
    let (authority, other, port) = (Authority::new(), Authority::new(), free_port());
    let (good, bad) = (authority.issue("good"), other.issue("bad"));
    let rust = bad.rust(port);
    let mut beam = authority.issue("beam").beam(release, port);
    assert_eq!(ping_from(&mut beam, &rust), "pang");
    for (from, to) in [(&good.cert, &bad.cert), (&good.key, &bad.key), (&good.ca, &bad.ca)] {
        std::fs::copy(from, to).expect("a file");
    }
    assert_eq!(ping_from(&mut beam, &rust), "pong");
    logged(&rust, "certificates loaded again");
}
