//! `--health`: is the node alive, is it ready? Told over HTTP to whoever runs it, Kubernetes or a load balancer.
//!
//! `GET /live` answers 200 for as long as the program works, `GET /ready` 200 between the line that says so and the
//! beginning of the end, else 503; both with a JSON object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::output;
use crate::node::Node;

/// How long one question may take, and how many are answered at once.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 32;
/// No question is longer.
const LONGEST: usize = 8192;

/// How far the node is.
#[derive(Debug, Clone)]
enum Stage {
    Starting,
    Ready(Node),
    Draining,
}

/// The answers to questions about a node's health, for as long as this lives.
#[derive(Debug)]
pub(super) struct Health(watch::Sender<Stage>);

impl Health {
    /// Answers at this address from now on.
    pub(super) async fn start(address: Option<SocketAddr>) -> anyhow::Result<Self> {
        let (sender, stage) = watch::channel(Stage::Starting);
        if let Some(address) = address {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("cannot tell the node's health at {address}"))?;
            tracing::info!(address = %listener.local_addr()?, "health");
            tokio::spawn(serve(listener, stage));
        }
        Ok(Self(sender))
    }

    pub(super) fn ready(&self, node: &Node) {
        self.0.send_replace(Stage::Ready(node.clone()));
    }

    pub(super) fn draining(&self) {
        self.0.send_replace(Stage::Draining);
    }
}

/// Answers until the node's end, which drops the sender.
async fn serve(listener: TcpListener, mut stage: watch::Receiver<Stage>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = stage.changed() => if ended.is_err() { return } else { continue },
        };
        match accepted {
            Ok((stream, _)) => {
                let now = stage.borrow().clone();
                tokio::spawn(async move {
                    // Who does not read the answer has not got it.
                    let _gone = timeout(PATIENCE, answer(stream, now)).await;
                    drop(place);
                });
            }
            // Out of descriptors, perhaps: soon there are some again.
            Err(_busy) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, stage: Stage) -> std::io::Result<()> {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        if asked.len() > LONGEST || stream.read_buf(&mut asked).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(reply(&asked, &stage).as_bytes()).await?;
    stream.shutdown().await
}

fn reply(asked: &[u8], stage: &Stage) -> String {
    let line = asked.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let word = match stage {
        Stage::Starting => "starting",
        Stage::Ready(_) => "ready",
        Stage::Draining => "draining",
    };
    let code = match (method, path, stage) {
        ("GET" | "HEAD", "/live" | "/ready", Stage::Ready(_)) | ("GET" | "HEAD", "/live", _) => "200 OK",
        ("GET" | "HEAD", "/ready", _) => "503 Service Unavailable",
        ("GET" | "HEAD", _, _) => "404 Not Found",
        _ => "405 Method Not Allowed",
    };
    let mut fields = vec![("state", word.into())];
    if let Stage::Ready(node) = stage {
        fields.push(("node", node.name().as_str().into()));
        fields.push(("peers", node.nodes().len().into()));
    }
    let body = output::object(fields);
    let shown = if method == "HEAD" { "" } else { body.as_str() };
    format!(
        "HTTP/1.1 {code}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{shown}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(asked: &str, stage: &Stage) -> String {
        let reply = reply(asked.as_bytes(), stage);
        reply.split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn a_node_that_starts_or_drains_is_alive_and_not_ready() {
        for (stage, word) in [(Stage::Starting, "starting"), (Stage::Draining, "draining")] {
            assert_eq!(status("GET /live HTTP/1.1\r\n\r\n", &stage), "200");
            assert_eq!(status("GET /ready?verbose HTTP/1.1\r\n\r\n", &stage), "503");
            let whole = reply(b"GET /ready HTTP/1.1\r\n\r\n", &stage);
            assert!(whole.ends_with(&format!("\r\n\r\n{{\"state\":\"{word}\"}}")), "{whole}");
            assert!(reply(b"HEAD /live HTTP/1.1\r\n\r\n", &stage).ends_with("\r\n\r\n"));
        }
    }

    #[test]
    fn other_questions_are_refused() {
        for (asked, code) in [("GET / HTTP/1.1", "404"), ("POST /live HTTP/1.1", "405"), ("", "405"), ("\0\n", "405")] {
            assert_eq!(status(asked, &Stage::Starting), code, "{asked:?}");
        }
    }
}
