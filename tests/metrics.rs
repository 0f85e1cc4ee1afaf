//! What the feature `metrics` records: a node, its mailboxes, its calls and its connections, through the facade.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tiebeam::{Cookie, Node, Term, epmd};

/// Keeps every figure, a gauge as the bits of its float, under its name and labels.
#[derive(Default)]
struct Debugging(Mutex<BTreeMap<String, (Kind, Arc<AtomicU64>)>>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
}

impl Debugging {
    fn keep(&self, key: &Key, kind: Kind) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        let mut figures = self.0.lock().expect("no panic");
        let (kept, value) = figures.entry(name).or_insert_with(|| (kind, Arc::default()));
        assert_eq!(*kept, kind, "{key} is of two kinds");
        Arc::clone(value)
    }

    fn get(&self, kind: Kind, name: &str) -> f64 {
        let figures = self.0.lock().expect("no panic");
        let (kept, value) = figures.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", figures.keys()));
        assert_eq!(*kept, kind, "{name}");
        let value = value.load(Ordering::Relaxed);
        if kind == Kind::Counter { value as f64 } else { f64::from_bits(value) }
    }
}

impl Recorder for Debugging {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.keep(key, Kind::Counter))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.keep(key, Kind::Gauge))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn start(name: &str, port: u16, hidden: bool) -> Node {
    let epmd = epmd::Config { port, ..epmd::Config::default() };
    let builder = Node::builder(name).cookie(Cookie::new("metrics").expect("a cookie")).epmd_config(epmd);
    let builder = if hidden { builder.hidden() } else { builder };
    builder.start().await.expect("the node starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_recorded_with_its_mailboxes_calls_and_connections() {
    let port = interop_tests::free_port();
    let a = start("measured_a@127.0.0.1", port, false).await;
    let b = start("measured_b@127.0.0.1", port, false).await;
    let hidden = start("measured_c@127.0.0.1", port, true).await;
    a.export("m", "f", |(n,): (i64,)| async move { Ok(n) });
    let recorder = Debugging::default();
    let record = || metrics::with_local_recorder(&recorder, || a.record_metrics_once());
    let of_a = |name: &str| format!("{name}{{node=measured_a@127.0.0.1}}");
    let of_b = |name: &str| format!("{name}{{node=measured_a@127.0.0.1,peer=measured_b@127.0.0.1}}");
    let gauge = |name: &str| recorder.get(Kind::Gauge, name);
    let counter = |name: &str| recorder.get(Kind::Counter, name);

    record();
    let (processes, names) = (gauge(&of_a("tiebeam_processes")), gauge(&of_a("tiebeam_registered_names")));
    let (links, monitors) = (gauge(&of_a("tiebeam_links")), gauge(&of_a("tiebeam_monitors")));
    let uptime = gauge(&of_a("tiebeam_uptime_seconds"));
    assert_eq!(gauge("tiebeam_connections{node=measured_a@127.0.0.1,hidden=false}"), 0.0);
    assert_eq!(gauge(&of_a("tiebeam_mailbox_messages_max")), 0.0);
    assert_eq!(counter(&of_a("tiebeam_rpc_calls_total")), 0.0);

    let (me, other) = (a.process(), a.process());
    me.register("measured").expect("a free name");
    me.link(other.pid()).expect("it lives");
    let _watched = me.monitor(other.pid()).expect("it lives");
    for n in 0..3 {
        me.send(me.pid(), Term::binary(vec![7_u8; 1000 + n])).await.expect("it lives");
    }
    for n in 0..5_i64 {
        let back: i64 = b.rpc(a.name()).call("m", "f", (n,)).await.expect("it answers");
        assert_eq!(back, n);
    }
    let back: i64 = hidden.rpc(a.name()).call("m", "f", (7,)).await.expect("it answers");
    assert_eq!(back, 7);
    record();
    // Those of the calls have ended, or end just now.
    assert!(gauge(&of_a("tiebeam_processes")) >= processes + 2.0);
    assert_eq!(gauge(&of_a("tiebeam_registered_names")), names + 1.0);
    assert!(gauge(&of_a("tiebeam_links")) >= links + 2.0);
    assert!(gauge(&of_a("tiebeam_monitors")) > monitors);
    assert_eq!(gauge(&of_a("tiebeam_mailbox_messages_max")), 3.0);
    assert!(gauge(&of_a("tiebeam_mailbox_messages")) >= 3.0);
    assert!(gauge(&of_a("tiebeam_mailbox_bytes")) >= 3000.0);
    assert!(gauge(&of_a("tiebeam_uptime_seconds")) > uptime);
    assert_eq!(counter(&of_a("tiebeam_rpc_calls_total")), 6.0);
    assert!(counter(&of_a("tiebeam_signals_total")) >= 9.0);
    assert_eq!(gauge("tiebeam_connections{node=measured_a@127.0.0.1,hidden=false}"), 1.0);
    assert_eq!(gauge("tiebeam_connections{node=measured_a@127.0.0.1,hidden=true}"), 1.0);
    for counted in ["bytes_in", "bytes_out", "signals_in", "signals_out"] {
        assert!(counter(&of_b(&format!("tiebeam_connection_{counted}_total"))) >= 5.0, "{counted}");
    }
    assert!(gauge(&of_b("tiebeam_connection_queued_bytes")) >= 0.0);
    drop((me, other));
    record();
    assert_eq!(gauge(&of_a("tiebeam_registered_names")), names);
    for node in [hidden, b, a] {
        node.shutdown().await;
    }
}
