//! Counters and gauges of a node, through the `metrics` facade: whatever recorder the program has installed gets them.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `tiebeam_uptime_seconds` | gauge | `node` |
//! | `tiebeam_processes` | gauge | `node` |
//! | `tiebeam_registered_names` | gauge | `node` |
//! | `tiebeam_mailbox_messages`, the sum; `tiebeam_mailbox_messages_max`, the longest | gauge | `node` |
//! | `tiebeam_mailbox_bytes` | gauge | `node` |
//! | `tiebeam_links`, `tiebeam_monitors` | gauge | `node` |
//! | `tiebeam_signals_total`, delivered to processes of this node | counter | `node` |
//! | `tiebeam_rpc_calls_total`, of exported functions | counter | `node` |
//! | `tiebeam_connections` | gauge | `node`, `hidden` |
//! | `tiebeam_connection_bytes_in_total`, `…_out_total` | counter | `node`, `peer` |
//! | `tiebeam_connection_signals_in_total`, `…_out_total` | counter | `node`, `peer` |
//! | `tiebeam_connection_queued_bytes` | gauge | `node`, `peer` |
//! | `tiebeam_crdt_syncs_total`, messages with data of other replicas that were taken in | counter | `node`, `crdt` |
//! | `tiebeam_crdt_keys_updated_total`, `keys_updated_count` of `[:delta_crdt, :sync, :done]` | counter | `node`, `crdt` |
//! | `tiebeam_crdt_keys`, `tiebeam_crdt_neighbours` | gauge | `node`, `crdt` |

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::metrics::{counter, gauge};

use crate::delta_crdt::DeltaCrdt;
use crate::net::Connection;
use crate::node::Node;
use crate::process::Mail;

impl Node {
    /// Records the node's figures now, and again after each pause, for as long as the node runs.
    ///
    /// They are gathered only then: between two records metrics cost nothing.
    pub fn record_metrics(&self, pause: Duration) {
        let node = self.clone();
        self.spawn_task(async move {
            let mut stopping = node.stopping();
            loop {
                node.record_metrics_once();
                let stopped = stopping.wait_for(|stopping| *stopping);
                if tokio::time::timeout(pause, stopped).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// Records the node's figures once: for a program that does so whenever it is scraped.
    pub fn record_metrics_once(&self) {
        record_processes(self);
        let connections = self.connections();
        let name = self.name().to_string();
        let hidden = connections.iter().filter(|connection| connection.peer().hidden).count();
        for (kind, count) in [("true", hidden), ("false", connections.len() - hidden)] {
            gauge!("tiebeam_connections", "node" => name.clone(), "hidden" => kind).set(number(count));
        }
        for connection in connections {
            record_connection(&name, &connection);
        }
        for crdt in self.delta_crdts() {
            record_replica(&name, &crdt);
        }
    }
}

fn record_processes(node: &Node) {
    let (mut messages, mut longest, mut bytes, mut links, mut monitors) = (0, 0, 0, 0, 0);
    let cells = node.router().cells();
    for cell in &cells {
        let state = cell.lock();
        messages += state.mailbox.len();
        longest = longest.max(state.mailbox.len());
        bytes += state.mailbox.iter().map(Mail::size).sum::<usize>();
        links += state.links.len();
        monitors += state.monitors.len();
    }
    let name = node.name().to_string();
    let gauges = [
        ("tiebeam_processes", cells.len()),
        ("tiebeam_registered_names", node.registered().len()),
        ("tiebeam_mailbox_messages", messages),
        ("tiebeam_mailbox_messages_max", longest),
        ("tiebeam_mailbox_bytes", bytes),
        ("tiebeam_links", links),
        ("tiebeam_monitors", monitors),
    ];
    for (what, value) in gauges {
        gauge!(what, "node" => name.clone()).set(number(value));
    }
    gauge!("tiebeam_uptime_seconds", "node" => name.clone()).set(node.uptime().as_secs_f64());
    counter!("tiebeam_signals_total", "node" => name.clone()).absolute(node.router().reductions());
    counter!("tiebeam_rpc_calls_total", "node" => name).absolute(node.exported_calls());
}

fn record_connection(name: &str, connection: &Connection) {
    let traffic = &connection.traffic;
    let peer = connection.peer().name.to_string();
    let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = [
        ("tiebeam_connection_bytes_in_total", counted(&traffic.bytes_in)),
        ("tiebeam_connection_bytes_out_total", counted(&traffic.bytes_out)),
        ("tiebeam_connection_signals_in_total", counted(&traffic.signals_in)),
        ("tiebeam_connection_signals_out_total", counted(&traffic.signals_out)),
    ];
    for (what, value) in counters {
        counter!(what, "node" => name.to_owned(), "peer" => peer.clone()).absolute(value);
    }
    let queued = number(connection.queued_bytes());
    gauge!("tiebeam_connection_queued_bytes", "node" => name.to_owned(), "peer" => peer).set(queued);
}

fn record_replica(node: &str, crdt: &DeltaCrdt) {
    let labels = || [("node", node.to_owned()), ("crdt", crdt.name().to_owned())];
    let figures = crdt.sync_figures();
    counter!("tiebeam_crdt_syncs_total", &labels()).absolute(figures.syncs);
    counter!("tiebeam_crdt_keys_updated_total", &labels()).absolute(figures.keys_updated);
    gauge!("tiebeam_crdt_keys", &labels()).set(number(crdt.len()));
    gauge!("tiebeam_crdt_neighbours", &labels()).set(number(crdt.neighbours().len()));
}

/// Gauges are floats: exact up to 2^53.
fn number(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;
    use crate::Cookie;
    use crate::node::EpmdMode;

    #[derive(Default)]
    struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Recorder for Counters {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test]
    async fn what_syncs_changed_is_recorded() {
        let builder = Node::builder("metrics-crdt@127.0.0.1").cookie(Cookie::new("secret").unwrap());
        let node = builder.epmd(EpmdMode::Off).start().await.unwrap();
        let crdt = node.delta_crdt("store").start().unwrap();
        crdt.merge([(1, 1), (2, 2), (1, 3)]).await.unwrap();
        let counters = Counters::default();
        ::metrics::with_local_recorder(&counters, || node.record_metrics_once());
        let recorded = |name: &str| {
            let name = format!("{name}{{node=metrics-crdt@127.0.0.1,crdt=store}}");
            counters.0.lock().unwrap()[&name].load(Ordering::Relaxed)
        };
        assert_eq!(recorded("tiebeam_crdt_keys_updated_total"), 3);
        assert_eq!(recorded("tiebeam_crdt_syncs_total"), 0);
        node.shutdown().await;
    }
}
