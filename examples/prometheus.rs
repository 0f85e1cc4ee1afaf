//! Figures of a node for Prometheus, from a small recorder of the program's own: `curl 127.0.0.1:9568/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tiebeam::{Cookie, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Every figure, by its kind and its name with labels. A gauge is kept as the bits of its float.
#[derive(Clone, Default)]
struct Figures(Arc<Mutex<BTreeMap<(String, String), Kept>>>);

#[derive(Clone)]
enum Kept {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
}

impl Figures {
    fn keep(&self, key: &Key, is_counter: bool) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
        let id = (key.name().to_owned(), labels.join(","));
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || if is_counter { Kept::Counter(Arc::default()) } else { Kept::Gauge(Arc::default()) };
        match figures.entry(id).or_insert_with(make) {
            Kept::Counter(value) | Kept::Gauge(value) => Arc::clone(value),
        }
    }

    /// The text format of Prometheus.
    fn text(&self) -> String {
        let (mut text, mut last) = (String::new(), String::new());
        for ((name, labels), kept) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (kind, value) = match kept {
                Kept::Counter(value) => ("counter", value.load(Ordering::Relaxed).to_string()),
                Kept::Gauge(value) => ("gauge", f64::from_bits(value.load(Ordering::Relaxed)).to_string()),
            };
            if last != *name {
                text += &format!("# TYPE {name} {kind}\n");
                last.clone_from(name);
            }
            text += &format!("{name}{{{labels}}} {value}\n");
        }
        text
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.keep(key, true))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.keep(key, false))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let figures = Figures::default();
    metrics::set_global_recorder(figures.clone()).map_err(|_set_already| "another recorder is set")?;
    let node = Node::builder("rust@127.0.0.1").cookie(Cookie::from_home()?).start().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9568").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        // Whatever is asked for; only local programs can.
        let _request = stream.read(&mut [0; 4096]).await;
        node.record_metrics_once();
        let text = figures.text();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", text.len());
        let _gone = stream.write_all((head + &text).as_bytes()).await;
    }
}
